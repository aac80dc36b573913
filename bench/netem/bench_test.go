package netem

import (
	"testing"
	"time"
)

func TestNoAllocation(t *testing.T) {
	lte, err := NamedTrace("lte")
	if err != nil {
		t.Fatal(err)
	}
	for name, cfg := range map[string]Config{
		"rate":  {Delay: 20 * ms, Jitter: 5 * ms, Rate: 10e6, Loss: .1, Burst: 3, Duplicate: .1, Mark: ms},
		"trace": {Delay: 20 * ms, Jitter: 5 * ms, Reorder: true, Trace: lte, Loss: .1, BurstTime: 20 * ms, QueueBytes: 20_000},
	} {
		l := NewLink(cfg)
		b := make([]byte, 1200)
		var buf [1500]byte
		now := origin
		step := func() {
			now = now.Add(ms)
			l.Send(now, b)
			for ok := true; ok; {
				_, ok = l.Receive(now, buf[:])
			}
		}
		for range 5000 {
			step()
		}
		if n := testing.AllocsPerRun(1000, step); n != 0 {
			t.Errorf("%s: %v allocations a datagram", name, n)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	l := NewLink(Config{Delay: 50 * ms, Jitter: 30 * ms, Reorder: true, Rate: 100e6, Loss: .05})
	data := make([]byte, 1200)
	var buf [1500]byte
	now := origin
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(200 * time.Microsecond)
		l.Send(now, data)
		for ok := true; ok; {
			_, ok = l.Receive(now, buf[:])
		}
	}
}
