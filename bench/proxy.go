package bench

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"sync"
	"time"

	"duet/bench/netem"
)

// Directions, as hooks are told them.
const (
	DirUp   = "up"   // from a client to the target
	DirDown = "down" // from the target to a client
)

// Limits of a proxy.
const (
	// DefaultMaxFlows bounds memory: each flow may hold two links' netem.Config.Limit.
	DefaultMaxFlows = 16

	// maxDatagram is what a UDP socket can deliver.
	maxDatagram = 1 << 16

	// socketBuffer lets a burst wait in the kernel until the proxy runs: what overflows there would be loss that nobody set.
	socketBuffer = 4 << 20

	// retryDelay keeps a socket that reports one error after the other (a target that is not there) from taking a processor.
	retryDelay = 2 * time.Millisecond
)

// ProxyConfig says what a [Proxy] joins and what lies between.
type ProxyConfig struct {
	// Listen is the address for clients; empty is a free port on 127.0.0.1.
	Listen string

	// Target is the address that the clients' datagrams go to.
	Target string

	// Up and Down are the links from clients to the target and back. Every flow has links of its own, with seeds that follow
	// from these. Schedules and traces of all flows count from the first client's first datagram. Marks are counted, but the
	// datagrams that go on do not carry them.
	Up, Down netem.Config

	// MaxFlows is how many clients there may be at once; one more takes the place of the one that has been silent longest. 0
	// stands for DefaultMaxFlows.
	MaxFlows int

	// Capture is shown every datagram as it was sent, before Mutate and the link. It must not change or keep it.
	Capture func(dir string, b []byte)

	// Mutate gives what shall go into the link in place of a datagram: nothing, something else, several. It may change b, and
	// return it, but must not keep it. Calls of the two hooks never overlap; they may call any method but Close.
	Mutate func(dir string, b []byte) [][]byte

	// Log is told of flows that begin and end; nil for silence. It is told no address.
	Log *slog.Logger
}

// Proxy carries UDP datagrams between clients and a target over emulated links, in real time. Its methods may be called by
// any goroutine.
type Proxy struct {
	cfg    ProxyConfig
	log    *slog.Logger
	target *net.UDPAddr
	front  *net.UDPConn
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	hooks sync.Mutex // held while Capture and Mutate run

	mu      sync.Mutex
	began   time.Time // the first flow, zero before
	up      netem.Config
	down    netem.Config
	cut     [2]bool // up, down
	flows   map[netip.AddrPort]*flow
	opened  uint64
	evicted uint64
	refused uint64
	ended   ProxyStats // of flows that are gone
}

// ProxyStats counts since the start, over all flows. What was in transit when a flow ended stays counted as that.
type ProxyStats struct {
	Up, Down netem.Stats
	Flows    int    // at present
	Opened   uint64 // ever
	Evicted  uint64 // of them, those that had to give way
	Refused  uint64 // datagrams of new clients for which there was no socket
}

// StartProxy opens the sockets and starts carrying. It ends with ctx or [Proxy.Close].
func StartProxy(ctx context.Context, cfg ProxyConfig) (*Proxy, error) {
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0"
	}
	if cfg.MaxFlows <= 0 {
		cfg.MaxFlows = DefaultMaxFlows
	}
	target, err := net.ResolveUDPAddr("udp", cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("proxy target: %w", err)
	}
	listen, err := net.ResolveUDPAddr("udp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("proxy address: %w", err)
	}
	front, err := net.ListenUDP("udp", listen)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	widen(front)
	p := &Proxy{
		cfg: cfg, log: cfg.Log, target: target, front: front,
		up: cfg.Up, down: cfg.Down, flows: make(map[netip.AddrPort]*flow),
	}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	p.ctx, p.cancel = context.WithCancel(ctx)
	p.wg.Go(p.accept)
	p.wg.Go(func() {
		<-p.ctx.Done()
		p.shut()
	})
	return p, nil
}

// widen asks for a large socket buffer; what the system grants has to do.
func widen(c *net.UDPConn) {
	_ = c.SetReadBuffer(socketBuffer)
	_ = c.SetWriteBuffer(socketBuffer)
}

// Addr is where clients send to.
func (p *Proxy) Addr() netip.AddrPort {
	a, ok := p.front.LocalAddr().(*net.UDPAddr)
	if !ok {
		panic("bench: a UDP socket without a UDP address")
	}
	return a.AddrPort()
}

// Close ends the proxy and returns when all its goroutines have.
func (p *Proxy) Close() {
	p.cancel()
	p.wg.Wait()
}

// shut closes all sockets, which ends everything that waits for one.
func (p *Proxy) shut() {
	_ = p.front.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	for addr, f := range p.flows {
		p.end(addr, f)
	}
}

// accept takes datagrams from clients.
func (p *Proxy) accept() {
	buf := make([]byte, maxDatagram)
	for {
		n, from, err := p.front.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			if f := p.flow(from); f != nil {
				p.carry(&f.up, buf[:n])
			}
		case !again(p.ctx, err):
			return
		}
	}
}

// again waits a little after an error of a socket, and reports whether to go on: not if the socket was closed.
func again(ctx context.Context, err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return false
	}
	timer := time.NewTimer(retryDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// carry passes a datagram by the hooks into a link.
func (p *Proxy) carry(l *lane, b []byte) {
	if p.cfg.Capture == nil && p.cfg.Mutate == nil {
		l.send(b)
		return
	}
	p.hooks.Lock()
	defer p.hooks.Unlock()
	if p.cfg.Capture != nil {
		p.cfg.Capture(l.dir, b)
	}
	if p.cfg.Mutate == nil {
		l.send(b)
		return
	}
	for _, m := range p.cfg.Mutate(l.dir, b) {
		l.send(m)
	}
}

// SetUp changes the link from the clients to the target, of flows that are and that will be; see [netem.Link.Set]. The times of its
// schedule, too, count from the first client's first datagram.
func (p *Proxy) SetUp(cfg netem.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = cfg
	p.apply()
}

// SetDown changes the link from the target to the clients.
func (p *Proxy) SetDown(cfg netem.Config) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = cfg
	p.apply()
}

// Blackhole cuts either direction, until called again; SetUp and SetDown leave the cut as it is. What is on its way arrives.
func (p *Proxy) Blackhole(up, down bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = [2]bool{up, down}
	p.apply()
}

// apply gives all flows the present links. The caller holds mu.
func (p *Proxy) apply() {
	up, down := p.links()
	for _, f := range p.flows {
		f.up.set(up)
		f.down.set(down)
	}
}

// links are the present links' configurations. The caller holds mu.
func (p *Proxy) links() (up, down netem.Config) {
	up, down = p.up, p.down
	if p.cut[0] {
		up = up.WithOutage(0, math.MaxInt64)
	}
	if p.cut[1] {
		down = down.WithOutage(0, math.MaxInt64)
	}
	return up, down
}

// Rebind gives the target's side of every flow another local port, as a NAT does that has forgotten its table. What comes to
// the old port is lost; what is in the links goes on.
func (p *Proxy) Rebind() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.flows {
		if err := f.dial(); err != nil {
			return fmt.Errorf("proxy: %w", err)
		}
	}
	p.log.Debug("proxy rebound", "flows", len(p.flows))
	return nil
}

// Began is when the first client sent its first datagram, zero if none has.
func (p *Proxy) Began() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.began
}

// Stats tells what has happened so far.
func (p *Proxy) Stats() ProxyStats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.ended
	for _, f := range p.flows {
		s.Up = s.Up.Add(f.up.stats())
		s.Down = s.Down.Add(f.down.stats())
	}
	s.Flows, s.Opened, s.Evicted, s.Refused = len(p.flows), p.opened, p.evicted, p.refused
	return s
}
