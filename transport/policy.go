package transport

import (
	"math"
	"time"
)

// Plan is what a policy knows when it decides on redundancy for one block.
type Plan struct {
	K      int           // source packets
	Video  bool          //
	Key    bool          // key frame
	Loss   float64       // share of packets lost on this hop, as estimated from reports
	Burst  float64       // mean length of a run of losses, 0 unknown
	RTT    time.Duration // smoothed
	Left   time.Duration // until nobody wants the block any more
	Rounds int           // how many more times a loss can be reported and answered in that time
	Slack  time.Duration // that is left after those rounds
	Later  bool          // Left ends where the next hop needs the block: what comes after is late, not lost
	Window int           // packets that parity over a window would help, this block's among them; 0: there is no window
	Narrow bool          // the path is known to be small: what repairs take, media lacks
	Queued bool          // a queue stands on the path: what is sent now makes it longer
}

// Policy decides how much redundancy a block gets; both methods may be asked at any time. The default is a dynamic program
// (planner.go). A Policy in a Config serves all sessions made with it.
type Policy interface {
	// Parity is the number of parity symbols to send right behind the block's packets.
	Parity(Plan) int
	// Window is the number of parity symbols over the window that each of the block's packets adds, behind them, in place of Parity; 0 for
	// none.
	Window(Plan) float64
	// Extra is the number of fresh parity symbols to add to the answer to missing losses.
	Extra(missing int, p Plan) int
}

// Margins of a report round: what a receiver takes to see a gap and report it, and a sender to answer.
const (
	roundMargin   = 9 * time.Millisecond
	arrivalMargin = 8 * time.Millisecond
	// RepairMargin is what one more report and its answer take on a hop beyond the round trip and a half of travel.
	RepairMargin = roundMargin + arrivalMargin

	// windowMargin is what decoding and handing out take.
	windowMargin = 2 * time.Millisecond

	// queueTolerance of queue is enough to stop feeding it with parity.
	queueTolerance = 60 * time.Millisecond
)

// plan gathers the facts for a block.
func (c *Conn) plan(now time.Time, b *block) Plan {
	p := Plan{
		K: b.k, Video: b.video, Key: b.key, Loss: c.loss.rate.estimate(), Burst: c.loss.rate.burst, RTT: c.rtt.srtt(), Left: b.deadline.Sub(now),
		Narrow: c.cc.bounded,
		Queued: c.cc.queue > queueTolerance,
	}
	switch rest := c.send.budget - c.Aim(); { // between aim and budget
	case c.send.arrival > 0 && c.send.arrival < c.send.budget:
		p.Left -= c.send.budget - c.send.arrival
		p.Later = !c.send.final
	case p.Left-rest > p.RTT/2+arrivalMargin:
		p.Left -= rest
	default: // it is late already
		p.Later = rest > 0
	}
	p.Rounds, p.Slack = roundsIn(p.Left, p.RTT)
	return p
}

// roundsIn is how many times a loss can be reported and answered in the time that is left, and what then remains.
func roundsIn(left, rtt time.Duration) (rounds int, slack time.Duration) {
	spare := left - rtt/2 - arrivalMargin
	if spare <= 0 {
		return 0, 0
	}
	return int(spare / (rtt + roundMargin)), spare % (rtt + roundMargin)
}

// Adaptive is per-frame Reed-Solomon as it is common, kept to compare with: every block gets the parity that its path's loss asks for, as if
// there were no reports; what is reported lost all the same is sent again.
type Adaptive struct{}

const (
	missPerFrame = 1e-3 // share of blocks that parity may leave incomplete
	lossSafety   = 1.05 // an estimate is late and noisy
	lossFloor    = 1e-3 // below this nothing is spent in advance
)

// Parity implements Policy.
func (Adaptive) Parity(p Plan) int {
	if p.Loss < lossFloor || p.Queued {
		return 0
	}
	return spare(p.K, p.Loss*lossSafety, missPerFrame)
}

// Window implements Policy.
func (Adaptive) Window(Plan) float64 { return 0 }

// Extra implements Policy.
func (Adaptive) Extra(int, Plan) int { return 0 }

// spare is the smallest r such that of k+r symbols, each lost independently with probability loss, more than r are lost with a
// probability of at most miss. At most 2k+2.
func spare(k int, loss, miss float64) int {
	loss = min(loss, 0.5)
	for r := range 2*k + 2 {
		if tail(k+r, r, loss) <= miss {
			return r
		}
	}
	return 2*k + 2
}

// tail is the probability that more than r of n are lost.
func tail(n, r int, p float64) float64 {
	term := math.Pow(1-p, float64(n))
	if p >= 1 {
		return 1
	}
	sum := term
	for i := 1; i <= r; i++ {
		term *= float64(n-i+1) / float64(i) * p / (1 - p)
		sum += term
	}
	return max(0, 1-sum)
}
