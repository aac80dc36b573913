package hook

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// ErrForbidden means that a webhook's URL leads to where a webhook must not go.
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

// never are networks that no webhook reaches, beside link-local ones and multicast, which netip knows: a cloud tells secrets at its metadata's address to
// whoever can ask from inside, and what leads to any IPv4 address would go around the check of that.
var never = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),          // this host
	netip.MustParsePrefix("240.0.0.0/4"),        // reserved, and broadcast
	netip.MustParsePrefix("192.0.0.0/24"),       // protocols' own; metadata of Oracle's older machines
	netip.MustParsePrefix("100.100.100.200/32"), // metadata: Alibaba
	netip.MustParsePrefix("168.63.129.16/32"),   // metadata: Azure
	netip.MustParsePrefix("fd00:ec2::/32"),      // metadata: AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // metadata: Google
	netip.MustParsePrefix("::/96"),              // IPv4 in it, but for ::1
	netip.MustParsePrefix("64:ff9b::/96"),       // likewise: NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"),     // likewise, of a network's own
	netip.MustParsePrefix("2001::/32"),          // likewise: Teredo
	netip.MustParsePrefix("2002::/16"),          // likewise: 6to4
	netip.MustParsePrefix("fec0::/10"),          // site-local, of old
}

// own are networks that are nobody's in the internet, beside those that netip knows.
var own = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
}

// allowed reports whether a webhook may reach an address: private ones and this machine only where the webhook says so.
func allowed(a netip.Addr, private bool) bool {
	a = a.Unmap().WithZone("")
	within := func(list []netip.Prefix) bool {
		return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
	}
	switch {
	case a.IsLoopback(): // before never: ::1 is in ::/96
		return private
	case !a.IsValid(), a.IsMulticast(), a.IsLinkLocalUnicast(), within(never):
		return false
	case a.IsPrivate(), within(own):
		return private
	}
	return true
}
