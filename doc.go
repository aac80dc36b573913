// Package duet is the root of duet, self-hosted two-party video calls: one program that is the whole server, and the Go SDK beside
// it. There is no code here, only the tests that hold the whole tree to its rules. Begin with:
//
//	cmd/duet     the command
//	client       Pusher and Player, to build calls into a program of your own
//	relay        the server between them
//	gateway      other protocols in and out
//	transport    one session as a state machine, with wire, the bytes of it
//	rtmpchunk    messages to packets and back; FLV files
//	fec, crypto  erasure codes; handshake, keys and tokens
//	bench        bad networks to try all this on
//
// docs/architecture.md tells how they fit together, docs/wire.md what travels between them, docs/conventions.md how the code is
// written.
package duet
