package load

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/relay/udp"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// worker drives its share of the clients from one goroutine, over one socket.
type worker struct {
	cfg     *Config
	origin  time.Time // of every session's clock
	sock    *udp.Conn
	in      *udp.Inbox
	out     *udp.Outbox
	server  transport.Path
	policy  transport.Policy
	byID    map[uint64]*client
	pushers []*client // live ones, by phase
	dirty   []*client
	wheel   wheel
	spare   []*packet
	media   []byte
	ring    func(*client) // of the wheel
	now     time.Time

	opened, live int // sessions so far; pushers whose stream is on
	refused      int // sessions that the relay did not let in, or lost
	reason       string
	received     uint64 // media packets, within the window
	delay        relay.Histogram
	sendErrors   uint64
}

// packet is a transport.Packet with its memory. It stays with its worker, one goroutine, so a plain count of holders does.
type packet struct {
	transport.Packet
	home   *worker
	refs   int
	memory [rtmpchunk.MaxPacket]byte
}

// held gives a packet the methods of transport.Ref, whose names Packet itself has too.
type held struct{ *packet }

// Retain adds a holder.
func (h held) Retain() { h.refs++ }

// Release takes one away; the last keeps the packet for reuse.
func (h held) Release() {
	if h.refs--; h.refs == 0 {
		h.home.spare = append(h.home.spare, h.packet)
	}
}

func (w *worker) packet() *transport.Packet {
	var p *packet
	if n := len(w.spare); n > 0 {
		p, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		p = &packet{home: w}
		p.Ref = held{p}
	}
	p.refs, p.Data = 1, p.memory[:0]
	return &p.Packet
}

func newWorker(cfg *Config, origin time.Time) (*worker, error) {
	sock, err := udp.Listen(":0")
	if err != nil {
		return nil, err
	}
	if err := sock.Batch(); err != nil {
		return nil, err
	}
	w := &worker{
		cfg: cfg, origin: origin, sock: sock, in: udp.NewInbox(), out: udp.NewOutbox(), server: transport.Path{Addr: cfg.Server}, policy: transport.NewPlanner(),
		byID: make(map[uint64]*client), media: make([]byte, cfg.Shape.largest()), wheel: wheel{origin: origin},
	}
	w.ring = func(c *client) {
		c.conn.HandleTimeout(w.now)
		w.drain(c, w.cfg.clock(w.now, w.origin))
		w.touch(c)
	}
	return w, nil
}

// open begins a session.
func (w *worker) open(now time.Time, role wire.Role, stream string) (*client, error) {
	action := crypto.ActionPlay
	if role == wire.RolePush {
		action = crypto.ActionPush
	}
	token, err := w.cfg.Mint(crypto.Token{Action: action, Stream: stream, Party: stream, Expiry: now.Add(tokenValid)})
	if err != nil {
		return nil, err
	}
	conn, err := transport.New(now, transport.Config{
		Role: role, Stream: stream, Token: token, Server: w.cfg.Key, Path: w.server, Rand: rand.Reader, ClockOrigin: w.origin, Alloc: w.packet, Policy: w.policy,
	})
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn}
	w.byID[conn.LocalID()] = c
	w.opened++
	w.touch(c)
	return c, nil
}

// push opens a stream.
func (w *worker) push(now time.Time, stream string) (*client, error) {
	c, err := w.open(now, wire.RolePush, stream)
	if err != nil {
		return nil, err
	}
	var seed [4]byte
	_, _ = rand.Read(seed[:]) // never fails
	c.conn.SetStreamClock(0)  // captures are on the session clock
	c.push = &push{src: source{shape: w.cfg.Shape, buf: w.media}, cut: rtmpchunk.NewPacketizer(binary.BigEndian.Uint32(seed[:]))}
	return c, nil
}

// play opens a player of a stream.
func (w *worker) play(now time.Time, stream string, of *push) error {
	c, err := w.open(now, wire.RolePlay, stream)
	if err != nil {
		return err
	}
	c.play = &play{of: of, delay: &w.delay}
	return nil
}

func (w *worker) touch(c *client) {
	if !c.dirty {
		c.dirty = true
		w.dirty = append(w.dirty, c)
	}
}

// turn does everything that is due now.
func (w *worker) turn(now time.Time) error {
	w.now = now
	if err := w.receive(now); err != nil {
		return err
	}
	w.wheel.turn(now, w.ring)
	for _, c := range w.pushers {
		w.frames(now, c)
	}
	w.flush(now)
	return nil
}

// frames makes what a pusher has to have made by now. A worker that is late makes up for it, and the frames carry the time at which they should
// have been captured: what the generator can't do in time counts as the relay's delay, never as less load.
func (w *worker) frames(now time.Time, c *client) {
	p := c.push
	for !c.over {
		at, _ := p.src.next()
		if due := p.begin.Add(at); !due.After(now) {
			c.send(now, due.Sub(w.origin), p.src.frame(), w.packet)
			w.touch(c)
			continue
		}
		return
	}
}

// flush sends what the sessions have.
func (w *worker) flush(now time.Time) {
	for _, c := range w.dirty {
		c.dirty = false
		for {
			room := w.out.Room()
			if room == nil {
				w.sendErrors += uint64(w.sock.Send(w.out))
				continue
			}
			t, ok := c.conn.Poll(now, room)
			if !ok {
				break
			}
			w.out.Add(t.Size, t.Segment, t.Path.Addr, t.Path.Local)
		}
		w.drain(c, 0)
		w.wheel.set(c, c.conn.Deadline())
	}
	w.dirty = w.dirty[:0]
	if w.out.Len() > 0 {
		w.sendErrors += uint64(w.sock.Send(w.out))
	}
}

// receive takes what has come, a few system calls' worth at most, so that frames are made in time.
func (w *worker) receive(now time.Time) error {
	const most = 8
	for range most {
		n, err := w.sock.Receive(w.in)
		if err != nil {
			return fmt.Errorf("the relay does not answer: %w", err)
		}
		if n == 0 {
			return nil
		}
		wall := now.Round(0)
		messages := w.in.Messages()
		for i := range messages {
			m := &messages[i]
			clock := w.cfg.clock(now, w.origin)
			if !m.At.IsZero() {
				clock -= max(0, wall.Sub(m.At))
			}
			for b, ok := m.Next(); ok; b, ok = m.Next() {
				if c := w.byID[receiver(b)]; c != nil {
					c.conn.HandleDatagram(now, w.server, b)
					w.drain(c, clock)
					w.touch(c)
				}
			}
		}
	}
	return nil
}

// receiver is the session that a datagram is for, 0 unknown.
func receiver(b []byte) uint64 {
	switch wire.KindOf(b) {
	case wire.KindData:
		if h, err := wire.ParseDataHeader(b); err == nil {
			return h.Session
		}
	case wire.KindAccept:
		var h wire.Handshake
		if wire.ParseHandshake(b, &h) == nil {
			return h.Client
		}
	case wire.KindRetry:
		if id, _, err := wire.ParseRetry(b); err == nil {
			return id
		}
	default:
	}
	return 0
}

// drain handles a session's events; clock is when what caused them came.
func (w *worker) drain(c *client, clock time.Duration) {
	for {
		e, ok := c.conn.PollEvent()
		if !ok {
			return
		}
		switch e.Kind {
		case transport.EventPacket:
			if c.play != nil {
				if c.play.of.measuring() {
					w.received++
				}
				c.play.packet(clock, &e.Packet.Header, w.cfg.Late)
			}
			e.Packet.Release()
		case transport.EventControl:
			m := e.Control
			was := c.push != nil && c.push.live
			c.control(w.now, &m)
			if c.push != nil && c.push.live && !was {
				w.live++
				c.push.begin = w.now.Add(w.phase(len(w.pushers)))
				for _, m := range w.cfg.Setup {
					c.send(w.now, w.now.Sub(w.origin), m, w.packet)
				}
				w.pushers = append(w.pushers, c)
			}
		case transport.EventClosed:
			if !c.over {
				c.over = true
				w.refused++
				w.reason = fmt.Sprintf("%v %s", e.Code, e.Reason)
			}
		default:
		}
	}
}

// phase spreads the streams' frames over the frame interval, as strangers' are: the golden ratio leaves no two together.
func (w *worker) phase(i int) time.Duration {
	_, part := math.Modf(float64(i+1) * math.Phi)
	return time.Duration(part * float64(time.Second) / float64(w.cfg.Shape.FPS))
}
