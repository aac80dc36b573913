package client

import (
	"fmt"
	"time"

	"duet/transport"
)

const (
	// steadyTime is how long a target must be low to count. For shorter than that it falls with every key frame, because what already
	// waits is taken off it, and when the session holds back for 300 ms to see the path without a queue of its own.
	steadyTime = 500 * time.Millisecond

	measureEvery  = 20 * time.Millisecond // between two looks at the session's estimates
	heardLately   = 300 * time.Millisecond
	adaptedShare  = 0.2                    // a target that moved less than this is not worth an event
	adaptedEvery  = 2 * time.Second        // between two 1006
	backlogAge    = 500 * time.Millisecond // media that waits so long is backing up
	backlogSmall  = 100 * time.Millisecond // of media waiting here, or standing on the way, is none
	backlogEvery  = 5 * time.Second        // between two 1101
	resumeGrace   = 2 * time.Second        // a new session begins with what was missed: that is no backing up
	bitsPerKbit   = 1000
	bitsPerByte   = 8
	leastBitrate  = 1000 // divides by no less, in bit/s
	bytesPerKByte = 1000
)

// Uplink is what is known of a pusher's way to its relay, and through it to the players.
type Uplink struct {
	Bitrate int64 // bit/s of messages, audio and video together, that should be made now: what OnBitrate is told, and newer
	Known   bool  // Bitrate rests on what the network has shown, and not on StartBitrate
	Waiting int   // bytes that were written and wait to be sent; 0 while the network is lost
}

// steady is the highest value that a target had during the last steadyTime.
type steady struct {
	value int64
	past  []pastValue // higher ones than what followed them, the oldest first
}

type pastValue struct {
	value int64
	until time.Time
}

// set takes the value from now on.
func (s *steady) set(now time.Time, value int64) {
	if value < s.value {
		s.past = append(s.past, pastValue{s.value, now})
	}
	for len(s.past) > 0 && s.past[len(s.past)-1].value <= value {
		s.past = s.past[:len(s.past)-1]
	}
	s.value = value
}

// at is the highest value of the time before now.
func (s *steady) at(now time.Time) int64 {
	for len(s.past) > 0 && now.Sub(s.past[0].until) >= steadyTime {
		s.past = s.past[1:]
	}
	if len(s.past) > 0 {
		return s.past[0].value
	}
	return s.value
}

// adaptation follows what a pusher's sessions say of the network. The link's goroutine owns it.
type adaptation struct {
	target     steady
	pushed     int64 // bit/s of messages that really left, over the last report
	measuredAt time.Time
	asked      int64 // what OnBitrate was told last
	told       int64 // what the last 1006 said
	adaptedAt  time.Time
	flowsSince time.Time // when nothing was backing up last
	smallAt    time.Time // of the last 1101
}

// startBitrate is the target until something is known.
func startBitrate(cfg *PusherConfig) int64 {
	v := cfg.StartBitrate
	if v <= 0 {
		v = transport.DefaultStartBitrate
	}
	if cfg.MaxBitrate > 0 {
		v = min(v, cfg.MaxBitrate)
	}
	return max(v, cfg.MinBitrate)
}

// Uplink tells what is known of the network now. Any goroutine may ask, also from a callback.
func (p *Pusher) Uplink() Uplink {
	p.upMu.Lock()
	defer p.upMu.Unlock()
	return p.up
}

// bitrate takes a target that has moved.
func (p *Pusher) bitrate(_ time.Time, bps int64) {
	p.adapt.asked = bps
	if p.cfg.OnBitrate != nil {
		p.cfg.OnBitrate(bps)
	}
}

// measure looks at the session's estimates now and then, and tells of what a user should know.
func (p *Pusher) measure(now time.Time, backlog int) {
	a := &p.adapt
	if now.Sub(a.measuredAt) < measureEvery {
		return
	}
	a.measuredAt = now
	up := Uplink{Bitrate: a.target.value}
	p.upMu.Lock()
	up.Known = p.up.Known
	p.upMu.Unlock()
	flows := p.flowing() && p.link.lostAt.IsZero()
	if flows {
		up.Bitrate, up.Known, up.Waiting = p.conn.Bitrate(), p.conn.BitrateKnown(), backlog
		a.target.set(now, up.Bitrate)
		if up.Known && now.Sub(p.conn.LastHeard()) < heardLately { // later it says more about the loss of the network than about what it carried
			p.link.cfg.bitrate.Start = a.target.at(now)
		}
	}
	p.upMu.Lock()
	p.up = up
	p.upMu.Unlock()
	if !flows || now.Sub(p.openedAt) < resumeGrace {
		a.flowsSince = now
		return
	}
	p.watchBacklog(now, backlog)
}

// watchBacklog tells 1101 when media has been waiting for long, here or on the way.
func (p *Pusher) watchBacklog(now time.Time, backlog int) {
	a, s := &p.adapt, p.conn.Stats()
	here := time.Duration(backlog) * bitsPerByte * time.Second / time.Duration(max(s.Rate, leastBitrate))
	if here < backlogSmall && s.Queue < backlogSmall {
		a.flowsSince = now
		return
	}
	if age := now.Sub(a.flowsSince); age >= backlogAge {
		p.uplinkTooSmall(now, fmt.Sprintf("media has been backing up for %d ms: %d KB wait here, %d ms stand on the way; %d kbit/s went out, the network takes %d",
			age.Milliseconds(), backlog/bytesPerKByte, s.Queue.Milliseconds(), a.pushed/bitsPerKbit, a.target.at(now)/bitsPerKbit))
	}
}

// uplinkTooSmall tells 1101, unless it was told lately.
func (p *Pusher) uplinkTooSmall(now time.Time, text string) {
	if a := &p.adapt; a.smallAt.IsZero() || now.Sub(a.smallAt) >= backlogEvery {
		a.smallAt = now
		p.link.emit(now, CodeUplinkTooSmall, text)
	}
}

// tellBitrate tells 1006 of an encoder that was asked for another bitrate, and when it wants to be called again. Without OnBitrate
// nothing adapts.
func (p *Pusher) tellBitrate(now time.Time) time.Time {
	a := &p.adapt
	if p.cfg.OnBitrate == nil || a.asked == 0 {
		return time.Time{}
	}
	if d := float64(a.asked - a.told); max(d, -d) < adaptedShare*float64(a.told) {
		return time.Time{}
	}
	if again := a.adaptedAt.Add(adaptedEvery); now.Before(again) {
		return again
	}
	p.link.emit(now, CodeBitrateAdapted, fmt.Sprintf("the encoder is asked for %d kbit/s, after %d; %d kbit/s went out",
		a.asked/bitsPerKbit, a.told/bitsPerKbit, a.pushed/bitsPerKbit))
	a.told, a.adaptedAt = a.asked, now
	return time.Time{}
}
