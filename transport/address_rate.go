package transport

import (
	"net/netip"
	"time"
)

// What one address may ask for once a cookie has shown that it is its own: an office behind one address comes back at once after an outage, but nobody
// takes what is there for all. An address that is not proven has no limit of its own: whoever forges it would use it up for somebody else.
const (
	addressRate  = 100 // handshakes a second
	addressBurst = 500
	prefixV6     = 64 // bits of an IPv6 address that one customer has
)

// addressLimit is a token bucket for each address. One that was left alone for addressBurst/addressRate is full, and forgotten some time later.
type addressLimit struct {
	young, old map[netip.Prefix]bucket
	turned     time.Time
}

type bucket struct {
	left float64
	at   time.Time
}

// spend takes one of an address's handshakes, false if it has none left.
func (l *addressLimit) spend(now time.Time, from netip.Addr) bool {
	const full = time.Second * addressBurst / addressRate
	if l.young == nil || now.Sub(l.turned) > full {
		l.young, l.old, l.turned = make(map[netip.Prefix]bucket), l.young, now
	}
	key := addressOf(from)
	b, known := l.young[key]
	if !known {
		if b, known = l.old[key]; !known {
			b = bucket{addressBurst, now}
		}
	}
	b.left = min(addressBurst, b.left+max(0, now.Sub(b.at).Seconds())*addressRate)
	b.at = now
	ok := b.left >= 1
	if ok {
		b.left--
	}
	l.young[key] = b
	return ok
}

// addressOf is what counts as one address.
func addressOf(a netip.Addr) netip.Prefix {
	bits := prefixV6
	if a = a.Unmap().WithZone(""); a.Is4() {
		bits = a.BitLen()
	}
	p, _ := a.Prefix(bits) // the bits are right; invalid addresses are one key
	return p
}
