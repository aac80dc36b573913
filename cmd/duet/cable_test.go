//go:build unix

package main

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestPulledCable: a lost network is told as such within 3 s, and ends the call at the time that was set; text goes on meanwhile. A hang-up is
// another event, and acted on although no datagram of media passes.
func TestPulledCable(t *testing.T) {
	t.Parallel()
	const gone = 2 * time.Second
	cable := newCable(t)
	h := startServer(t, func(c *serverConfig) {
		c.rtmp, c.advertise, c.calls.settings.GoneAfter = "", cable.addr.String(), gone
	})
	cable.to(h.srv.relay.Addr())
	s := killable{t: t, http: h.srv.httpLn.Addr().(*net.TCPAddr).Port}
	anna, carl := s.join("anna", "agent"), s.join("carl", "caller")
	ctx := t.Context()
	if err := anna.c.OpenRoom(ctx); err != nil {
		t.Fatal(err)
	}
	connect := func() string {
		call, err := carl.c.JoinQueue(ctx, firstQueue, "")
		if err != nil {
			t.Fatal(err)
		}
		anna.await(ctx, "call.offered")
		if err := anna.c.Accept(ctx, call); err != nil {
			t.Fatal(err)
		}
		anna.await(ctx, "call.connected")
		carl.await(ctx, "call.connected")
		return call
	}

	call := connect()
	cable.pull(0, 3) // carl's pusher came first, and the player last
	at := time.Now()
	if e := anna.await(ctx, "call.link-lost"); e.User != "carl" {
		t.Errorf("lost is %s", e.User)
	}
	if took := time.Since(at); took > 3*time.Second {
		t.Errorf("told after %v", took)
	}
	if _, err := carl.c.Say(ctx, call, "1", "I am still here"); err != nil {
		t.Error(err)
	}
	anna.await(ctx, "message")
	at = time.Now()
	if e := anna.await(ctx, "call.ended"); e.Reason != "gone" || e.By != "carl" {
		t.Errorf("ended by %s: %s", e.By, e.Reason)
	}
	if took := time.Since(at); took < gone/2 || took > gone+time.Second {
		t.Errorf("the call ended %v after it was told", took)
	}

	cable.plug()
	call = connect()
	cable.pull(0, 1, 2, 3)
	at = time.Now()
	if err := carl.c.HangUp(ctx, call); err != nil {
		t.Fatal(err)
	}
	if e := anna.await(ctx, "call.ended"); e.Reason != "hangup" {
		t.Errorf("ended by %s", e.Reason)
	}
	if took := time.Since(at); took > time.Second {
		t.Errorf("the hang-up took %v", took)
	}
}

// cable forwards datagrams between clients and a relay.
type cable struct {
	t    *testing.T
	near *net.UDPConn
	addr netip.AddrPort

	mu      sync.Mutex
	relay   netip.AddrPort
	order   []netip.AddrPort // of clients, as they came
	far     map[netip.AddrPort]*net.UDPConn
	dropped []int // in order
}

func newCable(t *testing.T) *cable {
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	c := &cable{t: t, near: near, addr: near.LocalAddr().(*net.UDPAddr).AddrPort(), far: make(map[netip.AddrPort]*net.UDPConn)}
	t.Cleanup(func() {
		_ = near.Close()
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, f := range c.far {
			_ = f.Close()
		}
	})
	return c
}

// to begins to forward.
func (c *cable) to(relay netip.AddrPort) {
	c.relay = relay
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := c.near.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			if far := c.way(from); far != nil {
				_, _ = far.Write(b[:n])
			}
		}
	}()
}

// way is the socket for a client's datagrams; nil if its cable is pulled.
func (c *cable) way(client netip.AddrPort) *net.UDPConn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.order, client); i >= 0 && slices.Contains(c.dropped, i) {
		return nil
	}
	if f := c.far[client]; f != nil {
		return f
	}
	far, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(c.relay))
	if err != nil {
		return nil
	}
	c.far[client] = far
	c.order = append(c.order, client)
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			if c.way(client) != nil {
				_, _ = c.near.WriteToUDPAddrPort(b[:n], client)
			}
		}
	}()
	return far
}

// pull loses everything of some clients, by the order in which they came since the last plug.
func (c *cable) pull(clients ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped = clients
}

// plug forgets who came, for the next call.
func (c *cable) plug() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.dropped, c.order = nil, nil
	for _, f := range c.far {
		_ = f.Close()
	}
	clear(c.far)
}
