package endpoint

import (
	"encoding/binary"
	"io"
	"math"
	"time"

	"duet/crypto"
	"duet/transport"
	"duet/transport/wire"
)

// Defaults and limits.
const (
	// DefaultReconnect is how long an endpoint tries to reach its relay again.
	DefaultReconnect = 60 * time.Second
	// DefaultWait is how long a player waits for a pusher.
	DefaultWait = 60 * time.Second
	maxBatch    = 16 << 10 // bytes of datagrams in one record out: one message of a WebSocket
	maxWait     = time.Second
)

// Config says what an endpoint does. URL and Rand are required.
type Config struct {
	URL  crypto.URL // a push or a play URL; which one it is for is said by NewPusher or NewPlayer
	Rand io.Reader  // keys and challenges come from here

	Reconnect time.Duration // default DefaultReconnect
	Budget    time.Duration // how long after its capture a frame is still wanted; default transport.DefaultBudget
	Wait      time.Duration // player: how long a stream without a pusher is waited for; default DefaultWait

	MinBitrate, StartBitrate, MaxBitrate int64 // pusher: bounds of what the encoders are asked for, as client.PusherConfig has them
}

// user is what runs on a link: a pusher or a player.
type user interface {
	opened(now time.Time, c *transport.Conn)
	lost(now time.Time)
	packet(now time.Time, p *transport.Packet)
	control(now time.Time, m *wire.Control)
	bitrate(now time.Time, bps int64)
	record(now time.Time, kind InType, r *reader) // one that only a pusher or a player knows
	step(now time.Time)
	status(now time.Time, s *status, growth transport.Stats)
	over(now time.Time)
}

// Endpoint is one pusher or player. It is not safe for concurrent use; one worker drives it.
type Endpoint struct {
	link link
	out  writer
	zero time.Time // of the worker's clock
	buf  []byte
}

// zeroTime is what the worker's clock 0 is inside. Only differences matter.
const zeroTime = 1_000_000_000

func newEndpoint(cfg Config, role wire.Role) *Endpoint {
	if cfg.Reconnect <= 0 {
		cfg.Reconnect = DefaultReconnect
	}
	if cfg.Budget <= 0 {
		cfg.Budget = transport.DefaultBudget
	}
	if cfg.Wait <= 0 {
		cfg.Wait = DefaultWait
	}
	e := &Endpoint{zero: time.Unix(zeroTime, 0), buf: make([]byte, 8*wire.MaxDatagram)}
	e.link = link{cfg: cfg, role: role, e: e, origin: e.zero, carriers: make(map[uint32]*carrier)}
	return e
}

// Step takes a row of records in, does what is due at now (ms of the worker's clock) and appends what comes of it to out. in is overwritten.
func (e *Endpoint) Step(now float64, in, out []byte) []byte {
	t := e.time(now)
	e.out.b = out
	for {
		kind, body, rest, ok := nextRecord(in)
		if !ok {
			break
		}
		e.take(t, kind, &reader{b: body})
		in = rest
	}
	l := &e.link
	l.tick(t)
	if !l.isOver {
		l.user.step(t)
	}
	l.flush(t)
	out, e.out.b = e.out.b, nil
	return out
}

// Deadline is when Step should be called next at the latest, in ms of the worker's clock; +Inf when it is over.
func (e *Endpoint) Deadline(now float64) float64 {
	at := e.link.settle(e.time(now))
	if at.IsZero() {
		return math.Inf(1)
	}
	return e.ms(at)
}

func (e *Endpoint) time(ms float64) time.Time {
	return e.zero.Add(time.Duration(ms * float64(time.Millisecond)))
}

func (e *Endpoint) ms(t time.Time) float64 { return float64(t.Sub(e.zero)) / float64(time.Millisecond) }

// take handles one record.
func (e *Endpoint) take(now time.Time, kind InType, r *reader) {
	l := &e.link
	switch kind {
	case InDatagrams:
		id := r.u32()
		from := l.path(id)
		for l.carriers[id] != nil && len(r.b) > 0 && !r.bad { // what still comes over one that is gone proves nothing
			if b := r.take(int(r.u16())); !r.bad {
				l.receive(now, from, b)
			}
		}
	case InCarrier:
		id, flags := r.u32(), r.u8()
		if !r.bad {
			l.carrierChanged(now, id, flags&1 != 0, flags&2 != 0)
		}
	case InBacklog:
		if c := l.carriers[r.u32()]; c != nil {
			c.backlog = int(r.u32())
		}
	case InClose:
		l.user.record(now, kind, r)
	default:
		if !l.isOver {
			l.user.record(now, kind, r)
		}
	}
}

// datagram puts one out, into the record before it if that has room and is for the same carrier.
func (e *Endpoint) datagram(b *batch, carrier uint32, d []byte) {
	if b.open && (b.carrier != carrier || len(e.out.b)-e.out.start+len(d) > maxBatch) {
		b.close(e)
	}
	if !b.open {
		e.out.begin(OutDatagrams)
		e.out.u32(carrier)
		b.open, b.carrier = true, carrier
	}
	e.out.b = binary.BigEndian.AppendUint16(e.out.b, uint16(len(d)))
	e.out.data(d)
}

// batch is an open record of datagrams.
type batch struct {
	open    bool
	carrier uint32
}

func (b *batch) close(e *Endpoint) {
	if b.open {
		e.out.end()
	}
	b.open = false
}

func (e *Endpoint) event(code int, text string) {
	e.out.begin(OutEvent)
	e.out.u32(uint32(int32(code)))
	e.out.text(text)
	e.out.end()
}
