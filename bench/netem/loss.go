package netem

import (
	"math"
	"math/rand/v2"
	"time"
)

// chance draws what a link leaves to chance. Loss, jitter and duplication have a generator each, and each datagram sent takes the same
// number of numbers from each whatever becomes of it: so a change of one thing, such as the rate, leaves the losses as they were, and
// runs can be compared. Losses stepped by time have a generator too, and depend on the time alone.
type chance struct {
	loss, jitter, again rand.PCG

	bad bool // in a run of losses
	fade
}

func (c *chance) seed(seed uint64) {
	c.loss.Seed(scramble(seed), 1)
	c.jitter.Seed(scramble(seed), 2)
	c.again.Seed(scramble(seed), 3)
	c.chance.Seed(scramble(seed), 4)
}

// draw decides about the next datagram. Shares of the jitter are from 0 to 1.
func (c *chance) draw(cfg *Config) (d datagram) {
	enter := cfg.Loss
	switch {
	case cfg.BurstTime > 0:
		enter = 0 // fade decides, when the datagram is on the wire
	case cfg.Burst > 1 && cfg.Loss > 0 && cfg.Loss < 1:
		burst := max(cfg.Burst, cfg.Loss/(1-cfg.Loss))
		enter = cfg.Loss / (burst * (1 - cfg.Loss))
		if c.bad {
			enter = 1 - 1/burst
		}
	}
	c.bad = unit(&c.loss) < enter
	d.lost = c.bad
	d.jitter = unit(&c.jitter)
	d.again, d.againJitter = unit(&c.again) < cfg.Duplicate, unit(&c.again)
	return d
}

// fade is the two-state model stepped by time: a link that now and then is gone for a while. How long a state lasts is exponential, so
// that what is left of it can be kept as a number of its mean, which may change at any time.
type fade struct {
	chance rand.PCG
	known  bool // whether the state has been drawn
	faded  bool
	since  time.Time
	left   float64 // of the state's mean time, from since
}

// maxFadeSteps bounds the work of a long silence. After as many changes of state nothing is left of the one before, and it is drawn
// afresh.
const maxFadeSteps = 1 << 12

// at reports whether a datagram is lost that is on the wire at a time, which never goes back.
func (f *fade) at(now time.Time, c *Config) bool {
	switch {
	case c.Loss <= 0:
		return false
	case c.Loss >= 1:
		return true
	}
	for range maxFadeSteps {
		lasts := f.left * f.mean(c)
		if float64(now.Sub(f.since)) < lasts {
			return f.faded
		}
		f.since = f.since.Add(time.Duration(lasts))
		f.faded = !f.faded
		f.left = exponential(&f.chance)
	}
	f.draw(now, c)
	return f.faded
}

// change ends the present part of the state, because from now on the means are others, or begins the model.
func (f *fade) change(now time.Time, from, to *Config) {
	switch {
	case !f.known:
		if to.BurstTime > 0 {
			f.draw(now, to)
		}
		return
	case from.BurstTime > 0 && from.Loss > 0 && from.Loss < 1:
		f.at(now, from)
		f.left = max(f.left-float64(now.Sub(f.since))/f.mean(from), 0)
	}
	f.since = now
}

// draw gives the state that it has in the long run.
func (f *fade) draw(now time.Time, c *Config) {
	f.known = true
	f.faded = unit(&f.chance) < c.Loss
	f.since, f.left = now, exponential(&f.chance)
}

// mean is how long the present state lasts on average, in nanoseconds. Loss is between 0 and 1.
func (f *fade) mean(c *Config) float64 {
	if f.faded {
		return float64(c.BurstTime)
	}
	return float64(c.BurstTime) * (1 - c.Loss) / c.Loss
}

// unit gives a number from 0 to 1, 1 excluded, so that a probability of 0 is never and 1 always.
func unit(g *rand.PCG) float64 { return float64(g.Uint64()>>11) / (1 << 53) }

// exponential gives a number of mean 1.
func exponential(g *rand.PCG) float64 { return -math.Log(1 - unit(g)) }

// scramble is the output function of SplitMix64 (Steele, Lea and Flood 2014). Seeds that people choose are small and
// neighbours of each other; the links that they make shall not be.
func scramble(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
