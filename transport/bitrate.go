package transport

import (
	"math"
	"time"
)

// BitrateLimits bound what the encoder is asked for: bits a second of messages, audio and video together. A zero field has the default
// named beside it.
type BitrateLimits struct {
	Min   int64 // DefaultMinBitrate; asked for even where less would fit
	Start int64 // DefaultStartBitrate: until the network has shown what it carries
	Max   int64 // DefaultMaxBitrate
}

// Defaults of BitrateLimits.
const (
	DefaultMinBitrate   = 100_000
	DefaultStartBitrate = 1_000_000
	DefaultMaxBitrate   = 20_000_000
)

func (l BitrateLimits) withDefaults() BitrateLimits {
	for _, v := range [...]struct {
		p *int64
		d int64
	}{{&l.Min, DefaultMinBitrate}, {&l.Start, DefaultStartBitrate}, {&l.Max, DefaultMaxBitrate}} {
		if *v.p <= 0 {
			*v.p = v.d
		}
	}
	l.Max = max(l.Max, l.Min)
	l.Start = min(max(l.Start, l.Min), l.Max)
	return l
}

const (
	bitrateStep     = 0.05                   // a target that moved less is not worth a word
	bitrateInterval = 100 * time.Millisecond // at least, between two rises
	overheadTime    = 2 * time.Second        // over which the share of everything beside messages is averaged
	overheadEvery   = 100 * time.Millisecond
	minOverhead     = 1.08 // headers of packets of full size, and reports
	maxOverhead     = 4.0
	backlogDrain    = 80 * time.Millisecond // in which what waits here should have gone
	meterTime       = 500 * time.Millisecond
)

// bitrateTarget is what the encoder is asked for, on the sender's side.
type bitrateTarget struct {
	limits   BitrateLimits
	peer     int64 // the peer's own wish: what its players can take; 0 none
	overhead ratio // datagram bytes for a byte of messages
	at       time.Time
	sent     uint64 // counters at that time
	media    uint64
	began    time.Time // when the first media was sent
	told     int64
	toldAt   time.Time
}

// ratio is of two sums, each of which forgets: a moment without messages, while repairs of those before still go, counts for little.
type ratio struct{ over, under float64 }

func (r *ratio) add(over, under, forget float64) {
	r.over += over - r.over*forget
	r.under += under - r.under*forget
}

// overheadNow is bounded: what is asked for should not hang on an odd moment.
func (b *bitrateTarget) overheadNow() float64 {
	if b.overhead.under <= 0 {
		return minOverhead
	}
	return min(max(b.overhead.over/b.overhead.under, minOverhead), maxOverhead)
}

// limitBitrate sets the limits, at the beginning.
func (c *Conn) limitBitrate(l BitrateLimits) {
	l = l.withDefaults()
	c.target = bitrateTarget{limits: l, told: l.Start}
	c.cc.init(float64(l.Start) / 8 * minOverhead)
}

// Bitrate is what the encoder should make now, in bits a second of messages, audio and video together: what this hop carries with its
// repairs, or what the peer asks for, whichever is less, within the limits.
func (c *Conn) Bitrate() int64 {
	b := &c.target
	own := c.cc.wanted(c.now)
	if c.cc.bounded {
		own -= float64(c.send.queuedBytes) / backlogDrain.Seconds()
	}
	v := int64(math.Max(0, own) * 8 / b.overheadNow())
	if b.peer > 0 {
		v = min(v, b.peer)
	}
	return min(max(v, b.limits.Min), b.limits.Max)
}

// BitrateKnown reports whether Bitrate rests on what the network has shown: a queue, or a second of media without one.
func (c *Conn) BitrateKnown() bool {
	return c.cc.bounded || !c.target.began.IsZero() && c.now.Sub(c.target.began) >= time.Second
}

// Backlog is how long what waits here to be sent will take, where the path is known to be too small for it; else 0.
func (c *Conn) Backlog() time.Duration {
	if !c.cc.bounded {
		return 0
	}
	return time.Duration(float64(c.send.queuedBytes) / c.cc.rate.now * float64(time.Second))
}

// updateBitrate follows the overhead and tells the user of a target that has moved.
func (c *Conn) updateBitrate(now time.Time) {
	if !c.sender {
		return
	}
	b := &c.target
	if b.began.IsZero() && c.stats.PacketsSent > 0 {
		b.began = now
	}
	if d := now.Sub(b.at); d >= overheadEvery {
		forget := min(1, d.Seconds()/overheadTime.Seconds())
		b.overhead.add(float64(c.stats.BytesSent-b.sent), float64(c.stats.MessageBytesSent-b.media), forget)
		b.at, b.sent, b.media = now, c.stats.BytesSent, c.stats.MessageBytesSent
	}
	v := c.Bitrate()
	if d := math.Abs(float64(v - b.told)); d < bitrateStep*float64(b.told) || v > b.told && now.Sub(b.toldAt) < bitrateInterval {
		return
	}
	b.told, b.toldAt = v, now
	c.events.push(Event{Kind: EventBitrate, Bitrate: v})
}

// meter averages bytes over meterTime.
type meter struct {
	value float64 // bytes a second, at
	at    time.Time
}

func (m *meter) add(now time.Time, n int) {
	m.value = m.rate(now) + float64(n)/meterTime.Seconds()
	m.at = now
}

func (m *meter) rate(now time.Time) float64 {
	d := now.Sub(m.at)
	if d <= 0 {
		return m.value
	}
	return m.value * math.Exp(-d.Seconds()/meterTime.Seconds())
}
