package bench

import (
	"math"
	"time"

	"duet/rtmpchunk"
)

// linkRecord is what is noted of a call while it runs. One goroutine uses it at a time.
type linkRecord struct {
	cfg     *LinkConfig
	begin   time.Time     // of the talk; what is before does not count
	traceAt time.Duration // how far the bottleneck's trace was then
	frames  []linkFrame
	hops    [2]hopRecord
	bytes   int // of messages
	refuse  int // frames for which the pusher had no room

	targets bitrateRecord
	bin     time.Duration // of the series; 0 none
	samples []linkSample  // at the end of each bin
}

// linkFrame is one frame's way. Times are since the call began, negative: never.
type linkFrame struct {
	captured, complete, released time.Duration
	kind                         rtmpchunk.Kind
	size                         int // of the message
}

// hopRecord is what went over a hop since the call began.
type hopRecord struct {
	media, back     int // bytes, in the media's direction and against it
	sent, lost      int // datagrams in the media's direction; lost of them, at the bottleneck or behind it
	passed          int // bytes that left the bottleneck
	waits           []time.Duration
	packets, repair int // media datagrams, and of all those: parity and repeats
	binWait         []time.Duration
}

// linkSample is the state of counters at one time.
type linkSample struct {
	at     time.Duration
	target int64
	bytes  int
	hops   [2]struct{ media, sent, lost, passed int }
}

// bitrateRecord is the distribution of the target, weighted by time: it is asked once a frame of video.
type bitrateRecord struct {
	n          int
	sum        float64
	least, top int64
}

func (b *bitrateRecord) add(v int64) {
	if b.n == 0 {
		b.least, b.top = v, v
	}
	b.n++
	b.sum += float64(v)
	b.least, b.top = min(b.least, v), max(b.top, v)
}

func (b *bitrateRecord) merge(o *bitrateRecord) {
	if o.n == 0 {
		return
	}
	if b.n == 0 {
		*b = *o
		return
	}
	b.n, b.sum = b.n+o.n, b.sum+o.sum
	b.least, b.top = min(b.least, o.least), max(b.top, o.top)
}

// The series of a call has bins of a hundred milliseconds, and longer ones where they would be more than maxSeries.
const (
	seriesBin = 100 * time.Millisecond
	maxSeries = 600
)

func newLinkRecord(cfg *LinkConfig) *linkRecord {
	r := &linkRecord{cfg: cfg}
	if cfg.Series {
		r.bin = max(seriesBin, (cfg.Duration+maxSeries-1)/maxSeries)
	}
	return r
}

// start begins: what was counted before is forgotten. neck is the first hop's bottleneck, nil if there is none.
func (r *linkRecord) start(now time.Time, neck *linkNeck) {
	r.begin = now
	if neck != nil {
		r.traceAt = now.Sub(neck.first)
	}
	for i := range r.hops {
		r.hops[i] = hopRecord{}
	}
}

// begun reports whether the talk goes on at now; it ends after cfg.Duration.
func (r *linkRecord) begun(now time.Time) bool {
	return !r.begin.IsZero() && !now.Before(r.begin) && now.Sub(r.begin) < r.cfg.Duration
}

// capture notes a new frame, whose order is the number of frames before it.
func (r *linkRecord) capture(now time.Time, kind rtmpchunk.Kind, size int, target int64) {
	r.frames = append(r.frames, linkFrame{captured: now.Sub(r.begin), complete: -1, released: -1, kind: kind, size: size})
	r.bytes += size
	if kind == rtmpchunk.Video {
		r.targets.add(target)
	}
}

// release notes that a frame has come out of the player.
func (r *linkRecord) release(released, complete time.Time, kind rtmpchunk.Kind, payload []byte) {
	order, ok := linkOrder(kind, payload)
	if !ok || order >= uint64(len(r.frames)) {
		return // the player had it checked; a frame of ours it is not
	}
	f := &r.frames[order]
	f.complete, f.released = complete.Sub(r.begin), released.Sub(r.begin)
}

// carried notes a datagram as it is handed to a hop.
func (r *linkRecord) carried(hop int, media bool, size int) {
	h := &r.hops[hop]
	if !media {
		h.back += size
		return
	}
	h.media += size
	h.sent++
}

// waited notes a datagram that leaves a bottleneck.
func (r *linkRecord) waited(hop int, left time.Time, wait time.Duration, size int) {
	if !r.begun(left) {
		return
	}
	h := &r.hops[hop]
	h.passed += size
	h.waits = append(h.waits, wait)
	if r.bin > 0 {
		at := int(left.Sub(r.begin) / r.bin)
		for len(h.binWait) <= at {
			h.binWait = append(h.binWait, 0)
		}
		h.binWait[at] = max(h.binWait[at], wait)
	}
}

// nextSample is when sample is due.
func (r *linkRecord) nextSample() (at time.Duration, ok bool) {
	at = time.Duration(len(r.samples)+1) * r.bin
	return at, r.bin > 0 && at <= r.cfg.Duration
}

// sample notes the counters at the end of a bin.
func (r *linkRecord) sample(at time.Duration, target int64) {
	s := linkSample{at: at, target: target, bytes: r.bytes}
	for i := range r.hops {
		h := &r.hops[i]
		s.hops[i].media, s.hops[i].sent, s.hops[i].lost, s.hops[i].passed = h.media, h.sent, h.lost, h.passed
	}
	r.samples = append(r.samples, s)
}

// LinkSeries is a call over time, in bins that end at Seconds. Rates are in bit/s, of UDP payload or as said; numbers that are not
// known are nil.
type LinkSeries struct {
	Seconds  []float64     `json:"seconds"`
	Delay    []*float64    `json:"delay_p50_ms"` // of the video frames captured in the bin that came: capture to complete
	DelayTop []*float64    `json:"delay_max_ms"`
	Late     []int         `json:"late_frames"` // video frames captured in the bin that were not whole by the deadline
	Target   []float64     `json:"target_bps"`  // of messages, audio and video
	Messages []float64     `json:"message_bps"`
	Capacity []float64     `json:"capacity_bps,omitempty"` // of each bottleneck
	Hops     [2]HopSeries  `json:"hops"`
	CDF      [2][]CDFPoint `json:"cdf"` // complete and release: share of all video frames
}

// HopSeries is one hop over time.
type HopSeries struct {
	Sent  []float64 `json:"sent_bps"`
	Queue []float64 `json:"queue_max_ms,omitempty"`
	Lost  []int     `json:"lost"` // datagrams in the media's direction
}

// CDFPoint says that a share of all frames took at most so long.
type CDFPoint struct {
	MS    float64 `json:"ms"`
	Share float64 `json:"share"`
}

func (r *linkRecord) series() *LinkSeries {
	if r.bin == 0 {
		return nil
	}
	n := len(r.samples)
	s := &LinkSeries{Late: make([]int, n), Delay: make([]*float64, n), DelayTop: make([]*float64, n)}
	byBin := make([][]time.Duration, n)
	for i := range r.frames {
		f := &r.frames[i]
		at := int(f.captured / r.bin)
		if f.kind != rtmpchunk.Video || at >= n {
			continue
		}
		if f.onTime(r.cfg.Deadline) {
			byBin[at] = append(byBin[at], f.complete-f.captured)
		} else {
			s.Late[at]++
		}
	}
	var before linkSample
	for i, now := range r.samples {
		seconds := (now.at - before.at).Seconds()
		rate := func(bytes int) float64 { return math.Round(float64(bytes) * 8 / seconds) }
		s.Seconds = append(s.Seconds, now.at.Seconds())
		s.Target = append(s.Target, float64(now.target))
		s.Messages = append(s.Messages, rate(now.bytes-before.bytes))
		if len(byBin[i]) > 0 {
			q := quantiles(byBin[i])
			top := milliseconds(byBin[i][len(byBin[i])-1])
			s.Delay[i], s.DelayTop[i] = &q.P50, &top
		}
		for j := range r.cfg.Hops {
			h := &s.Hops[j]
			h.Sent = append(h.Sent, rate(now.hops[j].media-before.hops[j].media))
			h.Lost = append(h.Lost, now.hops[j].lost-before.hops[j].lost)
			if r.cfg.bottlenecked() {
				wait := time.Duration(0)
				if i < len(r.hops[j].binWait) {
					wait = r.hops[j].binWait[i]
				}
				h.Queue = append(h.Queue, milliseconds(wait))
			}
		}
		before = now
	}
	if r.cfg.bottlenecked() {
		for _, bytes := range r.cfg.capacity(r.traceAt, r.bin, n) {
			s.Capacity = append(s.Capacity, math.Round(bytes*8/r.bin.Seconds()))
		}
	}
	return s
}

// onTime reports whether a frame was whole by a deadline.
func (f *linkFrame) onTime(deadline time.Duration) bool {
	return f.complete >= 0 && f.complete-f.captured <= deadline
}
