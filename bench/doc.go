// Package bench measures duet. At present it holds the bad network between two programs that know nothing of it, [Proxy]:
//
//	client ── UDP ──▶ Proxy ── netem.Link up ───▶ UDP ── target
//	       ◀── UDP ──       ◀── netem.Link down ── UDP ──
package bench
