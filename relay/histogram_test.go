package relay

import (
	"testing"
	"time"
)

// A quantile is never less than the truth and at most an eighth more.
func TestHistogramQuantiles(t *testing.T) {
	for d := time.Microsecond; d < 10*time.Second; d = d*21/20 + time.Microsecond {
		var h Histogram
		h.Add(d)
		if got := h.Quantile(.5); got <= d-time.Microsecond || float64(got) > 1.126*float64(d)+2000 {
			t.Fatalf("one time of %v has the median %v", d, got)
		}
	}
	for i := range histogramBuckets - 1 {
		if end := bucketEnd(i); bucketOf(end) != i+1 || bucketOf(end-time.Microsecond) != i {
			t.Fatalf("bucket %d does not end at %v", i, end)
		}
	}
	var h Histogram
	for i := range 1000 {
		h.Add(time.Duration(i) * time.Microsecond)
	}
	if p := h.Quantile(.99); p < 989*time.Microsecond || p > 1120*time.Microsecond {
		t.Errorf("p99 of 0 to 999 µs is %v", p)
	}
	before := h
	h.Add(time.Hour)
	h.Add(-time.Second)
	if d := h.Since(&before); d.Count != 2 || d.Quantile(1) != bucketEnd(histogramBuckets-1) || d.Quantile(0) != time.Microsecond {
		t.Errorf("an hour and a second back: %v, %v", d.Quantile(0), d.Quantile(1))
	}
}

// Doublings add up: all that were at most so long.
func TestHistogramOctaves(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{time.Microsecond, time.Millisecond, time.Millisecond, time.Hour} {
		h.Add(d)
	}
	got := make(map[time.Duration]uint64)
	for end, n := range h.Octaves() {
		got[end] = n
	}
	if len(got) != histogramOctaves || got[8*time.Microsecond] != 1 || got[512*time.Microsecond] != 1 || got[1024*time.Microsecond] != 3 || got[8*time.Microsecond<<(histogramOctaves-1)] != 3 {
		t.Errorf("%d doublings: %v", len(got), got)
	}
}
