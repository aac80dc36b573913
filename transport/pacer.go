package transport

import (
	"time"

	"duet/transport/wire"
)

// How much may leave back to back: a small frame in one segmented send, or little where the path is known to queue.
const (
	paceBurst    = 8 * wire.MaxDatagram
	boundedBurst = wire.MaxDatagram
)

// pacer is a token bucket over bytes. It may go below zero by one datagram.
type pacer struct {
	tokens float64
	at     time.Time
}

func (p *pacer) init(now time.Time) { p.tokens, p.at = paceBurst, now }

// ready reports whether a datagram may go now at rate bytes a second, with so much back to back; if not, it returns when.
func (p *pacer) ready(now time.Time, rate, burst float64) (time.Time, bool) {
	if d := now.Sub(p.at); d > 0 {
		// A driver that wakes up late may catch up what it missed, up to 5 ms of it.
		burst = max(burst, rate*0.005)
		p.tokens = min(burst, p.tokens+d.Seconds()*rate)
		p.at = now
	}
	if p.tokens > 0 {
		return time.Time{}, true
	}
	wait := time.Duration((1 - p.tokens) / rate * float64(time.Second))
	return now.Add(max(wait, 10*time.Microsecond)), false
}

func (p *pacer) sent(n int) { p.tokens -= float64(n) }
