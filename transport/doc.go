// Package transport is one session of duet as a state machine: a pusher's or player's hop to a relay, or the relay's side
// of it. It does no I/O. A driver hands it datagrams and the time, and takes datagrams and events out:
//
//	     HandleDatagram, HandleTimeout, Send, SendRecord, …
//	                       │
//	  ┌────────────────────▼──────────────────────┐
//	  │ Conn                                      │
//	  │  handshake → open → closing → closed      │   keys, paths, control stream: both directions
//	  │  send side: blocks → pacer → sent → loss  │   the side that has media
//	  │  receive side: packets → blocks → repair  │   the side that wants it
//	  └──┬────────────────┬────────────────┬──────┘
//	     Poll             PollEvent        Deadline
//	(datagrams out)   (what happened)  (when to call HandleTimeout)
//
// After any input the driver calls Poll until it returns false and PollEvent until it returns false, sleeps until Deadline,
// then calls HandleTimeout. Forgetting to drain makes a session late, never wrong. Nothing here locks: one goroutine owns a
// Conn.
//
// Loss recovery is the sender's work: every datagram has a packet number of its own, FEEDBACK tells which arrived and
// when, and the sender knows what each one held (sent.go, loss.go, arq.go). Messages are cut into blocks of at most
// [MaxBlock] packets; any k of a block's packets and parity symbols complete it (block.go, repair.go). policy.go says how
// much parity to send before anything is known to be lost.
//
// [Playout] puts a receiver's packets and records back into messages in their order, and gives up on a message when its time
// has come. It stands apart from Conn because it outlives sessions: a player that reconnects goes on with the same one.
package transport
