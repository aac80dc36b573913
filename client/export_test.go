package client

import "time"

// SetHold makes a step up come sooner.
func (r *Renditions) SetHold(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range r.ladder.rungs {
		r.ladder.rungs[i].hold = d
	}
}

// NextStart is what the next session will begin with.
func (p *Pusher) NextStart() (bps int64) {
	p.link.call(func(time.Time) { bps = p.link.cfg.bitrate.Start })
	return bps
}
