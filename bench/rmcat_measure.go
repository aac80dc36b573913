package bench

import (
	"slices"
	"time"
)

const (
	// A queue is back after a drop once datagrams wait less than recoveredQueue and go on so for recoveredFor.
	recoveredQueue = 30 * time.Millisecond
	recoveredFor   = 200 * time.Millisecond

	// settling is the time after a drop in which a queue is excused: what was sent before the sender could know has to drain.
	settling = time.Second

	// A rise is taken up once riseShare of what the new rate allows in riseWindow left the bottleneck within that time, the time before
	// the rise not counted: 450 ms is the least that can come out.
	riseShare  = 0.9
	riseWindow = 500 * time.Millisecond
)

// capacityBits is how many bits a bottleneck could have passed in a span.
func capacityBits(steps []step, s span) float64 {
	var sum float64
	for i, st := range steps {
		to := s.to
		if i+1 < len(steps) {
			to = min(to, steps[i+1].at)
		}
		if d := to - max(st.at, s.from); d > 0 {
			sum += d.Seconds() * float64(st.rate)
		}
	}
	return sum
}

// passedBits is how many bits of UDP payload left a bottleneck in a span, of the flows that are chosen (nil: of all).
func passedBits(passed []passage, s span, chosen func(flow int) bool) float64 {
	sum := 0
	for i := range passed {
		if p := &passed[i]; s.holds(p.left) && (chosen == nil || chosen(p.flow)) {
			sum += p.size * 8
		}
	}
	return float64(sum)
}

// utilisation is the one over the other.
func utilisation(passed []passage, steps []step, s span) float64 {
	c := capacityBits(steps, s)
	if c == 0 {
		return 0
	}
	return passedBits(passed, s, nil) / c
}

// changes lists the drops and the rises of a capacity, each as the span up to the next change.
func changes(steps []step, length time.Duration) (drops, rises []span) {
	for i := 1; i < len(steps); i++ {
		s := span{steps[i].at, length}
		if i+1 < len(steps) {
			s.to = steps[i+1].at
		}
		if steps[i].rate < steps[i-1].rate {
			drops = append(drops, s)
		} else {
			rises = append(rises, s)
		}
	}
	return drops, rises
}

// waits is the time that each datagram had to wait, of those whose service began in s and not within settling of one of the drops.
func waits(passed []passage, s span, drops []span) []time.Duration {
	var out []time.Duration
	for i := range passed {
		p := &passed[i]
		if !s.holds(p.at) || slices.ContainsFunc(drops, func(d span) bool { return p.at >= d.from && p.at < d.from+settling }) {
			continue
		}
		out = append(out, p.wait)
	}
	return out
}

// recovery is the time from a drop, where s begins, until the queue is back: the earliest moment after which nothing that leaves the
// queue within recoveredFor has waited for recoveredQueue or longer; 0 if no queue came of the drop. ok is false, and the time all of s,
// if that moment did not come.
func recovery(passed []passage, s span) (took time.Duration, ok bool) {
	calm := s.from
	for i := range passed {
		p := &passed[i]
		if p.at < calm || p.wait < recoveredQueue {
			continue
		}
		if p.at >= min(calm+recoveredFor, s.to) {
			break
		}
		calm = p.at + 1
	}
	if s.to-calm < recoveredFor {
		return s.to - s.from, false
	}
	return calm - s.from, true
}

// rise is the time from a rise, where s begins, until riseShare of the rate from then on left the bottleneck over riseWindow. ok is
// false, and the time all of s, if that did not happen.
func rise(passed []passage, steps []step, s span) (took time.Duration, ok bool) {
	want := riseShare * capacityBits(steps, span{s.from, s.from + riseWindow}) / 8
	sum, old := 0, 0
	for i := range passed {
		p := &passed[i]
		if p.left < s.from {
			old = i + 1
			continue
		}
		if p.left >= s.to {
			break
		}
		sum += p.size
		for passed[old].left <= p.left-riseWindow {
			sum -= passed[old].size
			old++
		}
		if float64(sum) >= want {
			return p.left - s.from, true
		}
	}
	return s.to - s.from, false
}

// jain is Jain's fairness index of shares: 1 if they are equal, 1/n if one has all.
func jain(shares []float64) float64 {
	var sum, squares float64
	for _, x := range shares {
		sum += x
		squares += x * x
	}
	if squares == 0 {
		return 0
	}
	return sum * sum / (float64(len(shares)) * squares)
}

// bins is the rate in kbit/s of what left a bottleneck in each second of a run, of one flow or, below 0, of all.
func bins(passed []passage, flow int, length time.Duration) []float64 {
	out := make([]float64, int((length+time.Second-1)/time.Second))
	for i := range passed {
		if p := &passed[i]; p.left >= 0 && p.left < length && (flow < 0 || p.flow == flow) {
			out[p.left/time.Second] += float64(p.size) * 8 / 1000
		}
	}
	return out
}
