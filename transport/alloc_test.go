package transport_test

import (
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// pool is a driver's: packets come back when nobody holds them.
type pool struct{ free []*pooled }

type pooled struct {
	transport.Packet
	pool  *pool
	count int
}

func (p *pooled) Retain() { p.count++ }
func (p *pooled) Release() {
	if p.count--; p.count == 0 {
		p.pool.free = append(p.pool.free, p)
	} else if p.count < 0 {
		panic("released once too often")
	}
}

func (p *pool) get() *transport.Packet {
	var k *pooled
	if n := len(p.free); n > 0 {
		k, p.free = p.free[n-1], p.free[:n-1]
	} else {
		k = &pooled{pool: p}
		k.Ref, k.Data = k, make([]byte, 0, rtmpchunk.MaxPacket)
	}
	k.count = 1
	return &k.Packet
}

// wired is a pusher and a relay without a network between them.
type wired struct {
	now           time.Time
	client, relay *transport.Conn
	packets       pool // of the pusher
	received      pool // of the relay
	packetizer    *rtmpchunk.Packetizer
	payload       []byte
	buf           [8 * wire.MaxDatagram]byte
	got           int
	emit          func([]byte, rtmpchunk.Header)
	alloc         func() []byte
	next          *transport.Packet
}

func newWired(t testing.TB) *wired {
	w := &wired{now: transporttest.Start, packetizer: newPacketizer(), payload: append([]byte{0x27, 1, 0, 0, 0}, make([]byte, 5000)...)}
	end := transporttest.NewRelayEnd(w.now, 1, nil)
	end.Alloc = w.received.get
	var err error
	if w.client, err = transport.New(w.now, transporttest.ClientConfig(wire.RolePush, 2)); err != nil {
		t.Fatal(err)
	}
	w.client.SetStreamClock(0)
	init, _ := w.client.Poll(w.now, w.buf[:])
	reply, conn, _ := end.Acceptor.Handle(w.now, transport.Path{Addr: transporttest.ClientAddr}, w.buf[:init.Size], nil)
	w.relay = conn
	w.client.HandleDatagram(w.now, transport.Path{Addr: transporttest.RelayAddr}, reply)
	w.alloc = func() []byte { w.next = w.packets.get(); return w.next.Data[:0] }
	w.emit = func(b []byte, h rtmpchunk.Header) {
		p := w.next
		p.Data, p.Header = b, h
		if err := w.client.Send(w.now, p); err != nil {
			t.Fatal(err)
		}
		p.Release()
	}
	return w
}

// frame sends one frame of five packets and lets 4 ms pass on both sides.
func (w *wired) frame() {
	if _, err := w.packetizer.Push(rtmpchunk.Message{Type: 9, Payload: w.payload}, transport.Ticks(w.client.Clock(w.now)), w.alloc, w.emit); err != nil {
		panic(err)
	}
	for range 4 {
		w.now = w.now.Add(1 * time.Millisecond)
		w.client.HandleTimeout(w.now)
		w.relay.HandleTimeout(w.now)
		w.pump(w.client, w.relay)
		w.pump(w.relay, w.client)
	}
}

func (w *wired) pump(from, to *transport.Conn) {
	path := transport.Path{Addr: transporttest.ClientAddr}
	if from == w.relay {
		path.Addr = transporttest.RelayAddr
	}
	for {
		t, ok := from.Poll(w.now, w.buf[:])
		if !ok {
			break
		}
		for off := 0; off < t.Size; off += t.Segment {
			to.HandleDatagram(w.now, path, w.buf[off:min(off+t.Segment, t.Size)])
		}
	}
	for {
		e, ok := to.PollEvent()
		if !ok {
			return
		}
		if e.Kind == transport.EventPacket {
			w.got++
			e.Packet.Release()
		}
	}
}

// TestNoAllocationPerPacket sends and receives frames in steady state: media, reports, pings.
func TestNoAllocationPerPacket(t *testing.T) {
	w := newWired(t)
	for range 1200 { // past every ring's growth and every table's first round
		w.frame()
	}
	before := w.got
	const frames = 300
	n := testing.AllocsPerRun(1, func() {
		for range frames {
			w.frame()
		}
	})
	if n > 3 { // a ring may grow once more
		t.Errorf("%v allocations for %d packets", n, frames*5)
	}
	if got := w.got - before; got != 2*frames*5 {
		t.Errorf("%d packets came, want %d", got, 2*frames*5)
	}
	if held := len(w.packets.free); held < 5 {
		t.Errorf("only %d packets of the pool came back", held)
	}
}

func BenchmarkFrame(b *testing.B) {
	w := newWired(b)
	b.ReportAllocs()
	for b.Loop() {
		w.frame()
	}
}
