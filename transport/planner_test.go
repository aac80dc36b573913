package transport

import (
	"math/rand/v2"
	"testing"
	"time"
)

func plan(k, rounds int, loss float64) Plan {
	return Plan{K: k, Loss: loss, Rounds: rounds, RTT: 50 * time.Millisecond, Left: 200 * time.Millisecond}
}

// Nothing is spent where nothing is lost or a queue stands; more is spent the less time there is and the more is lost; where the
// rounds suffice, hardly anything.
func TestPlannerSpendsWhereItMust(t *testing.T) {
	p := &planner{}
	for _, k := range []int{1, 5, 20, 60, 128} {
		if n := p.Parity(plan(k, 0, 0)); n != 0 {
			t.Errorf("k=%d: %d parity symbols without loss", k, n)
		}
		queued := plan(k, 0, 0.1)
		queued.Queued = true
		if n := p.Parity(queued); n != 0 {
			t.Errorf("k=%d: %d parity symbols into a queue", k, n)
		}
		if n := p.Parity(plan(k, 4, 0.05)); n > k/10 {
			t.Errorf("k=%d: %d parity symbols with four rounds to come", k, n)
		}
		for _, loss := range []float64{0.01, 0.05, 0.1, 0.2, 0.3} {
			none, one, two := p.Parity(plan(k, 0, loss)), p.Parity(plan(k, 1, loss)), p.Parity(plan(k, 2, loss))
			if none < one || one < two {
				t.Errorf("k=%d loss %v: parity %d, %d, %d with 0, 1, 2 rounds", k, loss, none, one, two)
			}
			if more := p.Parity(plan(k, 0, loss+0.1)); more < none {
				t.Errorf("k=%d: parity falls from %d to %d as loss rises from %v", k, none, more, loss)
			}
			late := plan(k, 0, loss)
			late.Later = true
			if n := p.Parity(late); n > none {
				t.Errorf("k=%d loss %v: %d parity symbols against a delay, %d against a miss", k, loss, n, none)
			}
		}
	}
}

// What the plan says is what happens: blocks sent as planned over random loss are missed about as rarely as the price makes it worth.
func TestPlannerKeepsItsWord(t *testing.T) {
	const blocks = 20_000
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		k, rounds int
		loss      float64
		redundant float64 // at most, symbols over k
	}{{5, 0, 0.1, 0.85}, {5, 1, 0.1, 0.5}, {5, 2, 0.1, 0.2}, {5, 1, 0.2, 1.0}, {20, 1, 0.05, 0.12}, {1, 2, 0.2, 0.7}} {
		p := &planner{}
		sent, missed := 0, 0
		for range blocks {
			missing := c.k
			for rounds := c.rounds; rounds >= 0 && missing > 0; rounds-- {
				b := plan(c.k, rounds, c.loss)
				n := missing + p.Extra(missing, b)
				sent += n
				for range n {
					if r.Float64() >= c.loss {
						missing--
					}
				}
			}
			if missing > 0 {
				missed++
			}
		}
		if share := float64(missed) / blocks; share > 0.004 {
			t.Errorf("%+v: %.4f of the blocks are missed", c, share)
		}
		if redundancy := float64(sent)/blocks/float64(c.k) - 1; redundancy > c.redundant {
			t.Errorf("%+v: redundancy %.3f", c, redundancy)
		}
	}
}

func TestPlannerAllocatesNothingInSteadyState(t *testing.T) {
	p := &planner{}
	b := plan(9, 1, 0.1)
	p.Parity(b)
	if n := testing.AllocsPerRun(100, func() { p.Parity(b); p.Extra(2, b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
