package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"
)

// An answer leaves from the address that was asked, also when the socket listens on all of them.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the whole of 127.0.0.0/8 is local on Linux only")
	}
	for _, listen := range []string{"0.0.0.0:0", "[::]:0"} {
		c, err := Listen(listen)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		asked := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.77"), c.LocalAddr().Port())
		client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(asked)) // takes answers from there only
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		if _, err := client.Write([]byte("question")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, remote, local, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if string(buf[:n]) != "question" || local != asked.Addr() || remote.Addr() != netip.MustParseAddr("127.0.0.1") {
			t.Errorf("%s: read %q from %v to %v", listen, buf[:n], remote, local)
		}
		if err := c.Write([]byte("answer"), remote, local); err != nil {
			t.Fatal(err)
		}
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, err = client.Read(buf); err != nil || string(buf[:n]) != "answer" {
			t.Errorf("%s: the answer did not come from %v: %q, %v", listen, asked, buf[:n], err)
		}
	}
}

// Both families work on one socket where the system has IPv6.
func TestIPv6(t *testing.T) {
	c, err := Listen("[::]:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, host := range []string{"127.0.0.1", "::1"} {
		to := netip.AddrPortFrom(netip.MustParseAddr(host), c.LocalAddr().Port())
		client, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
		if err != nil {
			t.Logf("no %s here: %v", host, err)
			continue
		}
		defer client.Close()
		if _, err := client.Write([]byte("q")); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 10)
		_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, remote, local, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write([]byte("a"), remote, local); err != nil {
			t.Fatal(err)
		}
		_ = client.SetReadDeadline(time.Now().Add(5 * time.Second))
		if _, err := client.Read(buf); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
}

func TestReadDeadline(t *testing.T) {
	c, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetReadDeadline(time.Unix(1, 0))
	if _, _, _, err := c.Read(make([]byte, 10)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Read after its deadline: %v", err)
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	c, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1200)
	to := c.LocalAddr()
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	allocs := testing.AllocsPerRun(200, func() {
		if err := c.Write(buf, to, to.Addr()); err != nil {
			t.Fatal(err)
		}
		if _, _, _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a datagram, want none", allocs)
	}
}
