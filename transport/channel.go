package transport

import "math"

// channel is a two-state model of a path after Gilbert: in its bad state everything is lost. It answers how many of so many packets in a
// row arrive. With a mean run of losses of 1/(1−p) packets it is a path that loses each packet for itself.
type channel struct {
	inRuns            bool    // losses are not independent
	bad, leave, enter float64 // share of time in the bad state, and the chances to leave and to enter it with a packet

	arrive    [][]float64 // [s][i]: the probability that i of s packets arrive
	good, ill []float64   // of the newest row, by the state after it
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
	return &channel{
		inRuns: r > 0, bad: loss, leave: 1 / run, enter: min(1, loss/(run*(1-loss))),
		arrive: [][]float64{{1}}, good: []float64{1 - loss}, ill: []float64{loss},
	}
}

// row gives the distribution of what arrives of s packets.
func (c *channel) row(s int) []float64 {
	for n := len(c.arrive); n <= s; n++ { // one packet more: each state's share goes on, and the packet is lost or not
		good, ill := make([]float64, n+1), make([]float64, n+1)
		for i := range n {
			// The state that c.good and c.ill tell is the one that meets this packet.
			good[i+1] += c.good[i] * (1 - c.enter)
			ill[i+1] += c.good[i] * c.enter
			good[i] += c.ill[i] * c.leave
			ill[i] += c.ill[i] * (1 - c.leave)
		}
		row := make([]float64, n+1)
		for i := range row {
			row[i] = good[i] + ill[i]
		}
		c.good, c.ill = good, ill
		c.arrive = append(c.arrive, row)
	}
	return c.arrive[s]
}

// short is the probability that fewer than n of s packets arrive.
func (c *channel) short(s, n int) float64 {
	sum := 0.0
	for _, p := range c.row(s)[:min(n, s+1)] {
		sum += p
	}
	return sum
}
