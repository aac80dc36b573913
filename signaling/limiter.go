package signaling

import (
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/time/rate"
)

// Limits of what anybody may ask, for each address; signing in also for each user.
const (
	openRate, openBurst   = 5, 20
	loginRate, loginBurst = 0.5, 5
	maxLimited            = 10_000 // addresses that are remembered
)

// limiter has a token bucket for each of many.
type limiter struct {
	rate  rate.Limit
	burst int

	mu   sync.Mutex
	have map[string]*rate.Limiter
	old  map[string]*rate.Limiter // those before: dropped when the present ones are too many
}

func newLimiter(r rate.Limit, burst int) *limiter {
	return &limiter{rate: r, burst: burst, have: make(map[string]*rate.Limiter)}
}

// spent reports whether allow would say no. It takes nothing.
func (l *limiter) spent(who string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.have[who]
	if b == nil {
		b = l.old[who]
	}
	return b != nil && b.Tokens() < 1
}

func (l *limiter) allow(who string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.have[who]
	if b == nil {
		if b = l.old[who]; b == nil {
			b = rate.NewLimiter(l.rate, l.burst)
		}
		if len(l.have) >= maxLimited/2 {
			l.old, l.have = l.have, make(map[string]*rate.Limiter)
		}
		l.have[who] = b
	}
	return b.Allow()
}

// clientOf is the address that a request comes from. What proxies say counts from the last one that is trusted. Of IPv6 the first 64 bits are one
// client.
func clientOf(r *http.Request, proxies []netip.Prefix) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	addr := peer.Addr().Unmap()
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && trusts(proxies, addr); i-- {
		next, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = next.Unmap()
	}
	if addr.Is6() {
		p, _ := addr.Prefix(64) // 64 is a length
		return p.Addr()
	}
	return addr
}

func trusts(proxies []netip.Prefix, addr netip.Addr) bool {
	for _, p := range proxies {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

func (a *API) clientOf(r *http.Request) netip.Addr { return clientOf(r, a.cfg.Proxies) }

func (a *API) trusts(addr netip.Addr) bool { return trusts(a.cfg.Proxies, addr) }
