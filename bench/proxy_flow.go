package bench

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"duet/bench/netem"
)

// flow is one client: two lanes, and the socket that the target knows it by.
type flow struct {
	proxy  *Proxy
	number uint64
	client netip.AddrPort
	ctx    context.Context
	cancel context.CancelFunc
	up     lane
	down   lane
	active time.Time // when the client last sent; under the proxy's mu

	mu   sync.Mutex
	back *net.UDPConn
}

// flow finds the flow of a client, or makes one; nil if the proxy has ended or no socket is to be had.
func (p *Proxy) flow(client netip.AddrPort) *flow {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return nil
	}
	f := p.flows[client]
	if f == nil {
		if f = p.open(client); f == nil {
			return nil
		}
	}
	f.active = time.Now()
	return f
}

// open makes a flow and starts its goroutines: one for each lane, one for the socket. The caller holds mu.
func (p *Proxy) open(client netip.AddrPort) *flow {
	f := &flow{proxy: p, number: p.opened, client: client}
	up, down := p.links()
	// The two links of a flow, and those of different flows, must not lose the same datagrams.
	up.Seed += f.number
	down.Seed = ^(down.Seed + f.number)
	if p.began.IsZero() {
		p.began = time.Now()
	}
	f.up.init(DirUp, up, p.began, f.toTarget)
	f.down.init(DirDown, down, p.began, f.toClient)
	f.ctx, f.cancel = context.WithCancel(p.ctx)
	if err := f.dial(); err != nil {
		f.cancel()
		p.refused++
		return nil
	}
	if len(p.flows) >= p.cfg.MaxFlows {
		p.evict()
	}
	p.opened++
	p.flows[client] = f
	p.wg.Go(func() { f.up.run(f.ctx) })
	p.wg.Go(func() { f.down.run(f.ctx) })
	p.log.Debug("proxy flow begins", "flow", f.number)
	return f
}

// evict ends the flow whose client has been silent longest. The caller holds mu.
func (p *Proxy) evict() {
	var oldest *flow
	for _, f := range p.flows {
		if oldest == nil || f.active.Before(oldest.active) {
			oldest = f
		}
	}
	p.evicted++
	p.end(oldest.client, oldest)
}

// end closes a flow and keeps its counts. The caller holds mu.
func (p *Proxy) end(client netip.AddrPort, f *flow) {
	delete(p.flows, client)
	f.cancel()
	f.mu.Lock()
	_ = f.back.Close()
	f.mu.Unlock()
	p.ended.Up = p.ended.Up.Add(f.up.stats())
	p.ended.Down = p.ended.Down.Add(f.down.stats())
	p.log.Debug("proxy flow ends", "flow", f.number)
}

// dial gives the flow a socket with a port that it has not had before, and listens to it in place of the one before.
func (f *flow) dial() error {
	conn, err := net.DialUDP("udp", nil, f.proxy.target)
	if err != nil {
		return err
	}
	widen(conn)
	f.mu.Lock()
	old := f.back
	f.back = conn
	f.mu.Unlock()
	if old != nil {
		_ = old.Close() // after the new one is open, so that the port is another
	}
	f.proxy.wg.Go(func() { f.listen(conn) })
	return nil
}

// listen takes datagrams from the target until the socket is closed. Other errors are those of a target that is not there at
// present.
func (f *flow) listen(conn *net.UDPConn) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := conn.Read(buf)
		switch {
		case err == nil:
			f.proxy.carry(&f.down, buf[:n])
		case !again(f.ctx, err):
			return
		}
	}
}

// toTarget and toClient are the lanes' far ends. A datagram that the system does not take is lost, as datagrams are.
func (f *flow) toTarget(b []byte) {
	f.mu.Lock()
	conn := f.back
	f.mu.Unlock()
	_, _ = conn.Write(b)
}

func (f *flow) toClient(b []byte) { _, _ = f.proxy.front.WriteToUDPAddrPort(b, f.client) }

// lane is one direction of a flow: a link, and the goroutine that waits for what comes out of it.
type lane struct {
	dir  string
	out  func(b []byte)
	wake chan struct{}

	mu   sync.Mutex
	link *netem.Link
}

func (l *lane) init(dir string, cfg netem.Config, began time.Time, out func(b []byte)) {
	l.dir, l.out = dir, out
	l.wake = make(chan struct{}, 1)
	l.link = netem.NewLink(cfg)
	l.link.Receive(began, nil) // from which its schedule counts
}

func (l *lane) send(b []byte) {
	l.mu.Lock()
	l.link.Send(time.Now(), b)
	l.mu.Unlock()
	l.poke()
}

func (l *lane) set(cfg netem.Config) {
	l.mu.Lock()
	l.link.Set(time.Now(), cfg)
	l.mu.Unlock()
	l.poke()
}

func (l *lane) stats() netem.Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.link.Stats()
}

// poke makes run look again. A poke that is pending already is as good as this one.
func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run hands out what arrives, when it arrives.
func (l *lane) run(ctx context.Context) {
	buf := make([]byte, maxDatagram)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		l.mu.Lock()
		n, arrived := l.link.Receive(time.Now(), buf)
		next, pending := l.link.Next()
		l.mu.Unlock()
		switch {
		case arrived:
			l.out(buf[:n])
			continue
		case pending:
			timer.Reset(time.Until(next))
		default:
			timer.Stop()
		}
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
	}
}
