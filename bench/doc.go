// Package bench measures duet. [RunLink] is a whole call over emulated links in virtual time, minutes of it in a second, and [RunSweep]
// a grid of them; [RunRealLink] is the same call over sockets, and [WriteHTML] makes a page about any of these. [Proxy] is a bad network
// between two programs that know nothing of it:
//
//	client ── UDP ──▶ Proxy ── netem.Link up ───▶ UDP ── target
//	       ◀── UDP ──       ◀── netem.Link down ── UDP ──
//
// [Wire] is one around a network namespace, for whatever speaks whatever in there.
package bench
