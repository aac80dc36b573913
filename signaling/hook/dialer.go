package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// ErrForbidden means that a webhook's name leads to an address that a webhook must not reach.
var ErrForbidden = errors.New("hook: the webhook leads to an address that it may not reach")

const dialTime = 5 * time.Second

// dialer connects to what is allowed only. A name is looked up once, and what is connected to is the address that was checked: between the two nobody
// can give the name another one.
func dialer(private bool) func(ctx context.Context, network, addr string) (net.Conn, error) {
	d := &net.Dialer{Timeout: dialTime}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, fmt.Errorf("hook: %w", err)
		}
		found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		if err != nil {
			return nil, fmt.Errorf("hook: %w", err)
		}
		err = ErrForbidden
		for _, a := range found {
			if !allowed(a, private) {
				continue
			}
			var conn net.Conn
			if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.Unmap().String(), port)); err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
}

// Networks that are nobody's own beside those that netip knows: carriers' NAT, and the clouds' metadata over IPv6.
var (
	sharedNAT  = netip.MustParsePrefix("100.64.0.0/10")
	metadata6  = netip.MustParseAddr("fd00:ec2::254")
	thisHost   = netip.MustParsePrefix("0.0.0.0/8")
	benchmarks = netip.MustParsePrefix("198.18.0.0/15")
	nat64      = netip.MustParsePrefix("64:ff9b::/96") // leads to any IPv4 address
	sixToFour  = netip.MustParsePrefix("2002::/16")    // likewise
)

// allowed reports whether a webhook may reach an address: link-local ones, which have the clouds' metadata, multicast and odd ones never; private
// ones and this machine where the webhook says so.
func allowed(a netip.Addr, private bool) bool {
	a = a.Unmap()
	switch {
	case !a.IsValid(), a.IsUnspecified(), a.IsMulticast(), a.IsLinkLocalUnicast(), a == metadata6, thisHost.Contains(a), nat64.Contains(a), sixToFour.Contains(a),
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return false
	case a.IsLoopback(), a.IsPrivate(), sharedNAT.Contains(a), benchmarks.Contains(a):
		return private
	}
	return true
}
