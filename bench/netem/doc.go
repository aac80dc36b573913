// Package netem emulates one direction of a network path in virtual time: it is given datagrams and the time, and gives back
// what arrives and when. It has no clock, no socket and no goroutine, so hours of a bad network pass in seconds, and the same
// seed and inputs give the same result byte for byte.
//
//	Send ─▶ down? drop? limit? ─▶ bottleneck ────────────▶ wire ──────────────────────────▶ Receive
//	                              rate or trace, queue,    loss, duplication, delay, jitter
//	                              mark                     (loss.go, wire.go)
//	                              (bottleneck.go, trace.go)
//
// A datagram that is lost has used the bottleneck like any other: it is lost behind it, as on a radio link. What becomes of a
// datagram does not depend on how often or how late [Link.Next] and [Link.Receive] are called, short of [Config.Limit]. A link may
// change by itself at given times: [Config.Schedule].
//
// The driver of a [Link] in virtual time goes from event to event:
//
//	for {
//		at, ok := link.Next()
//		…                      // the earliest of this and all other deadlines is now
//		for n, ok := link.Receive(now, buf); ok; n, ok = link.Receive(now, buf) {
//			…
//		}
//	}
package netem
