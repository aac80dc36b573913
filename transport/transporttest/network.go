package transporttest

import (
	"fmt"
	"net/netip"
	"time"

	"duet/bench/netem"
	"duet/transport"
	"duet/transport/wire"
)

// Start is when every Network begins.
var Start = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// Endpoint is one host of a Network.
type Endpoint interface {
	HandleDatagram(now time.Time, from transport.Path, b []byte)
	HandleTimeout(now time.Time)
	Poll(now time.Time, buf []byte) (transport.Transmit, bool)
	Deadline() time.Time
}

// Network joins endpoints by links in virtual time. One goroutine uses it.
type Network struct {
	now   time.Time
	nodes []*node
	index map[netip.AddrPort]*node
	links []*link
	buf   []byte
	in    []byte

	// Tap, if set, sees every datagram as it is sent and may change it, drop it (nil), or multiply it.
	Tap func(from, to netip.AddrPort, b []byte) [][]byte

	// Tasks by time.
	tasks []task
	seq   int
}

type node struct {
	addr netip.AddrPort
	e    Endpoint
	out  map[netip.AddrPort]*link
	// done is called after every input, once there is nothing left to send.
	done func(now time.Time)
}

type link struct {
	from, to netip.AddrPort
	l        *netem.Link
}

type task struct {
	at  time.Time
	seq int
	f   func(now time.Time)
}

// NewNetwork returns an empty network at Start.
func NewNetwork() *Network {
	return &Network{now: Start, index: make(map[netip.AddrPort]*node), buf: make([]byte, 8*wire.MaxDatagram), in: make([]byte, 2048)}
}

// Now is the virtual time.
func (n *Network) Now() time.Time { return n.now }

// Add puts an endpoint at an address. done, if not nil, runs after each of its inputs: the place to take events out.
func (n *Network) Add(addr netip.AddrPort, e Endpoint, done func(now time.Time)) {
	nd := &node{addr: addr, e: e, done: done, out: make(map[netip.AddrPort]*link)}
	n.nodes = append(n.nodes, nd)
	n.index[addr] = nd
}

// Move gives an endpoint another address, with new links like the old ones' (a NAT rebinding); what was on its way to the old one is lost.
func (n *Network) Move(from, to netip.AddrPort) {
	nd := n.index[from]
	if nd == nil {
		panic(fmt.Sprintf("transporttest: nobody at %v", from))
	}
	delete(n.index, from)
	nd.addr = to
	n.index[to] = nd
	for _, l := range n.links {
		if l.from == from {
			l.from = to
		}
	}
	for _, other := range n.nodes {
		if l := other.out[from]; l != nil {
			other.out[to] = l
			delete(other.out, from)
			l.to = to
		}
	}
}

// Join links two addresses, with one configuration for each direction. An address pair may be joined again to change its links.
func (n *Network) Join(a, b netip.AddrPort, ab, ba netem.Config) {
	n.oneWay(a, b, ab)
	n.oneWay(b, a, ba)
}

func (n *Network) oneWay(from, to netip.AddrPort, cfg netem.Config) {
	nd := n.index[from]
	if nd == nil {
		panic(fmt.Sprintf("transporttest: nobody at %v", from))
	}
	if l := nd.out[to]; l != nil {
		l.l.Set(n.now, cfg)
		return
	}
	l := &link{from: from, to: to, l: netem.NewLink(cfg)}
	nd.out[to] = l
	n.links = append(n.links, l)
}

// At runs f at a time from now, in the order of times, then of calls.
func (n *Network) At(after time.Duration, f func(now time.Time)) {
	n.seq++
	n.tasks = append(n.tasks, task{at: n.now.Add(after), seq: n.seq, f: f})
}

// Kick lets an endpoint send what it has, after something was handed to it outside of Run.
func (n *Network) Kick(addr netip.AddrPort) {
	if nd := n.index[addr]; nd != nil {
		n.pump(nd)
	}
}

// Run lets d of virtual time pass.
func (n *Network) Run(d time.Duration) {
	end := n.now.Add(d)
	for n.step(end) {
	}
	n.now = end
}

// RunUntil runs until cond holds or d has passed, and reports whether it held.
func (n *Network) RunUntil(d time.Duration, cond func() bool) bool {
	end := n.now.Add(d)
	for !cond() {
		if !n.step(end) {
			n.now = end
			return cond()
		}
	}
	return true
}

// step goes to the next event at or before end and handles it.
func (n *Network) step(end time.Time) bool {
	var first time.Time
	kind, which := 0, 0
	consider := func(at time.Time, k, w int) {
		if at.Before(n.now) {
			at = n.now
		}
		if kind == 0 || at.Before(first) {
			first, kind, which = at, k, w
		}
	}
	for i := range n.tasks {
		if kind != 1 || n.tasks[i].at.Before(n.tasks[which].at) {
			consider(n.tasks[i].at, 1, i)
		}
	}
	for i, l := range n.links {
		if at, ok := l.l.Next(); ok {
			consider(at, 2, i)
		}
	}
	for i, nd := range n.nodes {
		if at := nd.e.Deadline(); !at.IsZero() {
			consider(at, 3, i)
		}
	}
	if kind == 0 || first.After(end) {
		return false
	}
	n.now = first
	switch kind {
	case 1:
		t := n.tasks[which]
		n.tasks = append(n.tasks[:which], n.tasks[which+1:]...)
		t.f(n.now)
	case 2:
		l := n.links[which]
		if size, ok := l.l.Receive(n.now, n.in); ok {
			if nd := n.index[l.to]; nd != nil {
				nd.e.HandleDatagram(n.now, transport.Path{Addr: l.from}, n.in[:size])
				n.pump(nd)
			}
		}
	case 3:
		nd := n.nodes[which]
		nd.e.HandleTimeout(n.now)
		n.pump(nd)
		if at := nd.e.Deadline(); !at.IsZero() && !at.After(n.now) {
			n.now = n.now.Add(time.Microsecond) // a deadline that does not move must not stop time
		}
	}
	return true
}

// pump takes out what an endpoint has to send.
func (n *Network) pump(nd *node) {
	for round := 0; ; round++ {
		sent := false
		for {
			t, ok := nd.e.Poll(n.now, n.buf)
			if !ok {
				break
			}
			sent = true
			for off := 0; off < t.Size; off += t.Segment {
				n.transmit(nd, t.Path.Addr, n.buf[off:min(off+t.Segment, t.Size)])
			}
		}
		if nd.done != nil {
			nd.done(n.now)
		}
		if !sent || round == 1000 {
			return
		}
	}
}

func (n *Network) transmit(nd *node, to netip.AddrPort, b []byte) {
	if len(b) > wire.MaxDatagram {
		panic(fmt.Sprintf("transporttest: datagram of %d bytes", len(b)))
	}
	out := [][]byte{b}
	if n.Tap != nil {
		out = n.Tap(nd.addr, to, b)
	}
	l := nd.out[to]
	if l == nil {
		return // no route, as after a move
	}
	for _, m := range out {
		l.l.Send(n.now, m)
	}
}
