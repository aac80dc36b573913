package relay

import (
	"iter"
	"math/bits"
	"time"
)

// A histogram's buckets: eight to each doubling, from a microsecond to the longest time there is a use for.
const (
	histogramStep    = 3  // 2³ buckets to a doubling: quantiles are right to within an eighth
	histogramOctaves = 24 // to 16 s; what is longer counts as that
	histogramBuckets = (histogramOctaves + 1) << histogramStep
)

// Histogram counts times. Its zero value is empty; a copy is a snapshot.
type Histogram struct {
	Count   uint64                   `json:"count"`
	Sum     time.Duration            `json:"sum"`
	Buckets [histogramBuckets]uint64 `json:"buckets"`
}

// Add counts one time; one that is less than nothing (clocks are set) counts as none.
func (h *Histogram) Add(d time.Duration) { h.AddMany(d, 1) }

// AddMany counts n equal times.
func (h *Histogram) AddMany(d time.Duration, n uint64) {
	d = max(0, d)
	h.Count += n
	h.Sum += d * time.Duration(n)
	h.Buckets[bucketOf(d)] += n
}

// bucketOf is the bucket of a time: its leading bit and the histogramStep bits behind it, in microseconds.
func bucketOf(d time.Duration) int {
	us := uint64(d / time.Microsecond)
	octave := bits.Len64(us >> histogramStep)
	if octave > 1 {
		us >>= octave - 1
	}
	i := int(us)
	if octave > 1 {
		i += (octave - 1) << histogramStep
	}
	return min(i, histogramBuckets-1)
}

// bucketEnd is where bucket i ends, which is where the next one begins.
func bucketEnd(i int) time.Duration {
	i++
	octave := i >> histogramStep
	if octave <= 1 {
		return time.Duration(i) * time.Microsecond
	}
	return time.Duration(1<<histogramStep|i&(1<<histogramStep-1)) << (octave - 1) * time.Microsecond
}

// Since is what was counted after an earlier snapshot.
func (h *Histogram) Since(earlier *Histogram) Histogram {
	d := Histogram{Count: h.Count - earlier.Count, Sum: h.Sum - earlier.Sum}
	for i := range d.Buckets {
		d.Buckets[i] = h.Buckets[i] - earlier.Buckets[i]
	}
	return d
}

// Merge adds what another counted.
func (h *Histogram) Merge(other *Histogram) {
	h.Count += other.Count
	h.Sum += other.Sum
	for i, n := range other.Buckets {
		h.Buckets[i] += n
	}
}

// Quantile is the time that a share q of those counted do not exceed, 0 if nothing was counted: the end of the bucket it is in, so never less
// than the truth, and at most an eighth (below 8 µs: a microsecond) more. Quantile(1) bounds the longest.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.Count == 0 {
		return 0
	}
	want := max(1, uint64(q*float64(h.Count)+0.999999))
	seen := uint64(0)
	for i, n := range h.Buckets {
		if seen += n; seen >= want {
			return bucketEnd(i)
		}
	}
	return bucketEnd(histogramBuckets - 1)
}

// Octaves is how many were at most so long, for each doubling.
func (h *Histogram) Octaves() iter.Seq2[time.Duration, uint64] {
	return func(yield func(time.Duration, uint64) bool) {
		total := uint64(0)
		for i, n := range h.Buckets {
			total += n
			if (i+1)&(1<<histogramStep-1) == 0 && i+1 < histogramBuckets && !yield(bucketEnd(i), total) {
				return
			}
		}
	}
}
