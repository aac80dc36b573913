package transport

import "math"

// channel is a two-state model of a path after Gilbert: in its bad state everything is lost. It answers how many of so many packets in a
// row arrive. With a mean run of losses of 1/(1−p) packets it is a path that loses each packet for itself.
type channel struct {
	inRuns            bool    // losses are not independent
	bad, leave, enter float64 // share of time in the bad state, and the chances to leave and to enter it with a packet

	rows      int                      // known
	arrive    []float64                // rows one behind the other: in row s, at i, the probability that i of s packets arrive
	good, ill [plannerMost + 1]float64 // of the newest row, by the state after it
}

// A planner works with these losses and runs; between them it rounds up.
const (
	channelStep   = 0.01
	channelLosses = 51
)

var channelRuns = [...]float64{1, 1.5, 2, 3, 4.5, 7, 10} // mean runs of losses, over that of independent ones

// channelIndex finds the model for a loss and a mean run of losses; 0 stands for an unknown run.
func channelIndex(loss, run float64) (l, r int) {
	l = min(int(math.Ceil(loss/channelStep)), channelLosses-1)
	run *= 1 - loss
	for r < len(channelRuns)-1 && run > (channelRuns[r]+channelRuns[r+1])/2 {
		r++
	}
	return l, r
}

func newChannel(l, r int) *channel {
	loss := float64(l) * channelStep
	run := channelRuns[r] / (1 - loss)
	c := &channel{
		inRuns: r > 0, bad: loss, leave: 1 / run, enter: min(1, loss/(run*(1-loss))),
		rows: 1, arrive: append(make([]float64, 0, rowStart(channelRows)), 1),
	}
	c.good[0], c.ill[0] = 1-loss, loss
	return c
}

// channelRows of a channel are made room for at once: what a frame of ordinary size asks for. An estimate that wanders into a new channel
// would else allocate for each of them.
const channelRows = 48

// rowStart is where row s begins: row n has n+1 values.
func rowStart(s int) int { return s * (s + 1) / 2 }

// row gives the distribution of what arrives of s packets, at most plannerMost. It stays valid.
func (c *channel) row(s int) []float64 {
	for ; c.rows <= s; c.rows++ { // one packet more: each state's share goes on, and the packet is lost or not
		for i := c.rows; i >= 0; i-- { // downwards, so that what the next step needs is still there
			// The state that good and ill tell is the one that meets this packet.
			before := 0.0
			if i > 0 {
				before = c.good[i-1]
			}
			c.good[i], c.ill[i] = before*(1-c.enter)+c.ill[i]*c.leave, before*c.enter+c.ill[i]*(1-c.leave)
		}
		for i := range c.rows + 1 {
			c.arrive = append(c.arrive, c.good[i]+c.ill[i])
		}
	}
	return c.arrive[rowStart(s):rowStart(s+1)]
}

// short is the probability that fewer than n of s packets arrive.
func (c *channel) short(s, n int) float64 {
	sum := 0.0
	for _, p := range c.row(s)[:min(n, s+1)] {
		sum += p
	}
	return sum
}
