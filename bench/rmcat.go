package bench

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"duet/transport/transporttest"
)

// RmcatConfig says which of RFC 8867's test cases to run, and what to change about them. The zero value runs all as they are, without
// jitter.
type RmcatConfig struct {
	Cases  []string      // "5.1" to "5.8"; none: all
	Losses []float64     // 0 to 0.9: every case is run with each of them; none: with the suite's own
	Jitter time.Duration // at most a second is added to the delay
	Seed   uint64

	// Done, if set, is given each report as soon as it is there.
	Done func(*RmcatReport)
}

// DefaultRmcatJitter is RFC 8867's.
const DefaultRmcatJitter = 30 * time.Millisecond

// Check tells what is wrong with a configuration.
func (c *RmcatConfig) Check() error {
	_, err := c.choose()
	return err
}

// RunRmcat runs test cases of RFC 8867 in virtual time. A case that the suite has with several losses or queues gives a report for each.
func RunRmcat(ctx context.Context, cfg RmcatConfig) ([]*RmcatReport, error) {
	cases, err := cfg.choose()
	if err != nil {
		return nil, err
	}
	var out []*RmcatReport
	for i := range cases {
		r, err := runRmcatCase(ctx, &cases[i], cfg.Jitter, cfg.Seed)
		if err != nil {
			return nil, fmt.Errorf("%w (case %s)", err, cases[i].id)
		}
		out = append(out, r)
		if cfg.Done != nil {
			cfg.Done(r)
		}
	}
	return out, nil
}

// choose lists what is to be run, in the suite's order.
func (c *RmcatConfig) choose() ([]rmcatCase, error) {
	if c.Jitter < 0 || c.Jitter > time.Second {
		return nil, fmt.Errorf("bench: jitter must be from 0 to 1s, not %v", c.Jitter)
	}
	for _, l := range c.Losses {
		if math.IsNaN(l) || l < 0 || l > 0.9 {
			return nil, fmt.Errorf("bench: loss must be from 0 to 0.9, not %v", l)
		}
	}
	suite := rmcatSuite()
	for _, id := range c.Cases {
		if !slices.ContainsFunc(suite, func(s rmcatCase) bool { return s.id == id }) {
			return nil, fmt.Errorf("bench: there is no case %q: RFC 8867's are %s to %s", id, suite[0].id, suite[len(suite)-1].id)
		}
	}
	var out []rmcatCase
	for _, s := range suite {
		switch {
		case len(c.Cases) > 0 && !slices.Contains(c.Cases, s.id):
		case len(c.Losses) == 0:
			out = append(out, s)
		case s.loss == 0:
			for _, loss := range c.Losses {
				out = append(out, withLoss(s, suite, loss))
			}
		}
	}
	return out, nil
}

// withLoss is a case with random loss: the suite's own if it has it, else one without bounds.
func withLoss(s rmcatCase, suite []rmcatCase, loss float64) rmcatCase {
	if loss == s.loss {
		return s
	}
	for _, other := range suite {
		if other.id == s.id && other.loss == loss {
			return other
		}
	}
	s.title += fmt.Sprintf(", %g %% random loss", 100*loss)
	s.loss, s.bounds = loss, nil
	return s
}

// rmcatRun is a case while it runs.
type rmcatRun struct {
	*rmcatCase
	d      *dumbbell
	jitter time.Duration
	seed   uint64
	media  []*mediaFlow
	tcp    []*tcpFlow
	failed error
}

func runRmcatCase(ctx context.Context, c *rmcatCase, jitter time.Duration, seed uint64) (*RmcatReport, error) {
	queue := c.queue
	if queue == 0 {
		queue = rmcatQueue
	}
	r := &rmcatRun{rmcatCase: c, jitter: jitter, seed: seed}
	r.d = newDumbbell(transporttest.Start, transporttest.Start.Add(rmcatDial), queue)
	for dir, steps := range c.capacity {
		for i, s := range steps {
			set := func(time.Time) { r.d.setRate(direction(dir), s.rate) }
			if i == 0 {
				set(r.d.now)
			} else {
				r.d.at(s.at, set)
			}
		}
	}
	for i := range c.media {
		r.addMedia(&c.media[i], uint64(i))
	}
	for i := range c.long + c.short {
		r.d.at(0, func(now time.Time) { r.addTCP(now, uint32(i), i < c.long) })
	}
	if err := r.d.run(ctx, c.length); err != nil {
		return nil, err
	}
	if r.failed != nil {
		return nil, r.failed
	}
	for _, m := range r.media {
		if m.err != nil {
			return nil, m.err
		}
	}
	return r.report(), nil
}

// addMedia lets a media flow begin in time: its handshake goes ahead of its first frame.
func (r *rmcatRun) addMedia(f *rmcatFlow, n uint64) {
	oneWay := f.oneWay
	if oneWay == 0 {
		oneWay = rmcatOneWay
	}
	r.d.at(f.start-rmcatDial, func(now time.Time) {
		m, err := newMediaFlow(now, oneWay, r.seed*64+n)
		if err != nil {
			r.failed = err
			return
		}
		ends, dir := [2]end{sourceEnd{m}, sinkEnd{m}}, forward
		if f.back {
			ends, dir = [2]end{sinkEnd{m}, sourceEnd{m}}, backward
		}
		m.dir = dir
		m.number = r.d.add(ends, r.legs(oneWay))
		r.media = append(r.media, m)
		r.d.flush(m.number, dir)
		m.play(r.d, f.start, r.length)
		if f.pause.to > 0 {
			r.d.at(f.pause.from, func(time.Time) { m.paused = true })
			r.d.at(f.pause.to, func(time.Time) { m.paused = false })
		}
	})
}

// legs of a flow, towards its right and towards its left end.
func (r *rmcatRun) legs(oneWay time.Duration) [2]*leg {
	n := uint64(len(r.d.flows))
	return [2]*leg{newLeg(oneWay, r.jitter, r.loss, r.seed, 2*n), newLeg(oneWay, r.jitter, r.loss, r.seed, 2*n+1)}
}
