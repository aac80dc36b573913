package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"duet/crypto"
	"duet/relay/udp"
	"duet/transport"
	"duet/transport/wire"
)

const (
	readBuffer    = 2048                 // more than a datagram of ours: a longer one is seen to be longer
	sendBuffer    = 8 * wire.MaxDatagram // one segmented send
	maxWait       = time.Second          // the link looks at least so often
	maxReadErrors = 16                   // in a row; then the socket is replaced
	exitGrace     = 400 * time.Millisecond
)

// linkUser is what runs on a link: a pusher or a player. The link's goroutine calls it.
type linkUser interface {
	opened(now time.Time, c *transport.Conn)                       // a session is the present one now
	lost(now time.Time)                                            // the relay is not heard; the session, if there is one, stays usable
	packet(now time.Time, p *transport.Packet)                     // takes the reference
	control(now time.Time, m *wire.Control)                        //
	bitrate(now time.Time, bps int64)                              // a pusher's target has moved
	step(now time.Time)                                            // before datagrams are sent
	settle(now time.Time) time.Time                                // after that; when to be called again at the latest, zero: no need
	status(now time.Time, info *NetStatus, growth transport.Stats) // completes a netstatus; growth is of all sessions' counters since the last
	over(err error)                                                // nothing more will come or go
}

// linkConfig is what a link needs to know.
type linkConfig struct {
	role      wire.Role
	url       crypto.URL
	suite     crypto.Suite
	budget    time.Duration
	reconnect time.Duration
	bitrate   transport.BitrateLimits // of the next session
	onEvent   func(Event)

	connected, reconnecting, gaveUp int // codes
}

// link keeps a client joined to its relay: one socket, one goroutine, and the sessions that it takes.
type link struct {
	cfg    linkConfig
	user   linkUser
	origin time.Time // zero of the session clock, for all sessions
	pool   packetPool
	ctx    context.Context // ends with the goroutine: for look-ups
	cancel context.CancelFunc
	done   chan struct{} // the goroutine has ended
	ready  chan struct{} // the user has what Dial promises

	sock    atomic.Pointer[udp.Conn]
	poked   atomic.Bool
	mu      sync.Mutex // guards mail and stopped
	mail    []func(now time.Time)
	stopped bool

	// The rest is the goroutine's, and anybody's after done.

	addrs      []netip.AddrPort
	sessions   []*session
	current    *session
	joined     bool      // a session was open once
	succeeded  bool      // ready is closed
	joinedAt   time.Time // by when it was
	lostAt     time.Time // since when the relay is not heard; zero: it is
	heardAt    time.Time // when it was last heard before
	nextTry    time.Time
	tries      int // begun since the start or the loss
	looking    bool
	lookedAt   time.Time
	refused    error // why the newest attempt came to nothing
	isOver     bool
	err        error
	exitAt     time.Time
	past       transport.Stats // of sessions that are over
	sendErr    error           // the newest
	sentAny    bool            // the system took a datagram
	readErrors int             // in a row
	reconnects uint64
	reportAt   time.Time
	reported   transport.Stats
}

// start looks the relay up, opens the socket and starts the goroutine. It then waits for the user to call succeed.
func (l *link) start(ctx context.Context) error {
	addrs, err := resolve(ctx, l.cfg.url.Host)
	if err != nil {
		l.emitError(err)
		return err
	}
	sock, err := udp.Listen(":0")
	if err != nil {
		err = &CodeError{Code: CodeConnection, Text: "no UDP socket to be had", Err: err}
		l.emitError(err)
		return err
	}
	l.addrs = addrs
	l.sock.Store(sock)
	l.done, l.ready = make(chan struct{}), make(chan struct{})
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.reportAt = l.origin.Add(reportInterval)
	go l.run()
	select {
	case <-l.ready:
		return nil
	case <-l.done:
		if l.err == nil {
			return ErrClosed
		}
		return l.err
	case <-ctx.Done():
		l.stop()
		<-l.done
		return ctx.Err()
	}
}

// succeed ends the dialling.
func (l *link) succeed() {
	if !l.succeeded {
		l.succeeded = true
		close(l.ready)
	}
}

// run drives everything: mail, timers, what is to be sent, then one datagram or the next deadline.
func (l *link) run() {
	defer l.end()
	in, out := make([]byte, readBuffer), make([]byte, sendBuffer)
	for {
		now := time.Now()
		l.poked.Store(false)
		l.runMail(now)
		l.tick(now)
		if !l.isOver {
			l.user.step(now)
		}
		l.flush(now, out)
		wake := l.settle(now)
		if l.isOver && (len(l.sessions) == 0 || !now.Before(l.exitAt)) {
			return
		}
		sock := l.sock.Load()
		_ = sock.SetReadDeadline(wake) // fails on a closed socket only; Read says so then
		if l.poked.Load() {            // before the deadline was set: Read would sleep over it
			continue
		}
		n, from, _, err := sock.Read(in)
		switch {
		case err == nil:
			l.readErrors = 0
			l.receive(time.Now(), transport.Path{Addr: from}, in[:n])
		case errors.Is(err, os.ErrDeadlineExceeded):
		default:
			l.readFailed(err)
		}
	}
}

// readFailed goes on: most errors of a UDP socket tell of an earlier send. One that stays is a broken socket.
func (l *link) readFailed(err error) {
	l.readErrors++
	if l.readErrors < maxReadErrors && !errors.Is(err, net.ErrClosed) {
		return
	}
	l.readErrors = 0
	if failed := l.renewSocket(); failed != nil {
		l.finish(time.Now(), &CodeError{Code: CodeIO, Text: "the UDP socket failed", Err: err})
		l.exitAt = time.Time{}
	}
}

// renewSocket opens another socket, with another port, in place of the present one.
func (l *link) renewSocket() error {
	sock, err := udp.Listen(":0")
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	_ = l.sock.Swap(sock).Close() // after the new one is open, so that the port is another
	return nil
}

// flush sends what the sessions have and forgets those that are over.
func (l *link) flush(now time.Time, out []byte) {
	sock := l.sock.Load()
	kept := l.sessions[:0]
	for _, s := range l.sessions {
		for {
			t, ok := s.conn.Poll(now, out)
			if !ok {
				break
			}
			for off := 0; off < t.Size; off += t.Segment {
				if err := sock.Write(out[off:min(off+t.Segment, t.Size)], t.Path.Addr, t.Path.Local); err != nil {
					l.sendErr = err // no way out at present: as good as lost, and repaired like that
				} else {
					l.sentAny = true
				}
			}
		}
		l.drain(now, s)
		if s.conn.Closed() {
			l.past = addStats(l.past, s.conn.Stats())
			continue
		}
		kept = append(kept, s)
	}
	clear(l.sessions[len(kept):])
	l.sessions = kept
}

// settle returns when the link must look again.
func (l *link) settle(now time.Time) time.Time {
	wake := now.Add(maxWait)
	sooner := func(at time.Time) {
		if !at.IsZero() && at.Before(wake) {
			wake = at
		}
	}
	for _, s := range l.sessions {
		sooner(s.conn.Deadline())
	}
	if l.isOver {
		sooner(l.exitAt)
		return wake
	}
	sooner(l.user.settle(now))
	sooner(l.deadline())
	sooner(l.reportAt)
	return wake
}

// emit tells an event.
func (l *link) emit(now time.Time, code int, text string) {
	if l.cfg.onEvent != nil {
		l.cfg.onEvent(Event{Kind: KindState, Time: now, Code: code, Text: text})
	}
}

// emitError tells an error as an event if it has a code.
func (l *link) emitError(err error) {
	var ce *CodeError
	if errors.As(err, &ce) {
		text := ce.Text
		if text == "" {
			text = CodeText(ce.Code)
		}
		l.emit(time.Now(), ce.Code, text)
	}
}

// finish ends the link: with a CLOSE where the relay is still there, at once elsewhere. The first reason counts.
func (l *link) finish(now time.Time, err error) {
	if l.isOver {
		return
	}
	l.isOver, l.err, l.exitAt = true, err, now.Add(exitGrace)
	for _, s := range l.sessions {
		s.conn.Close(now, wire.CloseOK, "")
	}
	l.current = nil
	if err != nil {
		l.emitError(err)
	}
	l.user.over(err)
}

// end is the goroutine's last act.
func (l *link) end() {
	for _, s := range l.sessions {
		s.conn.Abandon()
		l.past = addStats(l.past, s.conn.Stats())
	}
	l.sessions = nil
	l.cancel()
	_ = l.sock.Load().Close()
	l.mu.Lock()
	l.stopped = true
	mail := l.mail
	l.mail = nil
	l.mu.Unlock()
	for _, f := range mail { // those who wait for an answer get one
		f(time.Now())
	}
	close(l.done)
}

// poke makes the goroutine look.
func (l *link) poke() {
	if l.poked.CompareAndSwap(false, true) {
		_ = l.sock.Load().SetReadDeadline(time.Unix(1, 0)) // ends the Read that it waits in
	}
}

// call runs f in the goroutine, or in this one when that has ended, and returns after it. A caller waits, so there is never more mail
// than callers.
func (l *link) call(f func(now time.Time)) {
	ran := make(chan struct{})
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		<-l.done
		l.mu.Lock()
		defer l.mu.Unlock()
		f(time.Now())
		return
	}
	l.mail = append(l.mail, func(now time.Time) { f(now); close(ran) })
	l.mu.Unlock()
	l.poke()
	<-ran
}

func (l *link) runMail(now time.Time) {
	l.mu.Lock()
	mail := l.mail
	l.mail = nil
	l.mu.Unlock()
	for _, f := range mail {
		f(now)
	}
}

// stop ends the link without an error.
func (l *link) stop() { l.call(func(now time.Time) { l.finish(now, nil) }) }

// rebind is renewSocket for other goroutines.
func (l *link) rebind() error {
	err := ErrClosed
	l.call(func(time.Time) {
		if !l.isOver {
			err = l.renewSocket()
		}
	})
	return err
}

// patience lets reconnecting go on for d from now at the most.
func (l *link) patience(now time.Time, d time.Duration) {
	l.cfg.reconnect = min(l.cfg.reconnect, now.Sub(l.lostAt)+d)
}

// jitter is a random time from tryMin to tryMax.
func jitter() time.Duration {
	return tryMin + rand.N(tryMax-tryMin) //nolint:gosec // it spreads attempts over time, and hides nothing
}
