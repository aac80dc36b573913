package crypto

import (
	"net/netip"
	"testing"
	"time"
)

func TestCookie(t *testing.T) {
	jar, twin, other := NewCookieJar(pattern(1)), NewCookieJar(pattern(1)), NewCookieJar(pattern(2))
	addr := netip.MustParseAddrPort("192.0.2.7:5000")
	start := time.Unix(1_700_000_010, 0) // a step begins here
	c := jar.Make(start, addr, 42)
	if c == [CookieSize]byte{} {
		t.Error("the cookie is all zeros")
	}
	if !jar.Valid(start, addr, 42, c) || !twin.Valid(start, addr, 42, c) {
		t.Error("a fresh cookie is not valid")
	}
	if mapped := netip.MustParseAddrPort("[::ffff:192.0.2.7]:5000"); !jar.Valid(start, mapped, 42, c) {
		t.Error("the IPv6 form of the address has another cookie")
	}
	for name, ok := range map[string]bool{
		"secret":  other.Valid(start, addr, 42, c),
		"address": jar.Valid(start, netip.MustParseAddrPort("192.0.2.8:5000"), 42, c),
		"port":    jar.Valid(start, netip.MustParseAddrPort("192.0.2.7:5001"), 42, c),
		"IPv6":    jar.Valid(start, netip.MustParseAddrPort("[2001:db8::7]:5000"), 42, c),
		"client":  jar.Valid(start, addr, 43, c),
		"zeros":   jar.Valid(start, addr, 42, [CookieSize]byte{}),
		"no addr": jar.Valid(start, netip.AddrPort{}, 42, c),
	} {
		if ok {
			t.Errorf("the cookie is valid for another %s", name)
		}
	}
	for i := range c {
		bad := c
		bad[i] ^= 0x10
		if jar.Valid(start, addr, 42, bad) {
			t.Errorf("a cookie with byte %d changed is valid", i)
		}
	}
}

func TestCookieLifetime(t *testing.T) {
	jar := NewCookieJar(pattern(1))
	addr := netip.MustParseAddrPort("[2001:db8::1]:5000")
	step := time.Unix(1_700_000_010, 0)
	for _, c := range []struct {
		made, used time.Duration
		want       bool
	}{
		{0, 59999 * time.Millisecond, true}, // made at the beginning of a step: 60 s
		{0, 60 * time.Second, false},
		{29 * time.Second, 59 * time.Second, true}, // made at its end: 30 s
		{29 * time.Second, 60 * time.Second, false},
		{0, -time.Second, false}, // a clock set back
	} {
		if got := jar.Valid(step.Add(c.used), addr, 1, jar.Make(step.Add(c.made), addr, 1)); got != c.want {
			t.Errorf("made at %v, used at %v: %v, want %v", c.made, c.used, got, c.want)
		}
	}
	for _, now := range []time.Time{{}, time.Unix(0, 0), time.Unix(29, 0)} {
		if !jar.Valid(now, addr, 1, jar.Make(now, addr, 1)) {
			t.Errorf("at %v a fresh cookie is not valid", now)
		}
	}
}

func TestCookieDoesNotAllocate(t *testing.T) {
	jar := NewCookieJar(pattern(1))
	addr := netip.MustParseAddrPort("192.0.2.7:5000")
	now := time.Unix(1_700_000_000, 0)
	c := jar.Make(now, addr, 1)
	if n := testing.AllocsPerRun(100, func() { jar.Valid(now, addr, 1, c) }); n != 0 {
		t.Errorf("checking a cookie allocates %v times", n)
	}
}

func TestResetValue(t *testing.T) {
	a := ResetValue(pattern(1), 7)
	if a != ResetValue(pattern(1), 7) || a == ResetValue(pattern(1), 8) || a == ResetValue(pattern(2), 7) {
		t.Error("the reset value does not depend on secret and session alone")
	}
}
