package transport

import (
	"testing"
	"time"
)

// All is well after a while without trouble; after trouble that takes longer. Frames that come late are trouble, clocks that drift are not.
func TestSteadiness(t *testing.T) {
	now := time.Unix(1000, 0)
	s := steadiness{since: now}
	if s.holds(now.Add(steadyAfter-1)) || !s.holds(now.Add(steadyAfter)) {
		t.Error("a quiet beginning does not count from steadyAfter on")
	}
	for i := range 3000 { // 100 s at 30 frames a second, 400 ppm
		now = now.Add(time.Second / 30)
		s.frame(now, int32(i*400*15625/30/1_000_000+i%5))
	}
	if !s.holds(now) || s.troubled {
		t.Error("drift was taken for trouble")
	}
	s.frame(now, s.least+int32((steadyDelay+time.Millisecond)/Tick))
	if s.holds(now.Add(steadyAgain-1)) || !s.holds(now.Add(steadyAgain)) {
		t.Error("a late frame does not end steadiness for steadyAgain")
	}
}
