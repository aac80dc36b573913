// Package client is duet's Go SDK: [Pusher] sends a stream to a relay, [Player] receives one. Each is a socket and a clock around
// transport.Conn, and keeps a stream going over as many sessions as the network makes necessary.
//
//	Write ──▶ packetizer ──▶ history ──▶ ┌──────────────────────┐        ┌────── playout ──▶ queue ──▶ Read
//	                                     │ link: one goroutine  │        │
//	          events, netstatus  ◀────── │  sessions (Conns)    │ ───────┘
//	                                     │  one UDP socket      │ ◀────▶ relay
//	                                     └──────────────────────┘
//
// One goroutine, the link's, owns sessions, history and playout; other goroutines hand it functions, messages or a wish to look
// (link.go). A link lives like this:
//
//	          ACCEPT                   1 s of silence, RESET,
//	dialing ─────────▶ connected ──────── the relay going down ──▶ reconnecting ──▶ given up: -1307, -2301
//	   │                   │  ▲                                         │
//	   │ no answer: 3003   │  └─── heard again, or a new session ───────┘
//	   │ refused: 3004     │
//	   ▼                   ▼ replaced, busy, refused, revoked: 3004; Close; the stream's end
//	 failed               over
//
// While it reconnects it begins new handshakes every 250 ms to 1 s, each a Conn of its own; the old session stays usable, and
// if the relay is heard on it again the attempts are dropped. Before the first success nothing is tried twice: a wrong URL is
// told at once.
//
// What happens is told by events with the codes that the field uses for pushers and players (codes.go, docs/events.md).
package client
