package client

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
)

// maxAddresses bounds the addresses of a name that are tried.
const maxAddresses = 4

// resolve returns the addresses of HOST:PORT, in the resolver's order. It fails with CodeLookup, or with ctx's error.
func resolve(ctx context.Context, hostport string) ([]netip.AddrPort, error) {
	host, portText, err := net.SplitHostPort(hostport)
	if err != nil {
		return nil, &CodeError{Code: CodeLookup, Text: hostport + " is not HOST:PORT", Err: err}
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, &CodeError{Code: CodeLookup, Text: portText + " is not a port", Err: err}
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(addr.Unmap(), uint16(port))}, nil
	}
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || len(found) == 0 {
		return nil, &CodeError{Code: CodeLookup, Text: fmt.Sprintf("the name %s has no address that can be found (%v)", host, err), Err: err}
	}
	var list []netip.AddrPort
	for _, a := range found[:min(len(found), maxAddresses)] {
		list = append(list, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return list, nil
}
