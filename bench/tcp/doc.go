// Package tcp is a model of a TCP connection with CUBIC (RFC 9438), for use as the other traffic at a bottleneck in virtual time. What
// matters to a flow beside it is right: slow start, the window's growth and its response to loss, the retransmission timeout. What does
// not is idealised: a segment names its transmission and an acknowledgment names the one that it answers, so the sender knows
// what a perfect SACK would tell it; there is no handshake, no receive window, no pacing.
//
//	Sender ── segments ──▶ … ──▶ Receiver
//	       ◀── … ◀── acknowledgments ──
//
//	segment          connection u32 | transmission u64 | number u64 | zeros up to MSS
//	acknowledgment   connection u32 | next number expected u64 | transmission that it answers u64
package tcp
