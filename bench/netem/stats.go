package netem

import (
	"fmt"
	"math"
	"math/bits"
	"time"
)

// Stats counts datagrams, and their bytes, since the link began. Sent and Duplicated together are the sum of Delivered, InTransit and
// all that was lost or dropped.
type Stats struct {
	Sent           uint64
	SentBytes      uint64
	Duplicated     uint64 // copies made by Duplicate
	Delivered      uint64 // handed out by Receive
	DeliveredBytes uint64
	InTransit      uint64 // at the bottleneck or on the wire

	Lost         uint64 // by Loss
	QueueDropped uint64 // by Queue or QueueBytes
	DownDropped  uint64 // by Down
	TestDropped  uint64 // by Drop
	LimitDropped uint64 // by Limit

	BottleneckBytes uint64 // left the bottleneck, also what was lost behind it
	Marked          uint64 // by Mark, also what was lost afterwards

	// QueueDelay is how long datagrams waited at the bottleneck. At a Rate that is until their own service begins; under a Trace it is
	// until they leave. Without either nothing is noted.
	QueueDelay Delays
}

// Add gives the sum of two links' statistics.
func (s Stats) Add(o Stats) Stats {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.Duplicated += o.Duplicated
	s.Delivered += o.Delivered
	s.DeliveredBytes += o.DeliveredBytes
	s.InTransit += o.InTransit
	s.Lost += o.Lost
	s.QueueDropped += o.QueueDropped
	s.DownDropped += o.DownDropped
	s.TestDropped += o.TestDropped
	s.LimitDropped += o.LimitDropped
	s.BottleneckBytes += o.BottleneckBytes
	s.Marked += o.Marked
	s.QueueDelay.add(&o.QueueDelay)
	return s
}

// Buckets of Delays: linear up to 8 units of 65.536 µs, then 8 to the octave. The last also holds what is longer than 2 minutes.
const (
	delayUnit    = 16 // bits of a nanosecond
	delayLinear  = 3  // bits
	delayBuckets = 152
)

// Delays is a histogram of times, good to 12.5 % or 65 µs, whichever is more. The zero value is empty.
type Delays struct{ n [delayBuckets]uint32 }

// note counts a time.
func (d *Delays) note(t time.Duration) {
	if c := &d.n[bucketOf(t)]; *c < math.MaxUint32 {
		*c++
	}
}

func (d *Delays) add(o *Delays) {
	for i, n := range o.n {
		d.n[i] = uint32(min(uint64(d.n[i])+uint64(n), math.MaxUint32))
	}
}

// Since gives what was noted after an earlier state of the same histogram.
func (d Delays) Since(earlier Delays) Delays {
	for i := range d.n {
		d.n[i] -= min(d.n[i], earlier.n[i])
	}
	return d
}

// Count is the number of times noted.
func (d Delays) Count() (n uint64) {
	for _, c := range d.n {
		n += uint64(c)
	}
	return n
}

// Quantile is the time that a share q of those noted, from 0 to 1, does not exceed, 0 if there are none. Within a bucket times are taken
// to be spread evenly, but those of the first, 65 µs, count as no time.
func (d Delays) Quantile(q float64) time.Duration {
	rank := min(max(q, 0), 1) * float64(d.Count())
	for i, c := range d.n {
		if c == 0 || float64(c) < rank {
			rank -= float64(c)
			continue
		}
		if i == 0 {
			return 0
		}
		low, high := bucketFloor(i), bucketFloor(i+1)
		return low + time.Duration(float64(high-low)*rank/float64(c))
	}
	return 0
}

// String is a summary.
func (d Delays) String() string {
	return fmt.Sprintf("p50 %v, p95 %v", d.Quantile(.5).Round(10*time.Microsecond), d.Quantile(.95).Round(10*time.Microsecond))
}

func bucketOf(t time.Duration) int {
	v := uint64(max(t, 0)) >> delayUnit
	octave := max(bits.Len64(v)-delayLinear-1, 0)
	return min(octave<<delayLinear+int(v>>octave), delayBuckets-1)
}

// bucketFloor is the least time in a bucket.
func bucketFloor(i int) time.Duration {
	octave := max(i>>delayLinear-1, 0)
	return time.Duration(i-octave<<delayLinear) << (octave + delayUnit)
}
