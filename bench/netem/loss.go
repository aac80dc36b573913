package netem

import "math/rand/v2"

// chance draws what a link leaves to chance. Loss and jitter have a generator each, and each datagram sent takes exactly one
// number from both whatever becomes of it: so a change of one thing, such as the rate, leaves the losses as they were, and
// runs can be compared.
type chance struct {
	loss, jitter rand.PCG
	bad          bool // in a run of losses
}

func (c *chance) seed(seed uint64) {
	c.loss.Seed(scramble(seed), 1)
	c.jitter.Seed(scramble(seed), 2)
}

// draw decides about the next datagram: whether it is lost, and its share of the jitter, from 0 to 1.
func (c *chance) draw(loss, burst float64) (lost bool, jitter float64) {
	enter := loss
	if burst > 1 && loss < 1 {
		enter = min(1, loss/(burst*(1-loss)))
		if c.bad {
			enter = 1 - 1/burst
		}
	}
	c.bad = unit(&c.loss) < enter
	return c.bad, unit(&c.jitter)
}

// unit gives a number from 0 to 1, 1 excluded, so that a probability of 0 is never and 1 always.
func unit(g *rand.PCG) float64 { return float64(g.Uint64()>>11) / (1 << 53) }

// scramble is the output function of SplitMix64 (Steele, Lea and Flood 2014). Seeds that people choose are small and
// neighbours of each other; the links that they make shall not be.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
