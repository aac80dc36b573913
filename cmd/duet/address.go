package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"syscall"
)

// hostName is what a resolver takes; the longest name in the DNS has 253 letters.
var hostName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,252}$`)

// splitAddress takes HOST[:PORT] apart, as people write it: a name, an IPv4 address, an IPv6 address with or without brackets. port
// is empty where none is given. What could not stand in a URL is an error.
func splitAddress(text string) (host, port string, err error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return checkedHost(ip.String())
	}
	host, port, err = net.SplitHostPort(text)
	if err != nil { // perhaps only the port is missing
		if host, _, err = net.SplitHostPort(text + ":0"); err != nil {
			return "", "", fmt.Errorf("%q is not HOST or HOST:PORT", text)
		}
		return checkedHost(host)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", "", fmt.Errorf("in %q the port is not a number from 1 to 65535", text)
	}
	host, _, err = checkedHost(host)
	return host, port, err
}

// checkedHost is a host without a port, or an error.
func checkedHost(host string) (_, port string, err error) {
	ip, err := netip.ParseAddr(host)
	switch {
	case err == nil && ip.Zone() != "":
		return "", "", fmt.Errorf("%q has a zone, which means nothing on another machine", host)
	case err == nil && ip.IsUnspecified():
		return "", "", fmt.Errorf("%q is where a server listens, not where clients reach it", host)
	case err == nil:
		return ip.String(), "", nil
	case !hostName.MatchString(host):
		return "", "", fmt.Errorf("%q is neither a name nor an address", host)
	}
	return host, "", nil
}

// loopback reports whether an address to listen on can only be reached from this machine.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return true // Listen will say what is wrong with it
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// wildcard reports whether an address to listen on is every address of this machine.
func wildcard(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// listenHint adds what to do about a listener that did not open.
func listenHint(err error, flag string) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return withHint(err, "is another duet running? %s HOST:PORT chooses another address, port 0 a free port", flag)
	case errors.Is(err, syscall.EACCES):
		return withHint(err, "ports below 1024 need a privilege; %s HOST:PORT chooses another", flag)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return withHint(err, "%s takes an address of this machine; --advertise HOST[:PORT] is what clients are told", flag)
	}
	return withHint(err, "%s takes HOST:PORT of this machine, for example 127.0.0.1:0 for a free port on loopback", flag)
}
