package load

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"

	"duet/crypto"
	"duet/relay/udp"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// The ideal relay takes a datagram, opens it once, seals it for each of the stream's players and sends. It has keys and addresses beforehand, keeps
// nothing, repairs nothing, paces nothing. What it shares with the real one: sockets, sealing, sizes, and how often it lets itself be woken.

const (
	idealPlain  = 1 + rtmpchunk.MaxPacket // as a MEDIA frame
	idealReport = 100                     // bytes of a player's datagram for each frame
	idealRest   = time.Millisecond
	idealLevels = 1 << 32 // session IDs: sources below, players from here on
)

// idealSecret is a session's: there is nothing to protect.
func idealSecret(id uint64, up bool) crypto.Secret {
	var s crypto.Secret
	binary.BigEndian.PutUint64(s[:], id+1)
	if up {
		s[31] = 1
	}
	return s
}

// Ideal is an ideal relay for some streams with as many players each.
type Ideal struct {
	sock    *udp.Conn
	fanout  int
	in      *udp.Inbox
	out     *udp.Outbox
	sources []*crypto.Opener
	players []idealPlayer // of stream i: from i·fanout on
	peer    netip.AddrPort
	plain   [udp.MaxSend / udp.MaxDatagram][]byte
	stopped atomic.Bool
}

type idealPlayer struct {
	seal *crypto.Sealer
	open *crypto.Opener
	next uint64
}

// NewIdeal opens its socket on loopback.
func NewIdeal(streams, fanout int) (*Ideal, error) {
	if streams < 1 || fanout < 1 || streams*fanout > MaxStreams {
		return nil, fmt.Errorf("an ideal relay has at least one stream and player, and at most %d players", MaxStreams)
	}
	sock, err := udp.Listen("127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	if err := sock.Batch(); err != nil {
		return nil, errors.Join(err, sock.Close())
	}
	d := &Ideal{sock: sock, fanout: fanout, in: udp.NewInbox(), out: udp.NewOutbox()}
	for i := range streams {
		d.sources = append(d.sources, crypto.NewOpener(crypto.SuiteAESGCM, idealSecret(uint64(i), true)))
		for j := range fanout {
			id := idealLevels + uint64(i*fanout+j)
			d.players = append(d.players, idealPlayer{
				seal: crypto.NewSealer(crypto.SuiteAESGCM, idealSecret(id, false)), open: crypto.NewOpener(crypto.SuiteAESGCM, idealSecret(id, true)),
			})
		}
	}
	return d, nil
}

// Addr is where it listens.
func (d *Ideal) Addr() netip.AddrPort { return d.sock.LocalAddr() }

// Serve relays until ctx ends.
func (d *Ideal) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		d.stopped.Store(true)
		d.sock.Wake()
	})
	defer stop()
	var woken time.Time
	busy, worked := false, false
	for !d.stopped.Load() {
		n, err := d.sock.Receive(d.in)
		if err != nil {
			continue // the generator has gone
		}
		if n > 0 {
			worked = true
			d.relay()
			continue
		}
		now := time.Now()
		rest := woken.Add(idealRest)
		if busy && worked && now.Before(rest) {
			worked = false
			err = d.sock.Rest(rest)
			woken = time.Now()
		} else {
			err = d.sock.Wait(now.Add(time.Second))
			before := woken
			woken = time.Now()
			busy = woken.Sub(before) < idealRest
		}
		if err != nil {
			return errors.Join(err, d.sock.Close())
		}
	}
	return d.sock.Close()
}

// relay does with what came what a relay is for.
func (d *Ideal) relay() {
	messages := d.in.Messages()
	for i := range messages {
		m := &messages[i]
		d.peer = m.Remote
		stream, n := -1, 0
		for b, ok := m.Next(); ok; b, ok = m.Next() {
			h, err := wire.ParseDataHeader(b)
			if err != nil {
				continue
			}
			if h.Session >= idealLevels {
				if p := h.Session - idealLevels; p < uint64(len(d.players)) {
					_, _, _ = d.players[p].open.Open(b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], h.Phase, h.PacketNumber) // a report has no more effect here
				}
				continue
			}
			if n == len(d.plain) || n > 0 && int(h.Session) != stream {
				d.forward(stream, n)
				n = 0
			}
			if h.Session >= uint64(len(d.sources)) {
				continue
			}
			stream = int(h.Session)
			if _, plain, err := d.sources[stream].Open(b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], h.Phase, h.PacketNumber); err == nil {
				d.plain[n] = plain
				n++
			}
		}
		d.forward(stream, n)
	}
	if d.out.Len() > 0 {
		d.sock.Send(d.out)
	}
}

// forward sends n packets of a stream to all its players: equal ones together.
func (d *Ideal) forward(stream, n int) {
	if n == 0 {
		return
	}
	for i := range d.fanout {
		id := stream*d.fanout + i
		p := &d.players[id]
		for from := 0; from < n; {
			room := d.out.Room()
			if room == nil {
				d.sock.Send(d.out)
				continue
			}
			segment, size := 0, 0
			for ; from < n; from++ {
				sealed := wire.DataHeaderSize + len(d.plain[from]) + crypto.TagSize
				if segment != 0 && sealed > segment {
					break
				}
				b := wire.AppendDataHeader(room[size:size], wire.DataHeader{Session: idealLevels + uint64(id), PacketNumber: uint32(p.next)})
				b = append(b, d.plain[from]...)
				p.seal.Seal(b[:wire.DataHeaderSize], b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], p.next)
				p.next++
				size += sealed
				if segment == 0 {
					segment = sealed
				}
				if sealed < segment {
					from++
					break
				}
			}
			d.out.Add(size, segment, d.peer, netip.Addr{})
		}
	}
}

// IdealLoad is the traffic of a Config for an ideal relay.
type IdealLoad struct {
	cfg     *Config
	sock    *udp.Conn
	in      *udp.Inbox
	out     *udp.Outbox
	to      netip.AddrPort
	began   time.Time
	sources []idealSource
	players []idealSink
	fanout  int
	got     uint64
	plain   [idealPlain]byte
}

type idealSource struct {
	src   source
	seal  *crypto.Sealer
	next  uint64
	begin time.Duration
}

type idealSink struct {
	seal *crypto.Sealer
	next uint64
	due  int // datagrams of video that are under way
}

// RunIdeal sends a Config's traffic through the ideal relay at an address, which was made for its streams, and returns the media packets that came
// back within the window and how long that was. Measure is called at both its ends.
func RunIdeal(ctx context.Context, cfg Config, to netip.AddrPort) (packets uint64, took time.Duration, err error) {
	if err := cfg.setDefaults(); err != nil {
		return 0, 0, err
	}
	sock, err := udp.Listen("127.0.0.1:0")
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, sock.Close()) }()
	if err := sock.Batch(); err != nil {
		return 0, 0, err
	}
	l := &IdealLoad{cfg: &cfg, sock: sock, in: udp.NewInbox(), out: udp.NewOutbox(), to: to, began: time.Now(), fanout: max(1, cfg.Fanout)}
	w := worker{cfg: &cfg}
	buf := make([]byte, cfg.Shape.largest())
	for i := range cfg.Incoming() {
		l.sources = append(l.sources, idealSource{
			src: source{shape: cfg.Shape, buf: buf}, seal: crypto.NewSealer(crypto.SuiteAESGCM, idealSecret(uint64(i), true)), begin: w.phase(i),
		})
	}
	for i := range cfg.Outgoing() {
		l.players = append(l.players, idealSink{seal: crypto.NewSealer(crypto.SuiteAESGCM, idealSecret(idealLevels+uint64(i), true))})
	}
	if err := l.drive(ctx, settle, 0); err != nil {
		return 0, 0, err
	}
	if err := cfg.Measure(ctx); err != nil {
		return 0, 0, err
	}
	before, began := l.got, time.Now()
	if err := l.drive(ctx, cfg.Duration, float64(settle)/float64(settle+cfg.Duration)); err != nil {
		return 0, 0, err
	}
	packets, took = l.got-before, time.Since(began)
	return packets, took, cfg.Measure(ctx)
}

func (l *IdealLoad) drive(ctx context.Context, d time.Duration, share float64) error {
	began := time.Now()
	shown := began
	for {
		now := time.Now()
		l.turn(now)
		if now.Sub(shown) >= progressEvery {
			shown = now
			l.cfg.Progress(share+(1-share)*float64(now.Sub(began))/float64(d), "ideal loop")
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if now.Sub(began) >= d {
			return nil
		}
		if next := now.Add(slotTime); time.Now().Before(next) {
			if err := l.sock.Rest(next); err != nil {
				return err
			}
		}
	}
}

func (l *IdealLoad) turn(now time.Time) {
	for n, err := l.sock.Receive(l.in); n > 0 && err == nil; n, err = l.sock.Receive(l.in) {
		messages := l.in.Messages()
		for i := range messages {
			for b, ok := messages[i].Next(); ok; b, ok = messages[i].Next() {
				if h, err := wire.ParseDataHeader(b); err == nil && h.Session-idealLevels < uint64(len(l.players)) {
					l.got++
					l.sink(h.Session)
				}
			}
		}
	}
	for i := range l.sources {
		s := &l.sources[i]
		for {
			at, kind := s.src.next()
			if l.began.Add(s.begin + at).After(now) {
				break
			}
			n := l.frame(uint64(i), s, len(s.src.frame().Payload))
			if kind == rtmpchunk.Video {
				for j := range l.fanout {
					l.players[i*l.fanout+j].due += n
				}
			}
		}
	}
	if l.out.Len() > 0 {
		l.sock.Send(l.out)
	}
}

// room makes sure that there is some.
func (l *IdealLoad) room() []byte {
	for {
		if room := l.out.Room(); room != nil {
			return room
		}
		l.sock.Send(l.out)
	}
}

// frame sends a frame of so many bytes and returns how many datagrams that took.
func (l *IdealLoad) frame(id uint64, s *idealSource, size int) (datagrams int) {
	const payload = rtmpchunk.MaxPacket - 29 // beside RTP's and the chunk's headers
	for size > 0 {
		room, used, segment := l.room(), 0, 0
		for size > 0 && len(room)-used >= udp.MaxDatagram {
			n := min(size, payload)
			size -= n
			sealed := l.put(room[used:], id, s.seal, s.next, idealPlain-payload+n)
			s.next++
			datagrams++
			used += sealed
			if segment == 0 {
				segment = sealed
			}
			if sealed < segment {
				break
			}
		}
		l.out.Add(used, segment, l.to, netip.Addr{})
	}
	return datagrams
}

// sink counts a player's datagram; when the frame is whole it reports.
func (l *IdealLoad) sink(id uint64) {
	p := &l.players[id-idealLevels]
	if p.due == 0 {
		return
	}
	if p.due--; p.due == 0 {
		n := l.put(l.room(), id, p.seal, p.next, idealReport-wire.DataHeaderSize-crypto.TagSize)
		p.next++
		l.out.Add(n, n, l.to, netip.Addr{})
	}
}

// put seals a datagram of so many plain bytes.
func (l *IdealLoad) put(b []byte, id uint64, seal *crypto.Sealer, pn uint64, plain int) int {
	b = wire.AppendDataHeader(b[:0], wire.DataHeader{Session: id, PacketNumber: uint32(pn)})
	b = append(b, l.plain[:plain]...)
	return len(seal.Seal(b[:wire.DataHeaderSize], b[:wire.DataHeaderSize], b[wire.DataHeaderSize:], pn))
}
