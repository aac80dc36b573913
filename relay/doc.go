// Package relay is duet's server in the middle: pushers' sessions come in, players' go out, and every packet of a stream is
// opened once and shared.
//
//	       socket ──▶ loop (one goroutine) ──▶ socket
//	                   │  sessions by ID          each a transport.Conn
//	                   │  streams by name         publisher, cache since the last key frame, players
//	                   ▼
//	local Publication, Subscription: gateways and recorders inside the process
//
// One goroutine, the loop, owns every session and stream; nothing in it locks or waits. Other goroutines hand it functions to
// run (mailbox.go). A stream's publisher may be a session or a Publication, its audience sessions and Subscriptions; the stream
// does not know the difference (stream.go).
package relay
