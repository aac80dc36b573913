// Package relay is duet's server in the middle: pushers' sessions come in, players' go out, and every packet of a stream is
// opened once and shared.
//
//	       socket ──▶ loop (one goroutine) ──▶ socket          as many of these as --loops says
//	                   │  sessions by ID          each a transport.Conn
//	                   │  streams by name         publisher, cache since the last key frame, players
//	                   ▼
//	local Publication, Subscription: gateways and recorders inside the process
//
// One goroutine, its loop, owns a session and its stream; nothing in it waits, and it locks nothing for a datagram. Other goroutines hand it
// functions to run (mailbox.go). A stream's publisher may be a session or a Publication, its audience sessions and Subscriptions; the stream
// does not know the difference (stream.go). Several loops share the streams between them by name (group.go).
package relay
