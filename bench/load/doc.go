// Package load makes calls by the thousand against a relay and measures what they cost it, and runs the ideal relay to compare with.
//
//	generator (one goroutine a worker)                 relay under test, another process
//	  a socket, a wheel of deadlines                      its CPU time, memory and delay are asked
//	  many transport.Conns: pushers ──────────────────▶   for at both ends of the measured window
//	                        players ◀──────────────────
//
// A frame carries its capture time, and pushers and players share a clock; so what a player gets tells what was lost on the way and how late the
// rest is. The ideal relay (ideal.go) has the same sockets, sealing and traffic and nothing else: what a relay costs beyond it is the price of
// being one.
package load
