// Package desk decides what happens to callers, agents, rooms, queues, calls and messages. It is pure: a state, a command and the time give
// events; events change the state. It reads no clock, draws nothing at random, does no I/O.
//
//	command ──▶ Decide ──▶ events ──▶ appended to the log ──▶ Apply ──▶ state, notices to users
//	               ▲                                                     │
//	               └─────────────────────── state ◀─────────────────────┘
//
// The events are the truth: a server that starts applies those of the log and has the same state as before; servers that share a log have the
// same state as each other. Commands are not kept.
//
// An agent's room:
//
//	        open                offered             accepted             the call ends
//	CLOSE ───────▶ IDLE ───────────────▶ RINGING ───────────▶ BUSY ───────────────────▶ WRAPUP ──▶ IDLE
//	  ▲             │  ▲                    │                   closing: ───▶ CLOSE               │
//	  └─────────────┘  └── declined, time ──┘                                                     │
//	   close, or the agent vanished           closing: ───────────────────────────────▶ CLOSE ◀───┘
//
// A call:
//
//	  request                    a room is free               accepted            both push and play
//	──────────▶ waiting (queue) ───────────────▶ offered ─────────────▶ setup ──────────────────▶ connected ──▶ ended
//	──────────▶ dialing (direct: A's 1002) ────▶ ringing ─────────────▶   │                            │
//	                                                                      └── both 1002s open the other's play
//
// In line and offered a caller keeps the place: only acceptance takes the call out of its queue.
package desk
