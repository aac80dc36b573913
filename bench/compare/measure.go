package main

import (
	"encoding/json"
	"math"
	"slices"
	"sync"
	"time"
)

// limits are the delays for which the share of whole frames is told.
var limits = [5]time.Duration{100 * time.Millisecond, 150 * time.Millisecond, 200 * time.Millisecond, 300 * time.Millisecond, 400 * time.Millisecond}

// never stands for the delay of a frame that did not come whole.
const never = time.Duration(math.MaxInt64)

// meter notes what was sent and what came whole. Its methods may be called by any goroutine. Times are from one origin.
type meter struct {
	origin time.Time

	mu       sync.Mutex
	captured [kinds][]time.Duration
	complete [kinds][]time.Duration // never until it came
	bytes    int64
	counting bool // bytes
	damaged  int
	twice    int
}

func newMeter(origin time.Time) *meter { return &meter{origin: origin} }

// sent notes a frame, in the order of its index.
func (m *meter) sent(k kind, captured time.Duration, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.captured[k] = append(m.captured[k], captured)
	m.complete[k] = append(m.complete[k], never)
	if m.counting {
		m.bytes += int64(bytes)
	}
}

// count begins to add up the bytes of frames.
func (m *meter) count() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.counting = true
}

// got notes a frame that a receiver had whole at a time. A body that is not what was sent counts as damaged, not as a frame.
func (m *meter) got(body []byte, at time.Time) {
	k, index, captured, err := open(body)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil || int(index) >= len(m.captured[k]) || m.captured[k][index] != captured:
		m.damaged++
	case m.complete[k][index] != never:
		m.twice++
	default:
		m.complete[k][index] = at.Sub(m.origin)
	}
}

// quantiles of a delay in milliseconds. A frame that never came has an infinite delay, so a quantile may be infinite: null in JSON.
type quantiles struct{ P50, P95, P99 float64 }

// MarshalJSON writes what is infinite as null.
func (q quantiles) MarshalJSON() ([]byte, error) {
	list := map[string]*float64{"p50": &q.P50, "p95": &q.P95, "p99": &q.P99}
	for name, v := range list {
		if math.IsInf(*v, 1) {
			list[name] = nil
		}
	}
	return json.Marshal(list)
}

// quantilesOf leaves d as it is.
func quantilesOf(d []time.Duration) quantiles {
	sorted := slices.Sorted(slices.Values(d))
	at := func(q float64) float64 {
		if len(sorted) == 0 {
			return math.Inf(1)
		}
		v := sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
		if v == never {
			return math.Inf(1)
		}
		return float64(v) / float64(time.Millisecond)
	}
	return quantiles{P50: at(.5), P95: at(.95), P99: at(.99)}
}

// delays are those of the frames of one kind from an index on: from capture to whole, and from capture to release.
//
// Release is the same rule for every transport: frames are handed on in order; one that is not whole holds those behind it up, but only
// until the deadline after its own capture. One that comes after its deadline is handed on when it comes. So at the deadline itself as
// many frames are released as are whole, and at less fewer.
func (m *meter) delays(k kind, from int, deadline time.Duration) (complete, release []time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	held := time.Duration(math.MinInt64) // until when what has been before holds up what follows
	for i, captured := range m.captured[k] {
		at := m.complete[k][i]
		due := captured + deadline
		out := at
		if at <= due {
			out = max(at, held)
		}
		held = max(held, min(at, due))
		if i < from {
			continue
		}
		if at == never {
			complete, release = append(complete, never), append(release, never)
			continue
		}
		complete, release = append(complete, at-captured), append(release, out-captured)
	}
	return complete, release
}

// within is the share of delays that are at most a limit.
func within(d []time.Duration, limit time.Duration) float64 {
	if len(d) == 0 {
		return 0
	}
	n := 0
	for _, v := range d {
		if v <= limit {
			n++
		}
	}
	return float64(n) / float64(len(d))
}
