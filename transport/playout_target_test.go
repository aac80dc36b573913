package transport_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"duet/transport"
)

// A smooth playout shows every frame at the same delay after its capture, however unevenly frames become whole; raises that delay at once
// when one was later, and lowers it slowly when the network has become better.
func TestPlayoutTarget(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 4))
	s := newStage(t)
	s.start(0)
	s.p.SetClock(0)
	s.p.SetSmooth(true)
	const interval = 20 * time.Millisecond
	type due struct {
		at, captured time.Time
		packets      []*transport.Packet
	}
	var coming []due
	var spread time.Duration
	shown, changes, last := 0, 0, time.Duration(0)
	run := func(d, least, most time.Duration) {
		for end := s.now.Add(d); s.now.Before(end); s.now = s.now.Add(time.Millisecond) {
			if s.now.UnixMilli()%int64(interval/time.Millisecond) == 0 {
				took := least + time.Duration(r.Int64N(int64(most-least)))
				coming = append(coming, due{s.now.Add(took), s.now, s.video(500)})
			}
			rest := coming[:0]
			for _, c := range coming {
				if c.at.After(s.now) {
					rest = append(rest, c)
					continue
				}
				s.give(c.packets...)
			}
			coming = rest
			for {
				rel, ok := s.p.Poll(s.now)
				if !ok {
					break
				}
				if rel.Kind != transport.ReleaseMessage {
					continue
				}
				delay := s.now.Sub(rel.Captured)
				if shown++; (delay - last).Abs() > 3*time.Millisecond {
					changes++
				}
				last = delay
				spread = max(spread, delay)
			}
		}
	}
	run(3*time.Second, 20*time.Millisecond, 60*time.Millisecond)
	if target := s.p.Target(); target < 55*time.Millisecond || target > 75*time.Millisecond {
		t.Errorf("target %v where frames take 20 to 60 ms", target)
	}
	changes = 0
	run(3*time.Second, 20*time.Millisecond, 60*time.Millisecond)
	if changes > 2 {
		t.Errorf("the delay jumped %d times in a network that stays as it is", changes)
	}
	run(time.Second, 20*time.Millisecond, 140*time.Millisecond)
	if target := s.p.Target(); target < 120*time.Millisecond {
		t.Errorf("target %v where frames take up to 140 ms", target)
	}
	before := s.p.Target()
	run(22*time.Second, 20*time.Millisecond, 40*time.Millisecond)
	middle := s.p.Target()
	run(3*time.Second, 20*time.Millisecond, 40*time.Millisecond)
	if fell := middle - s.p.Target(); fell > 50*time.Millisecond {
		t.Errorf("the target fell by %v in 3 s", fell)
	}
	run(10*time.Second, 20*time.Millisecond, 40*time.Millisecond)
	if target := s.p.Target(); target > 60*time.Millisecond || before < target {
		t.Errorf("target %v after %v where frames take 40 ms", target, before)
	}
	if st := s.p.Stats(); st.Skipped != [2]uint64{} || shown < 2000 {
		t.Errorf("%d shown, %+v", shown, st)
	}
}
