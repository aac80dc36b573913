// Package transporttest runs sessions against each other in virtual time: a [Network] of endpoints joined by emulated links.
// Minutes of a call take milliseconds, and the same seeds give the same run, byte for byte.
//
// An endpoint is a transport.Conn by way of [ConnEndpoint], or anything else that takes datagrams and timeouts and gives datagrams
// back, such as a whole relay.
package transporttest
