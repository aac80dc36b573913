package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"duet/bench/netem"
)

// patience is how long a test waits for what must happen; it is over at once when all is well.
const patience = 5 * time.Second

// echo is a target that sends everything back and remembers who sent it.
type echo struct {
	conn *net.UDPConn
	mu   sync.Mutex
	from []netip.AddrPort
	got  []string
}

func startEcho(t *testing.T, addr string) *echo {
	t.Helper()
	e := &echo{conn: listen(t, addr)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, maxDatagram)
		for {
			n, from, err := e.conn.ReadFromUDPAddrPort(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue
			}
			e.mu.Lock()
			e.from = append(e.from, from)
			e.got = append(e.got, string(buf[:n]))
			e.mu.Unlock()
			_, _ = e.conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() {
		_ = e.conn.Close()
		<-done
	})
	return e
}

func (e *echo) addr() string { return e.conn.LocalAddr().String() }

// senders are the different addresses seen, in order.
func (e *echo) senders() (list []netip.AddrPort) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.from {
		if len(list) == 0 || list[len(list)-1] != a {
			list = append(list, a)
		}
	}
	return list
}

func (e *echo) received() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return append([]string(nil), e.got...)
}

func listen(t *testing.T, addr string) *net.UDPConn {
	t.Helper()
	a, err := net.ResolveUDPAddr("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenUDP("udp", a)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

func startProxy(t *testing.T, cfg ProxyConfig) *Proxy {
	t.Helper()
	p, err := StartProxy(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// client sends to a proxy.
func client(t *testing.T, p *Proxy) *net.UDPConn {
	t.Helper()
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(p.Addr()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func say(t *testing.T, c *net.UDPConn, text string) {
	t.Helper()
	if _, err := c.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
}

func hear(t *testing.T, c *net.UDPConn, want string) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(patience))
	buf := make([]byte, maxDatagram)
	n, err := c.Read(buf)
	if err != nil || string(buf[:n]) != want {
		t.Fatalf("heard %q, %v, want %q", buf[:n], err, want)
	}
}

// eventually waits until something has become true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); !ok(); <-tick.C {
		if time.Now().After(end) {
			t.Fatalf("not yet: %s", what)
		}
	}
}

func TestProxyCarries(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	p := startProxy(t, ProxyConfig{Target: target.addr()})
	a, b := client(t, p), client(t, p)
	say(t, a, "from a")
	hear(t, a, "from a")
	say(t, b, "from b")
	hear(t, b, "from b")
	large := strings.Repeat("x", 9000)
	say(t, a, large)
	hear(t, a, large)
	s := p.Stats()
	if s.Flows != 2 || s.Opened != 2 || s.Up.Delivered != 3 || s.Down.Delivered != 3 {
		t.Errorf("%+v", s)
	}
	if n := len(target.senders()); n != 3 { // a, b, a
		t.Errorf("the target saw %d changes of address", n)
	}
}

func TestProxyDelays(t *testing.T) {
	p := startProxy(t, ProxyConfig{
		Target: startEcho(t, "127.0.0.1:0").addr(),
		Up:     netem.Config{Delay: 20 * time.Millisecond}, Down: netem.Config{Delay: 10 * time.Millisecond},
	})
	c := client(t, p)
	roundTrip := func() time.Duration {
		start := time.Now()
		say(t, c, "ping")
		hear(t, c, "ping")
		return time.Since(start)
	}
	if d := roundTrip(); d < 30*time.Millisecond {
		t.Errorf("there and back in %v", d)
	}
	p.SetUp(netem.Config{})
	p.SetDown(netem.Config{Delay: 40 * time.Millisecond})
	if d := roundTrip(); d < 40*time.Millisecond {
		t.Errorf("there and back in %v", d)
	}
}

func TestProxyLoses(t *testing.T) {
	p := startProxy(t, ProxyConfig{
		Target: startEcho(t, "127.0.0.1:0").addr(), Up: netem.Config{Loss: .5, Seed: 1},
	})
	c := client(t, p)
	const n = 200
	for i := range n {
		say(t, c, fmt.Sprint(i))
		eventually(t, "a datagram's fate", func() bool {
			s := p.Stats().Up
			return s.Lost+s.Delivered == uint64(i+1)
		})
	}
	// The same seed in virtual time loses as many.
	link := netem.NewLink(netem.Config{Loss: .5, Seed: 1})
	for range n {
		link.Send(time.Time{}, nil)
	}
	if got, want := p.Stats().Up.Lost, link.Stats().Lost; got != want {
		t.Errorf("%d of %d lost, want %d", got, n, want)
	}
}

func TestProxyRebind(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	p := startProxy(t, ProxyConfig{Target: target.addr()})
	c := client(t, p)
	for range 3 {
		say(t, c, "ping")
		hear(t, c, "ping")
		if err := p.Rebind(); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(target.senders()); n != 3 {
		t.Errorf("the target saw %d addresses, want 3", n)
	}
	// What still goes to an old port does not reach the client.
	_, _ = target.conn.WriteToUDPAddrPort([]byte("late"), target.senders()[0])
	say(t, c, "ping")
	hear(t, c, "ping")
}

func TestProxyBlackhole(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	p := startProxy(t, ProxyConfig{Target: target.addr()})
	c := client(t, p)
	p.Blackhole(true, false)
	say(t, c, "one") // a flow that begins in the dark
	eventually(t, "up cut", func() bool { return p.Stats().Up.DownDropped == 1 })
	p.Blackhole(false, true)
	p.SetDown(netem.Config{}) // which ends no outage
	say(t, c, "two")
	eventually(t, "down cut", func() bool { return p.Stats().Down.DownDropped == 1 })
	p.Blackhole(false, false)
	say(t, c, "three")
	hear(t, c, "three")
	if got := target.received(); fmt.Sprint(got) != "[two three]" {
		t.Errorf("the target received %q", got)
	}
}

func TestProxyHooks(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	var seen bytes.Buffer
	p := startProxy(t, ProxyConfig{
		Target:  target.addr(),
		Capture: func(dir string, b []byte) { fmt.Fprintf(&seen, "%s %s\n", dir, b) },
		Mutate: func(dir string, b []byte) [][]byte {
			switch {
			case dir == DirDown:
				return [][]byte{b}
			case string(b) == "drop":
				return nil
			}
			again := append([]byte("again "), b...)
			b[0] ^= 1
			return [][]byte{b, again}
		},
	})
	c := client(t, p)
	say(t, c, "drop")
	say(t, c, "cat")
	hear(t, c, "bat")
	hear(t, c, "again cat")
	p.Close() // after which nobody writes to seen
	if got, want := seen.String(), "up drop\nup cat\ndown bat\ndown again cat\n"; got != want {
		t.Errorf("captured %q, want %q", got, want)
	}
}

// TestProxyTargetComesBack shows that a target that is away for a time is no end of a flow.
func TestProxyTargetComesBack(t *testing.T) {
	away := listen(t, "127.0.0.1:0")
	addr := away.LocalAddr().String()
	p := startProxy(t, ProxyConfig{Target: addr})
	_ = away.Close()
	c := client(t, p)
	for i := range 5 {
		say(t, c, "anybody?")
		eventually(t, "a datagram sent", func() bool { return p.Stats().Up.Delivered == uint64(i+1) })
	}
	startEcho(t, addr)
	heard := false
	buf := make([]byte, 100)
	for end := time.Now().Add(patience); !heard && time.Now().Before(end); {
		say(t, c, "back?")
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, err := c.Read(buf)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		heard = err == nil
	}
	if !heard {
		t.Error("the target was not heard again")
	}
}

func TestProxyFlowLimit(t *testing.T) {
	p := startProxy(t, ProxyConfig{Target: startEcho(t, "127.0.0.1:0").addr(), MaxFlows: 2})
	clients := []*net.UDPConn{client(t, p), client(t, p), client(t, p)}
	for _, i := range []int{0, 1, 0, 2} { // at the end 1 has been silent longest
		say(t, clients[i], "ping")
		hear(t, clients[i], "ping")
	}
	if s := p.Stats(); s.Flows != 2 || s.Opened != 3 || s.Evicted != 1 || s.Up.Delivered != 4 {
		t.Errorf("%+v", s)
	}
	say(t, clients[0], "still here")
	hear(t, clients[0], "still here")
	if s := p.Stats(); s.Opened != 3 {
		t.Errorf("client 0 had to give way: %+v", s)
	}
	say(t, clients[1], "as a new one")
	hear(t, clients[1], "as a new one")
}

func TestProxyErrors(t *testing.T) {
	for _, cfg := range []ProxyConfig{{Target: "nonsense"}, {Target: "127.0.0.1:1", Listen: "127.0.0.1:x"}} {
		if p, err := StartProxy(context.Background(), cfg); err == nil {
			p.Close()
			t.Errorf("%+v was accepted", cfg)
		}
	}
}

// TestProxyEnds shows that the end of the context ends everything, with datagrams under way and flows in every state.
func TestProxyEnds(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(context.Background())
	p, err := StartProxy(ctx, ProxyConfig{Target: target.addr(), MaxFlows: 3, Up: netem.Config{Delay: time.Hour, Jitter: time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		say(t, client(t, p), "hello")
		eventually(t, "a flow", func() bool { return p.Stats().Opened == uint64(i+1) })
	}
	if err := p.Rebind(); err != nil {
		t.Fatal(err)
	}
	cancel()
	eventually(t, "no goroutine left", func() bool { return proxyGoroutines() == 0 })
	p.Close()
	if err := p.Rebind(); err != nil {
		t.Error(err)
	}
	p.SetUp(netem.Config{})
	if s := p.Stats(); s.Flows != 0 || s.Evicted != 2 || s.Up.Sent != 5 {
		t.Errorf("%+v", s)
	}
}

// proxyGoroutines counts the goroutines that run methods of a proxy, its flows or lanes.
func proxyGoroutines() (n int) {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for g := range strings.SplitSeq(string(stacks), "\n\n") {
		for _, owner := range []string{"bench.(*Proxy)", "bench.(*flow)", "bench.(*lane)", "bench.StartProxy"} {
			if strings.Contains(g, owner) && !strings.Contains(g, "testing.tRunner") {
				n++
				break
			}
		}
	}
	return n
}
