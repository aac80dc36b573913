package transport

import "time"

// clockSamples bounds the window that the best exchange is taken from.
const clockSamples = 16

// driftAllowance ages a sample: two clocks that differ by 200 ppm each way.
const driftAllowance = 400e-6

// clockSync keeps the offset between the peer's session clock and ours from PING exchanges: of the recent ones, that with the
// shortest round trip is the most symmetric (the filter of NTP, RFC 5905 section 10), with age counted as drift.
type clockSync struct {
	ping    bool // a PING is wanted in the next packet
	samples [clockSamples]clockSample
	n       int
}

type clockSample struct {
	at     uint64 // our clock, µs
	rtt    int64  // µs
	offset int64  // peer's clock minus ours, µs
}

// pong takes an answer: t1 our clock when we asked, t2 and t3 the peer's when it heard and answered, t4 ours now; all in µs. It
// returns the exchange's round trip, and false if the numbers make no sense.
func (s *clockSync) pong(t1, t2, t3, t4 uint64) (time.Duration, bool) {
	rtt := int64(t4-t1) - int64(t3-t2)
	if t1 > t4 || t2 > t3 || rtt < 0 {
		return 0, false
	}
	offset := (int64(t2-t1) + int64(t3-t4)) / 2
	s.samples[s.n%clockSamples] = clockSample{at: t4, rtt: rtt, offset: offset}
	s.n++
	return time.Duration(rtt) * time.Microsecond, true
}

// offset is the peer's clock minus ours in µs, as known at our clock now; false before the first exchange.
func (s *clockSync) offset(now uint64) (int64, bool) {
	if s.n == 0 {
		return 0, false
	}
	best, bestCost := 0, 0.0
	for i := range min(s.n, clockSamples) {
		e := &s.samples[i]
		cost := float64(e.rtt)/2 + driftAllowance*float64(now-e.at)
		if i == 0 || cost < bestCost {
			best, bestCost = i, cost
		}
	}
	return s.samples[best].offset, true
}

// PeerClock is the peer's session clock minus ours, false while unknown. Both count from an origin of their own.
func (c *Conn) PeerClock(now time.Time) (time.Duration, bool) {
	us, ok := c.clock.offset(c.clockAt(now))
	return time.Duration(us) * time.Microsecond, ok
}

// Clock is our session clock at now: time since its origin.
func (c *Conn) Clock(now time.Time) time.Duration { return now.Sub(c.origin) }

// Tick is the unit of 32-bit times on the wire.
const Tick = 64 * time.Microsecond

// Ticks converts a session clock reading to wire ticks, modulo 2³².
func Ticks(clock time.Duration) uint32 { return uint32(uint64(clock / Tick)) }

// FromTicks gives the clock reading nearest to near whose ticks are t.
func FromTicks(t uint32, near time.Duration) time.Duration {
	return near + time.Duration(int32(t-Ticks(near)))*Tick - near%Tick
}
