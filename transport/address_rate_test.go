package transport

import (
	"net/netip"
	"testing"
	"time"
)

// An address has a burst and a rate, others are not touched by it, and what is idle is forgotten.
func TestAddressLimit(t *testing.T) {
	var l addressLimit
	now := time.Unix(1000, 0)
	take := func(addr string, n int) (got int) {
		for range n {
			if l.spend(now, netip.MustParseAddr(addr)) {
				got++
			}
		}
		return got
	}
	if got := take("192.0.2.1", 2*addressBurst); got != addressBurst {
		t.Errorf("%d at once, want %d", got, addressBurst)
	}
	if take("192.0.2.2", 1) != 1 || take("2001:db8::1", 1) != 1 {
		t.Error("another address has to wait")
	}
	now = now.Add(time.Second)
	if got := take("::ffff:192.0.2.1", addressBurst); got != addressRate {
		t.Errorf("%d after a second, want %d", got, addressRate)
	}
	if got := take("2001:db8::1", addressBurst) + take("2001:db8::2:3:4:5", addressBurst); got != addressBurst {
		t.Errorf("a network of IPv6 gets %d, want %d", got, addressBurst)
	}
	for range 40 { // steadily asking does not fill it up
		now = now.Add(time.Second)
		if got := take("192.0.2.1", addressBurst); got != addressRate {
			t.Fatalf("%d in a second", got)
		}
	}
	for range 3 {
		now = now.Add(time.Minute)
		take("192.0.2.9", 1)
	}
	if n := len(l.young) + len(l.old); n > 2 {
		t.Errorf("%d addresses are remembered", n)
	}
	if got := take("192.0.2.1", 2*addressBurst); got != addressBurst {
		t.Errorf("%d after a while, want %d", got, addressBurst)
	}
}
