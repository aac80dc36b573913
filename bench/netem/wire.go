package netem

import "time"

// wire holds datagrams until they are due: a binary heap by due time and, among equals, by order of entry.
type wire struct {
	heap    []datagram
	entered uint64
	last    time.Time // the latest due time so far, which nothing undercuts without reordering
}

// push puts a datagram on the wire at the time at which it left the bottleneck.
func (w *wire) push(at time.Time, d datagram, c *Config) {
	d.at = at.Add(c.Delay + time.Duration(d.jitter*float64(c.Jitter)))
	if d.at.Before(w.last) {
		if !c.Reorder {
			d.at = w.last
		}
	} else {
		w.last = d.at
	}
	d.seq = w.entered
	w.entered++

	w.heap = append(w.heap, d)
	i := len(w.heap) - 1
	for i > 0 && d.before(&w.heap[(i-1)/2]) {
		w.heap[i] = w.heap[(i-1)/2]
		i = (i - 1) / 2
	}
	w.heap[i] = d
}

// pop removes the datagram that is due first.
func (w *wire) pop() datagram {
	first := w.heap[0]
	n := len(w.heap) - 1
	d := w.heap[n]
	w.heap[n] = datagram{}
	w.heap = w.heap[:n]
	if n == 0 {
		return first
	}
	i := 0
	for {
		child := 2*i + 1
		if child >= n {
			break
		}
		if child+1 < n && w.heap[child+1].before(&w.heap[child]) {
			child++
		}
		if !w.heap[child].before(&d) {
			break
		}
		w.heap[i] = w.heap[child]
		i = child
	}
	w.heap[i] = d
	return first
}

func (d *datagram) before(o *datagram) bool {
	if d.at.Equal(o.at) {
		return d.seq < o.seq
	}
	return d.at.Before(o.at)
}
