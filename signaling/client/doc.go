// Package client takes part in calls: it is a party's side of the socket that docs/signaling.md describes, for programs in Go.
//
// A Client keeps one socket open and comes back by itself. Events come once and in order, over any number of sockets; a request that had no answer
// when a socket was lost is asked again on the next one, which changes nothing if it had been done.
package client
