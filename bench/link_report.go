package bench

import (
	"slices"
	"time"

	"duet/rtmpchunk"
)

func (c *linkCall) report() *LinkReport {
	r := &LinkReport{
		Seed: c.cfg.Seed, Frames: c.sent[rtmpchunk.Video], AudioFrames: c.sent[rtmpchunk.Audio],
		OnTime:      ratio(c.onTime[rtmpchunk.Video], c.sent[rtmpchunk.Video]),
		AudioOnTime: ratio(c.onTime[rtmpchunk.Audio], c.sent[rtmpchunk.Audio]),
		Delay:       quantiles(c.complete[rtmpchunk.Video]), Release: quantiles(c.release),
	}
	for i := range c.cfg.Hops {
		r.HopBytes[i] = ratio(c.bytes[i], c.messages)
		r.FeedbackBytes[i] = ratio(c.back[i], c.messages)
	}
	push, play := c.push.Stats(), c.loop.Snapshot().Sent
	r.Redundancy[0] = ratio(int(push.Retransmits+push.RepairsSent), int(push.PacketsSent))
	r.Redundancy[1] = ratio(int(play.Retransmits+play.RepairsSent), int(play.PacketsSent))
	return r
}

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

// quantiles sorts d.
func quantiles(d []time.Duration) Quantiles {
	if len(d) == 0 {
		return Quantiles{}
	}
	slices.Sort(d)
	at := func(q float64) float64 {
		return float64(d[min(len(d)-1, int(q*float64(len(d))))]) / float64(time.Millisecond)
	}
	return Quantiles{P50: at(.5), P95: at(.95), P99: at(.99)}
}
