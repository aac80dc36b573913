package transport

import (
	"bytes"
	"fmt"
	"time"

	"duet/crypto"
	"duet/transport/wire"
)

// The client repeats its INIT after these delays; docs/wire.md leaves them to it. With 5 % loss each way the first repeat
// almost always does it, so it comes early; later ones spread.
const (
	initFirstRepeat = 250 * time.Millisecond
	initLastRepeat  = time.Second
)

// clientHandshake lives from New until the relay's ACCEPT.
type clientHandshake struct {
	initiator *crypto.Initiator
	message   []byte // first Noise message, the same in every repeat
	cookie    [wire.CookieSize]byte
	cookieUse int // INITs sent with this cookie
	send      bool
	sentAt    time.Time
	resendAt  time.Time
	repeat    time.Duration
	giveUp    time.Time
	flight    fragments
	opened    []byte // the second Noise message, once it has opened
	plain     []byte // what it held
	answer    wire.AcceptPayload
	sendKey   crypto.Secret
	recvKey   crypto.Secret
}

func newClientHandshake(now time.Time, c *Conn, cfg *Config) (*clientHandshake, error) {
	var err error
	if c.localID, err = randomID(cfg.Rand); err != nil {
		return nil, err
	}
	payload, err := wire.AppendInitPayload(nil, &wire.InitPayload{
		Role: cfg.Role, Budget: cfg.Budget, Stream: []byte(cfg.Stream), Token: []byte(cfg.Token),
	}, wire.MaxFragment-crypto.Message1Overhead)
	if err != nil {
		return nil, ErrTooLong
	}
	h := &clientHandshake{repeat: initFirstRepeat, giveUp: now.Add(cfg.HandshakeTimeout), send: true, sentAt: now}
	h.initiator, err = crypto.NewInitiator(c.suite, crypto.Prologue(nil, wire.Version, c.suite, c.localID), cfg.Server, cfg.Rand)
	if err != nil {
		return nil, fmt.Errorf("transport: handshake: %w", err)
	}
	if h.message, err = h.initiator.Message1(nil, payload); err != nil {
		return nil, fmt.Errorf("transport: handshake: %w", err)
	}
	h.resendAt = now.Add(h.repeat)
	return h, nil
}

// handshakeTimeout repeats the INIT, without a cookie that got no answer, or gives up.
func (c *Conn) handshakeTimeout(now time.Time) {
	h := c.hs
	if h == nil {
		return
	}
	if !now.Before(h.giveUp) {
		c.closed(wire.CloseIdle, "the relay did not answer", CauseTimeout)
		return
	}
	h.send = true
	if h.cookieUse > 0 {
		h.cookie, h.cookieUse = [wire.CookieSize]byte{}, 0
	}
	h.repeat = min(h.repeat*3/2, initLastRepeat)
	h.resendAt = now.Add(h.repeat)
	if h.resendAt.After(h.giveUp) {
		h.resendAt = h.giveUp
	}
	c.timer.set(timerHandshake, h.resendAt)
}

// pollHandshake writes the INIT when it is due.
func (c *Conn) pollHandshake(now time.Time, buf []byte) (Transmit, bool) {
	h := c.hs
	if h == nil || !h.send {
		return Transmit{}, false
	}
	h.send = false
	h.sentAt = now
	if h.cookie != ([wire.CookieSize]byte{}) {
		h.cookieUse++
	}
	out := wire.AppendHandshake(buf[:0], &wire.Handshake{
		Kind: wire.KindInit, Suite: uint8(c.suite), Client: c.localID, Cookie: h.cookie, Total: len(h.message), Fragment: h.message,
	})
	return c.transmit(now, c.path.active, len(out), len(out)), true
}

// receiveRetry takes a cookie.
func (c *Conn) receiveRetry(now time.Time, b []byte) {
	client, cookie, err := wire.ParseRetry(b)
	if err != nil || c.hs == nil || client != c.localID || c.hs.cookie == cookie {
		c.drop(DropHandshake)
		return
	}
	c.hs.cookie, c.hs.cookieUse, c.hs.send = cookie, 0, true
	c.hs.resendAt = now.Add(c.hs.repeat)
	c.timer.set(timerHandshake, c.hs.resendAt)
}

// receiveAccept finishes the handshake. A forged or damaged ACCEPT changes nothing.
func (c *Conn) receiveAccept(now time.Time, b []byte) {
	var hdr wire.Handshake
	if c.hs == nil || wire.ParseHandshake(b, &hdr) != nil || hdr.Kind != wire.KindAccept || hdr.Client != c.localID || hdr.Suite != uint8(c.suite) {
		c.drop(DropHandshake)
		return
	}
	message, whole := c.hs.flight.add(&hdr)
	if !whole {
		return
	}
	c.hs.flight = fragments{}
	p, ok := c.hs.finish(message)
	if !ok || p.Session != hdr.Server {
		c.drop(DropHandshake)
		return
	}
	send, recv := c.hs.sendKey, c.hs.recvKey
	sentAt := c.hs.sentAt
	c.hs = nil
	c.timer.clear(timerHandshake)
	if p.Code != wire.CloseOK {
		c.closed(p.Code, string(p.Reason), CauseRemote)
		return
	}
	c.remoteID, c.reset = p.Session, p.Reset
	if p.IdleTimeout > 0 {
		c.idleAfter = p.IdleTimeout
	}
	c.rtt.sample(now, now.Sub(sentAt))
	c.open(now, send, recv)
	c.started(now)
	c.pings = 0
	c.clock.ping = true
	c.events.push(Event{Kind: EventAccepted})
}

// finish opens the second Noise message. That works once; the same message again gives the same answer, because the header that
// came with it the first time may have been damaged.
func (h *clientHandshake) finish(message []byte) (*wire.AcceptPayload, bool) {
	if h.opened == nil {
		plain, send, recv, err := h.initiator.Finish(message)
		if err != nil {
			return nil, false
		}
		h.opened, h.plain, h.sendKey, h.recvKey = bytes.Clone(message), plain, send, recv
	}
	if !bytes.Equal(message, h.opened) || wire.ParseAcceptPayload(h.plain, &h.answer) != nil {
		return nil, false
	}
	return &h.answer, true
}

// receiveReset ends a session that the relay has forgotten, if the relay proves that it is the one we spoke to.
func (c *Conn) receiveReset(b []byte) {
	id, value, err := wire.ParseReset(b)
	if err != nil || !c.client || c.remoteID == 0 || id != c.remoteID || value != c.reset || c.reset == ([wire.ResetValueSize]byte{}) {
		c.drop(DropReset)
		return
	}
	c.closed(wire.CloseIdle, "the relay does not know this session any more", CauseReset)
}

// fragments puts a flight of at most wire.MaxFragments datagrams together.
type fragments struct {
	buf   []byte
	have  [wire.MaxFragments]bool
	total int
	got   int
}

// add takes a fragment; whole means that message holds the flight. A flight of one datagram is not copied.
func (f *fragments) add(h *wire.Handshake) (message []byte, whole bool) {
	if h.Offset == 0 && len(h.Fragment) == h.Total {
		return h.Fragment, true
	}
	if f.total != h.Total {
		*f = fragments{buf: make([]byte, h.Total), total: h.Total}
	}
	i := h.Offset / wire.MaxFragment
	if i >= len(f.have) || f.have[i] {
		return nil, false
	}
	f.have[i] = true
	f.got += copy(f.buf[h.Offset:], h.Fragment)
	return f.buf, f.got == f.total
}
