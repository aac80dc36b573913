// Package endpoint is one pusher or player of a browser: transport sessions, kept going over reconnections and carriers, with frames as
// WebCodecs has them on the one side and datagrams on the other. It is the part of the SDK that is compiled to wasm, and like the core it
// reads no clock and opens nothing: the worker around it hands it time, datagrams and frames, and takes datagrams, frames and events out.
//
//	      worker (JavaScript)                                     Endpoint
//	carrier, frame, close, … records ──▶ Step(now, in, out) ──▶ link ── sessions (transport.Conn)
//	datagrams, frames, events, …     ◀──        out         ◀── Pusher: packetizer, Player: playout
//	                                     Deadline: call again
//
// One call does everything that is due, because a call from JavaScript costs more than what it does: the worker gathers what came since the
// last one into a row of records and gets a row back (record.go).
//
// Two things differ from package client, which is the same for programs. Where datagrams go is a carrier, a number that the worker gave to a
// WebTransport session or a WebSocket: the first one that is up begins the session, later ones take it over. And nothing is kept to be
// sent again to a new session: a call that was cut off goes on with what is seen and heard now, from a new key frame.
package endpoint
