package client

import (
	"math"
	"time"
)

// A histogram of delays with buckets that grow by 3 %: a quantile is off by at most 1.5 %, whatever its size.
const (
	delayGrowth  = 1.03
	delayFloor   = 16 * time.Microsecond // smaller ones count as this
	delayBuckets = 540                   // up to two minutes
)

var delayScale = 1 / math.Log(delayGrowth)

// delays counts delays. The zero value is ready.
type delays struct {
	counts [delayBuckets]uint64
	n      uint64
	max    time.Duration
}

// Delays says how a quantity of time is distributed: quantiles are within 1.5 %, Max is exact.
type Delays struct {
	Count              uint64
	P50, P95, P99, Max time.Duration
}

func (d *delays) add(v time.Duration) {
	v = max(v, 0) // clocks are estimates
	i := 0
	if v > delayFloor {
		i = min(delayBuckets-1, int(math.Log(float64(v)/float64(delayFloor))*delayScale)+1)
	}
	d.counts[i]++
	d.n++
	d.max = max(d.max, v)
}

// quantile returns the delay that the share q of all stays at or below.
func (d *delays) quantile(q float64) time.Duration {
	rank := uint64(math.Ceil(q * float64(d.n)))
	var seen uint64
	for i, n := range d.counts {
		seen += n
		if seen < max(rank, 1) {
			continue
		}
		if i == 0 {
			return min(delayFloor, d.max)
		}
		return min(d.max, time.Duration(float64(delayFloor)*math.Pow(delayGrowth, float64(i)-0.5)))
	}
	return 0
}

func (d *delays) summary() Delays {
	return Delays{Count: d.n, P50: d.quantile(0.5), P95: d.quantile(0.95), P99: d.quantile(0.99), Max: d.max}
}
