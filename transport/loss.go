package transport

import (
	"math"
	"time"

	"duet/transport/wire"
)

const (
	packetThreshold    = 3 // RFC 9002 section 6.1.1: this many later ones arrived
	maxPacketThreshold = 64
	minReorder         = 2 * time.Millisecond
	tailDelay          = 3 * time.Millisecond   // after the last media: then a packet follows that shows what was lost of it
	tailShows          = 3                      // such packets where losses come in runs, at growing distances
	tailRun            = 1.5                    // a mean run of losses from which on they do
	sentMemory         = 500 * time.Millisecond // how long beyond a round trip a packet is remembered after its fate is known
	maxProbeBackoff    = 4
	silentProbes       = 2                      // without an answer: nobody is there
	outageAfter        = 300 * time.Millisecond // without a report
	maxProbeInterval   = 100 * time.Millisecond // beyond a round trip: an outage's end is to be noticed at once
)

// lossDetector calls packets lost by what arrived after them: by count and by time, as RFC 9002 section 6 and RACK (RFC 8985)
// do, both widened when a packet that was called lost turns up after all.
type lossDetector struct {
	newest    time.Time // when the newest acknowledged packet was sent
	threshold uint64
	reorder   time.Duration // extra time for stragglers, beyond a fraction of the round trip
	probes    int           // questions since the last report
	heard     time.Time     // when the last report came
	blind     time.Time     // what was sent before was sent into an outage: its loss says nothing of the path
	judged    uint64        // first packet number whose fate was open
	steady    steadiness    // of what we send, as far as reports tell
	open      uint64        // likewise, for detectLosses: below it nothing is in flight that elicits an acknowledgement
	rate      lossRate
}

func (d *lossDetector) init() {
	d.threshold = packetThreshold
	d.rate = lossRate{fast: firstLoss, burst: 1}
}

// lossRate is the share of packets lost: a fast and a slow average, of which the larger counts, so that it rises at once and
// falls slowly.
type lossRate struct {
	fast, slow float64
	quiet      float64 // slow, of the times when nothing queues
	burst      float64 // mean length of a run of losses
	run        int
}

const (
	lossFast  = 1.0 / 64
	lossSlow  = 1.0 / 256
	burstGain = 1.0 / 32

	// firstLoss is what is planned for until something is known; it is forgotten within a hundred packets.
	firstLoss = 0.05
)

func (r *lossRate) note(lost, queued bool) {
	v := 0.0
	if lost {
		v = 1
	}
	r.fast += (v - r.fast) * lossFast
	r.slow += (v - r.slow) * lossSlow
	if !queued {
		r.quiet += (v - r.quiet) * lossSlow
	}
}

// follow takes the fate of one packet after the other, in the order of sending, for the length of runs.
func (r *lossRate) follow(lost bool) {
	switch {
	case lost:
		r.run++
	case r.run > 0:
		r.burst += (float64(r.run) - r.burst) * burstGain
		r.run = 0
	}
}

// estimate is the share to plan for: what the slow average says, or the fast one beyond what is chance in so few packets.
func (r *lossRate) estimate() float64 {
	return max(r.slow, r.fast-math.Sqrt(r.fast*(1-r.fast)*lossFast/2))
}

// receiveFeedback takes the peer's report: what arrived frees the window and completes blocks, what did not is lost or waited for.
func (c *Conn) receiveFeedback(now time.Time, f *wire.Feedback) {
	base := expand(f.Base, c.sent.next)
	count := uint64(f.Count())
	if base+count > c.sent.next {
		c.drop(DropFeedback) // reports what was never sent
		return
	}
	c.stats.FeedbackReceived++
	newestPN, newestAge, fresh := uint64(0), uint32(0), false
	acked := 0
	for i := range int(count) {
		received, _, age := f.At(i)
		if !received {
			continue
		}
		pn := base + uint64(i)
		p := c.sent.get(pn)
		if p == nil || p.state == sentAcked {
			continue
		}
		if p.state == sentLost {
			c.falseLoss()
		} else {
			acked += c.acked(p)
		}
		p.state = sentAcked
		if age < wire.FeedbackAgeMax {
			c.cc.arrived.note(now, f.Clock-age, Ticks(c.Clock(p.at)), int(p.size), c.cc.rival.on)
		}
		newestPN, newestAge, fresh = pn, age, true
		if p.at.After(c.loss.newest) {
			c.loss.newest = p.at
		}
	}
	for i := range 8 * len(f.Earlier) {
		pn := base - 1 - uint64(i)
		p := c.sent.get(pn)
		if p == nil || pn >= base || p.state == sentAcked || !f.Had(i) {
			continue
		}
		if p.state == sentInFlight {
			acked += c.acked(p)
		}
		p.state = sentAcked
	}
	if !fresh && acked == 0 {
		return
	}
	c.loss.probes = 0
	if c.loss.steady.since.IsZero() {
		c.loss.steady.since = now
	}
	if now.Sub(c.loss.heard) > outageAfter+c.rtt.srtt() {
		c.loss.blind = c.loss.newest.Add(-time.Microsecond)
	}
	c.loss.heard = now
	c.send.heard(now, c)
	if fresh && (!c.sent.any || newestPN > c.sent.largest) {
		if newestAge < wire.FeedbackAgeMax { // an age at its limit may be any
			c.rtt.sample(now, now.Sub(c.sent.get(newestPN).at)-time.Duration(newestAge)*Tick)
		}
		c.sent.largest, c.sent.any = newestPN, true
	}
	c.cc.report(now, acked, c.loss.newest, &c.rtt, &c.loss.rate, c.meter.rate(now))
	c.updateBitrate(now)
	c.detectLosses(now)
	c.followRuns()
	c.sent.prune(now.Add(-c.rtt.srtt() - sentMemory))
	c.rearmProbe(now)
}

// acked takes one packet as delivered and returns the bytes that this frees.
func (c *Conn) acked(p *sentPacket) int {
	if !p.eliciting {
		return 0
	}
	c.loss.rate.note(false, c.cc.queueing())
	switch p.kind {
	case sentControl:
		c.control.acked(p.offset, int(p.length))
	case sentSource, sentParity:
		c.send.delivered(p)
	case sentWindow:
		c.send.windowFate(p, symbolDelivered, c)
	case sentOther:
	}
	p.blk = nil
	return int(p.size)
}

// followRuns goes on to the first packet whose fate is open.
func (c *Conn) followRuns() {
	d := &c.loss
	for d.judged = max(d.judged, c.sent.base); d.judged < c.sent.largest; d.judged++ {
		p := c.sent.get(d.judged)
		if p.state == sentInFlight && p.eliciting {
			return
		}
		if p.state != sentInFlight { // of one that elicits nothing, silence tells nothing
			d.rate.follow(p.state == sentLost)
		}
	}
}

// falseLoss widens the detector: the network reorders more than we allowed for.
func (c *Conn) falseLoss() {
	c.stats.FalseLosses++
	c.loss.threshold = min(c.loss.threshold*2, maxPacketThreshold)
	c.loss.reorder = min(max(c.loss.reorder*2, minReorder), c.rtt.srtt()/2)
}

// detectLosses calls lost what should have arrived by now, and sets the timer for what may still come.
func (c *Conn) detectLosses(now time.Time) {
	c.timer.clear(timerLoss)
	if !c.sent.any {
		return
	}
	wait := max(c.rtt.latest, c.rtt.srtt()) + minReorder + c.loss.reorder // the latest alone may be a copy's that took a shorter way
	d := &c.loss
	for d.open = max(d.open, c.sent.base); d.open < c.sent.largest; d.open++ {
		if p := c.sent.get(d.open); p.state == sentInFlight && p.eliciting {
			break
		}
	}
	for pn := d.open; pn < c.sent.largest; pn++ {
		p := c.sent.get(pn)
		if p.state != sentInFlight || !p.eliciting || p.at.After(c.loss.newest) {
			continue
		}
		lostAt := p.at.Add(wait)
		if c.sent.largest-pn < c.loss.threshold && now.Before(lostAt) {
			c.timer.setEarlier(timerLoss, lostAt)
			continue
		}
		c.lost(now, p)
	}
}

// lost takes one packet as gone.
func (c *Conn) lost(now time.Time, p *sentPacket) {
	c.stats.PacketsLost++
	c.loss.steady.trouble(now)
	if c.loss.probes <= 1 && p.at.After(c.loss.blind) {
		c.loss.rate.note(true, c.cc.queueing())
	}
	c.requeue(now, p)
}

// sendAgain takes everything in flight as gone, through no fault of the network.
func (c *Conn) sendAgain(now time.Time) {
	for pn := c.sent.base; pn < c.sent.next; pn++ {
		if p := c.sent.get(pn); p.state == sentInFlight && p.eliciting {
			c.requeue(now, p)
		}
	}
}

// requeue queues again what a packet held, if that is still wanted.
func (c *Conn) requeue(now time.Time, p *sentPacket) {
	p.state = sentLost
	c.cc.lost(int(p.size))
	switch p.kind {
	case sentControl:
		c.control.lost(p.offset, int(p.length))
	case sentSource, sentParity:
		c.send.lost(now, p, c)
	case sentWindow:
		c.send.windowFate(p, symbolLost, c)
	case sentOther:
	}
	p.blk = nil
}

// probe asks for a report when none came: the last packets of a burst have nothing behind them that would show their loss. A
// PING is answered with a report, and the PING itself is what came after.
func (c *Conn) probe(now time.Time) {
	if c.cc.inFlight == 0 {
		return
	}
	c.loss.probes++
	c.stats.Probes++
	if c.loss.probes > 1 { // not only the report was lost: stop waiting for what is out there
		cut := now.Add(-c.reportAfter())
		for pn := c.sent.base; pn < c.sent.next; pn++ {
			if p := c.sent.get(pn); p.state == sentInFlight && p.eliciting && p.at.Before(cut) {
				c.lost(now, p)
			}
		}
	}
	c.clock.ping = true
	c.rearmProbe(now)
}

// reportAfter is when a report is overdue. A peer that has seen no trouble reports less often; where it has and we don't know of it, we ask later.
func (c *Conn) reportAfter() time.Duration {
	d := c.rtt.probeAfter()
	if !c.cc.bounded && c.loss.steady.holds(c.now) {
		d += steadyInterval - feedbackInterval
	}
	return d
}

// probeAfter is the time to the next probe.
func (c *Conn) probeAfter() time.Duration {
	d := c.reportAfter()
	return min(d<<min(c.loss.probes, maxProbeBackoff), d+maxProbeInterval)
}

// rearmProbe sets the probe timer from the newest packet in flight, backed off while probes get no answer.
func (c *Conn) rearmProbe(now time.Time) {
	if c.cc.inFlight == 0 {
		c.timer.clear(timerProbe)
		return
	}
	c.timer.set(timerProbe, now.Add(c.probeAfter()))
}
