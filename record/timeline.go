package record

import "time"

// timeline puts a stream's timestamps on the recording's clock. A stream's own timestamps are even, and where they stand on our clock is told by when
// frames were captured, which is uneven; clocks drift. So the place is that of the frame that came soonest, of the last seconds, and moves slowly.
// Audio and video of a stream share it, so that nothing moves between them.
type timeline struct {
	known   bool
	run     uint32
	first   uint32        // timestamp that ms counts from
	base    time.Duration // recording's time minus the stream's
	last    time.Duration // stream time of the newest frame
	buckets [timelineBuckets]time.Duration
	bucket  int64 // number of the newest, by recording's time
}

const (
	timelineBuckets = 10
	bucketTime      = time.Second
	slew            = 1000        // 1 ms in a second: ten times what clocks drift
	maxOff          = time.Second // a frame that is off by more begins anew: the source's timestamps have jumped
	unknown         = time.Duration(1) << 62
)

// at is a frame's time in the recording. captured is when it was captured, in the recording's time.
func (t *timeline) at(timestamp, run uint32, captured time.Duration) time.Duration {
	if !t.known || run != t.run {
		t.reset(timestamp, run, captured)
	}
	ms := time.Duration(int32(timestamp-t.first)) * time.Millisecond
	if off := captured - ms - t.base; off > maxOff || off < -maxOff {
		t.reset(timestamp, run, captured)
		ms = 0
	}
	if ms > 1<<30*time.Millisecond { // the difference would wrap
		t.first, t.base, t.last, ms = timestamp, t.base+ms, t.last-ms, 0
	}
	n := int64(captured / bucketTime)
	for ; t.bucket < n; t.bucket++ {
		t.buckets[place(t.bucket+1)] = unknown
		if n-t.bucket > timelineBuckets {
			t.bucket = n - timelineBuckets - 1
		}
	}
	if i := place(n); captured-ms < t.buckets[i] {
		t.buckets[i] = captured - ms
	}
	soonest := unknown
	for _, b := range t.buckets {
		soonest = min(soonest, b)
	}
	if soonest != unknown && ms > t.last {
		most := (ms - t.last) / slew
		t.base += min(max(soonest-t.base, -most), most)
	}
	t.last = max(t.last, ms)
	return t.base + ms
}

// place is where bucket n is kept; frames that were captured before the recording began have numbers below 0.
func place(n int64) int64 { return (n%timelineBuckets + timelineBuckets) % timelineBuckets }

func (t *timeline) reset(timestamp, run uint32, captured time.Duration) {
	*t = timeline{known: true, run: run, first: timestamp, base: captured, bucket: int64(captured / bucketTime)}
	for i := range t.buckets {
		t.buckets[i] = unknown
	}
}
