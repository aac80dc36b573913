package bench

import (
	"math"
	"slices"
	"time"

	"duet/rtmpchunk"
)

// Quantiles of a time, in milliseconds.
type Quantiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// BitrateStats is about what the encoder was asked for and what it made, in bit/s of messages, audio and video together.
type BitrateStats struct {
	Target float64 `json:"target_mean_bps"`
	Least  float64 `json:"target_min_bps"`
	Most   float64 `json:"target_max_bps"`
	Made   float64 `json:"made_bps"`
	OnTime float64 `json:"on_time_fps"` // video frames a second that were on time
}

// LinkReport is what came of a call, or of several with different seeds. Ratios of bytes are UDP payload over the bytes of audio and video
// messages; there is one for each hop, the pusher's first.
type LinkReport struct {
	Seed        uint64     `json:"seed"` // the first call's; each other call has the one after
	Calls       int        `json:"calls"`
	Real        bool       `json:"real"`   // over sockets, in real time
	Frames      int        `json:"frames"` // of video
	AudioFrames int        `json:"audio_frames"`
	OnTime      float64    `json:"on_time_ratio"` // video frames whole within the deadline
	AudioOnTime float64    `json:"audio_on_time_ratio"`
	WorstOnTime float64    `json:"worst_on_time_ratio"` // of the call in which it is lowest
	Delay       Quantiles  `json:"delay_ms"`            // capture to video frame complete, of those that came
	Release     Quantiles  `json:"release_ms"`          // capture to release in decode order, audio and video
	Refused     int        `json:"refused_frames"`      // of both: the pusher's queue was full
	HopBytes    [2]float64 `json:"hop_bytes_ratio"`     // in the media's direction
	Feedback    [2]float64 `json:"feedback_ratio"`      // against it
	Redundancy  [2]float64 `json:"redundancy"`          // repeats and parity over packets
	Loss        [2]float64 `json:"loss_ratio"`          // datagrams lost of those sent, in the media's direction, a full queue's too

	// Of the hop whose bottleneck is fuller; 0 without a bottleneck.
	Utilisation float64   `json:"utilisation"` // bytes that left the bottleneck over those that it could have passed
	Goodput     float64   `json:"goodput"`     // bytes of messages that were on time over the same
	Queue       Quantiles `json:"queue_ms"`    // wait at the bottleneck

	Bitrate BitrateStats `json:"bitrate"`
	Series  *LinkSeries  `json:"series,omitempty"` // of the first call
}

// linkTotals is what a report is made of, and can be added up over calls.
type linkTotals struct {
	seed              uint64
	links             int // hops that are bad
	calls             int
	real              bool
	seconds           float64
	sent, onTime      [2]int // frames, by kind
	worst             float64
	complete, release []time.Duration
	refused           int
	bytes, useful     int // of messages; of those on time
	hops              [2]hopRecord
	capacity          float64 // bytes that a bottleneck could pass
	targets           bitrateRecord
	series            *LinkSeries
}

// totals closes the books on a call.
func (r *linkRecord) totals() *linkTotals {
	t := &linkTotals{
		seed: r.cfg.Seed, links: r.cfg.Hops, calls: 1, seconds: r.cfg.Duration.Seconds(), refused: r.refuse, bytes: r.bytes, hops: r.hops, targets: r.targets,
		series: r.series(),
	}
	for i := range r.frames {
		f := &r.frames[i]
		t.sent[f.kind]++
		if f.onTime(r.cfg.Deadline) {
			t.onTime[f.kind]++
			t.useful += f.size
		}
		if f.released >= 0 {
			t.release = append(t.release, f.released-f.captured)
			if f.kind == rtmpchunk.Video {
				t.complete = append(t.complete, f.complete-f.captured)
			}
		}
	}
	t.worst = ratio(t.onTime[rtmpchunk.Video], t.sent[rtmpchunk.Video])
	if r.cfg.bottlenecked() {
		t.capacity = r.cfg.capacity(r.traceAt, r.cfg.Duration, 1)[0]
	}
	return t
}

// add takes another call in.
func (t *linkTotals) add(o *linkTotals) {
	t.calls += o.calls
	t.seconds += o.seconds
	for i := range t.sent {
		t.sent[i] += o.sent[i]
		t.onTime[i] += o.onTime[i]
	}
	t.worst = min(t.worst, o.worst)
	t.complete, t.release = append(t.complete, o.complete...), append(t.release, o.release...)
	t.refused, t.bytes, t.useful = t.refused+o.refused, t.bytes+o.bytes, t.useful+o.useful
	for i := range t.hops {
		t.hops[i].add(&o.hops[i])
	}
	t.capacity += o.capacity
	t.targets.merge(&o.targets)
}

func (h *hopRecord) add(o *hopRecord) {
	h.media, h.back, h.sent, h.lost, h.passed = h.media+o.media, h.back+o.back, h.sent+o.sent, h.lost+o.lost, h.passed+o.passed
	h.packets, h.repair = h.packets+o.packets, h.repair+o.repair
	h.waits = append(h.waits, o.waits...)
}

// report is the totals as people and programs read them. It sorts the times.
func (t *linkTotals) report() *LinkReport {
	r := &LinkReport{
		Seed: t.seed, Calls: t.calls, Real: t.real, Frames: t.sent[rtmpchunk.Video], AudioFrames: t.sent[rtmpchunk.Audio],
		OnTime:      ratio(t.onTime[rtmpchunk.Video], t.sent[rtmpchunk.Video]),
		AudioOnTime: ratio(t.onTime[rtmpchunk.Audio], t.sent[rtmpchunk.Audio]),
		WorstOnTime: t.worst, Delay: quantiles(t.complete), Release: quantiles(t.release), Refused: t.refused, Series: t.series,
	}
	for i := range t.links {
		h := &t.hops[i]
		r.HopBytes[i], r.Feedback[i] = ratio(h.media, t.bytes), ratio(h.back, t.bytes)
		r.Redundancy[i], r.Loss[i] = ratio(h.repair, h.packets), ratio(h.lost, h.sent)
		if used := float64(h.passed) / t.capacity; t.capacity > 0 && used > r.Utilisation {
			r.Utilisation, r.Goodput, r.Queue = used, float64(t.useful)/t.capacity, quantiles(h.waits)
		}
	}
	b := &t.targets
	r.Bitrate = BitrateStats{
		Target: math.Round(b.sum / float64(max(b.n, 1))), Least: float64(b.least), Most: float64(b.top),
		Made: math.Round(float64(t.bytes) * 8 / t.seconds), OnTime: float64(t.onTime[rtmpchunk.Video]) / t.seconds,
	}
	if r.Series != nil {
		r.Series.CDF = [2][]CDFPoint{cdf(t.complete, r.Frames), cdf(t.release, r.Frames+r.AudioFrames)}
	}
	return r
}

// cdfPoints is how many points a distribution is drawn with.
const cdfPoints = 200

// cdf is the distribution of sorted times among all frames, those that never came included.
func cdf(sorted []time.Duration, all int) []CDFPoint {
	if len(sorted) == 0 {
		return nil
	}
	var out []CDFPoint
	for i := range cdfPoints + 1 {
		at := i * (len(sorted) - 1) / cdfPoints
		out = append(out, CDFPoint{MS: milliseconds(sorted[at]), Share: ratio(at+1, all)})
	}
	return out
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
