package tcp

import (
	"math"
	"testing"
	"time"

	"duet/bench/netem"
)

var start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// connection is one of several that share a bottleneck.
type connection struct {
	*Sender
	*Receiver
	begin time.Duration
	sent  int
}

// share lets connections run over one link for data and one for acknowledgments, and calls at each of its seconds.
func share(t *testing.T, data, acks netem.Config, length time.Duration, cs []*connection, second func(s int)) {
	t.Helper()
	links := [2]*netem.Link{netem.NewLink(data), netem.NewLink(acks)}
	now, end, tick := start, start.Add(length), start
	var buf [MSS]byte
	flush := func() {
		for _, c := range cs {
			if now.Before(start.Add(c.begin)) {
				continue
			}
			for n, ok := c.Poll(now, buf[:]); ok; n, ok = c.Poll(now, buf[:]) {
				links[0].Send(now, buf[:n])
				c.sent++
			}
		}
	}
	for !now.After(end) {
		flush()
		next := tick
		for _, l := range links {
			if at, ok := l.Next(); ok && at.Before(next) {
				next = at
			}
		}
		for _, c := range cs {
			if at := c.Deadline(); !at.IsZero() && at.Before(next) {
				next = at
			}
		}
		now = next
		if !now.Before(tick) {
			if second != nil {
				second(int(tick.Sub(start) / time.Second))
			}
			tick = tick.Add(time.Second)
		}
		for n, ok := links[0].Receive(now, buf[:]); ok; n, ok = links[0].Receive(now, buf[:]) {
			for _, c := range cs {
				if ack := c.Receiver.HandleDatagram(nil, buf[:n]); len(ack) > 0 {
					links[1].Send(now, ack)
				}
			}
		}
		for n, ok := links[1].Receive(now, buf[:]); ok; n, ok = links[1].Receive(now, buf[:]) {
			for _, c := range cs {
				c.Sender.HandleDatagram(now, buf[:n])
			}
		}
		for _, c := range cs {
			c.HandleTimeout(now)
		}
	}
}

func connect(id uint32, size int64) *connection {
	return &connection{Sender: NewSender(id, size), Receiver: NewReceiver(id)}
}

func (c *connection) rate(d time.Duration) float64 {
	return float64(c.Receiver.next*MSS*8) / d.Seconds()
}

const half = 50 * time.Millisecond // of the round trip

// Alone on a link it takes it all, with any queue that is not tiny.
func TestAlone(t *testing.T) {
	for _, queue := range []time.Duration{100 * time.Millisecond, 300 * time.Millisecond, time.Second} {
		c := connect(1, 0)
		share(t, netem.Config{Rate: 2e6, Queue: queue, Delay: half}, netem.Config{Delay: half}, time.Minute, []*connection{c}, nil)
		if u := c.rate(time.Minute) / 2e6; u < 0.95 || u > 1 {
			t.Errorf("queue of %v: %.3f of the link", queue, u)
		}
	}
}

// One that comes later gets its share.
func TestTwoShare(t *testing.T) {
	a, b := connect(1, 0), connect(2, 0)
	b.begin = 20 * time.Second
	var from [2]int64
	share(t, netem.Config{Rate: 2e6, Delay: half}, netem.Config{Delay: half}, 260*time.Second, []*connection{a, b}, func(s int) {
		if s == 60 {
			from = [2]int64{a.Receiver.next, b.Receiver.next}
		}
	})
	x, y := float64(a.Receiver.next-from[0]), float64(b.Receiver.next-from[1])
	if fair := (x + y) * (x + y) / (2 * (x*x + y*y)); fair < 0.95 {
		t.Errorf("%v and %v segments: fairness %.3f", x, y, fair)
	}
	if u := (x + y) * MSS * 8 / 200 / 2e6; u < 0.95 {
		t.Errorf("%.3f of the link", u)
	}
}

// Under random loss in the Reno-friendly region the window is that of the equation in RFC 9438, section 4.3.
func TestRandomLoss(t *testing.T) {
	const p = 0.01
	c := connect(1, 0)
	share(t, netem.Config{Rate: 50e6, Delay: half, Loss: p, Seed: 3}, netem.Config{Delay: half}, 300*time.Second, []*connection{c}, nil)
	want := math.Sqrt(alpha*(1+beta)/(2*(1-beta)*p)) / 0.1 * MSS * 8
	if got := c.rate(300 * time.Second); got < 0.7*want || got > 1.3*want {
		t.Errorf("%.0f bit/s, want about %.0f", got, want)
	}
}

// After a loss the window is seven tenths, and back where it was after K.
func TestCurve(t *testing.T) {
	c := newCubic()
	c.window, c.ssthresh = 100, 100
	c.lost()
	if c.window != 70 || c.max != 100 {
		t.Fatalf("window %v, W_max %v", c.window, c.max)
	}
	const rtt = 10 * time.Millisecond
	k := time.Duration(math.Cbrt(30/cubicC) * float64(time.Second))
	now := start
	for ; now.Sub(start) < k; now = now.Add(rtt / 10) {
		c.reno = 0 // at this round trip Reno would be faster
		c.acked(now, c.window/10, rtt)
	}
	if c.window < 97 || c.window > 103 {
		t.Errorf("window %.1f after %v", c.window, k)
	}
	c.window = 80
	c.lost()
	if c.max != 80*(1+beta)/2 {
		t.Errorf("no fast convergence: W_max %v", c.max)
	}
	c.timedOut()
	if c.window != 1 || c.ssthresh < 39.1 || c.ssthresh > 39.3 {
		t.Errorf("after a timeout: window %v, ssthresh %v", c.window, c.ssthresh)
	}
}

// A file arrives whole, also if its tail is lost, or a third of everything both ways.
func TestFile(t *testing.T) {
	dropped := 0
	tail := func(b []byte) bool {
		if len(b) < MSS && dropped < 2 {
			dropped++
			return true
		}
		return false
	}
	for name, links := range map[string][2]netem.Config{
		"tail":  {{Delay: half, Drop: tail}, {Delay: half}},
		"third": {{Delay: half, Loss: 0.33, Seed: 1}, {Delay: half, Loss: 0.33, Seed: 2}},
		"acks":  {{Delay: half}, {Delay: half, Loss: 0.3, Seed: 2}},
	} {
		c := connect(1, 50_000)
		share(t, links[0], links[1], 10*time.Minute, []*connection{c}, nil)
		if !c.Done() || c.Receiver.next != 42 {
			t.Errorf("%s: done %v, %d segments", name, c.Done(), c.Receiver.next)
		}
		if name == "acks" && c.sent > 50 {
			t.Errorf("%d segments sent for 42, though none was lost", c.sent)
		}
	}
}
