package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"duet/crypto"
	"duet/relay/udp"
	"duet/transport"
)

// Default limits; each refuses with wire.CloseLimit.
const (
	DefaultMaxSessions = 10_000
	DefaultMaxStreams  = 5_000
	DefaultMaxPlayers  = 1_000 // per stream
)

// Config says how a relay runs. Key, Secret and Tokens are required.
type Config struct {
	Listen string            // UDP HOST:PORT; port 0 takes a free one
	Key    *crypto.StaticKey // the server's static key, whose public half is in the URLs
	Secret [32]byte          // for cookies and resets; the same over restarts
	Tokens *crypto.TokenKeys // who may do what
	Logger *slog.Logger      // default: discard. Gets no key, token or address

	MaxSessions int              // default DefaultMaxSessions
	MaxStreams  int              // default DefaultMaxStreams
	MaxPlayers  int              // default DefaultMaxPlayers
	MaxFloors   int              // default DefaultMaxFloors
	IdleTimeout time.Duration    // default transport.DefaultIdleTimeout
	Policy      transport.Policy // default: a planner that all sessions share

	HandshakeRate float64 // handshakes a second without a cookie; default transport.DefaultHandshakeRate

	// FloorFile is where floors are kept over a restart; "" keeps them in memory alone. No other relay may use it.
	FloorFile string
	// OnChange, when set, is called when what Sessions lists has changed: somebody came into place, left it, fell silent or was heard
	// again. It is called from any goroutine, at most every 5 ms, and must not block, nor wait for the relay.
	OnChange func()

	// Tap, when set, sees every datagram as it passes the socket: for captures. It must not keep the slice.
	Tap func(in bool, datagram []byte)
}

func (c *Config) setDefaults() {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxSessions <= 0 {
		c.MaxSessions = DefaultMaxSessions
	}
	if c.MaxStreams <= 0 {
		c.MaxStreams = DefaultMaxStreams
	}
	if c.MaxPlayers <= 0 {
		c.MaxPlayers = DefaultMaxPlayers
	}
	if c.MaxFloors <= 0 {
		c.MaxFloors = DefaultMaxFloors
	}
}

// Server is a relay on a UDP socket: it drives a Loop.
type Server struct {
	cfg        Config
	loop       *Loop
	sock       *udp.Conn
	floors     *floorFile
	in         *udp.Inbox // of the loop's goroutine, as what follows
	out        *udp.Outbox
	woken      time.Time // when the loop last slept until
	busy       bool      // it is woken more often than every restTime
	worked     bool      // there was something to do since it last rested
	logged     bool      // that bursts are sent datagram by datagram
	sendErrors uint64    // the network's answers to earlier sends among them: clients that are gone
	wakeups    uint64
	delay, lag Histogram
}

// New reads the floors and opens the socket. Serve then runs the relay.
func New(cfg Config) (*Server, error) {
	if cfg.Key == nil || cfg.Tokens == nil {
		return nil, errors.New("relay: Config needs Key and Tokens")
	}
	cfg.setDefaults()
	kept, err := openFloors(cfg.FloorFile, time.Now(), cfg.MaxFloors)
	if err != nil {
		return nil, err
	}
	sock, err := udp.Listen(cfg.Listen)
	if err != nil {
		kept.close()
		return nil, fmt.Errorf("relay: can't listen on %s: %w", cfg.Listen, err)
	}
	if err := sock.Batch(); err != nil {
		_ = sock.Close()
		kept.close()
		return nil, fmt.Errorf("relay: can't use the socket on %s: %w", cfg.Listen, err)
	}
	if sock.SmallBuffers {
		cfg.Logger.Warn("the system grants only small socket buffers; bursts may be lost",
			"hint", "sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608")
	}
	s := &Server{cfg: cfg, sock: sock, loop: NewLoop(time.Now(), cfg, rand.Reader, sock.Wake), floors: kept, in: udp.NewInbox(), out: udp.NewOutbox()}
	for _, f := range kept.live {
		s.loop.keep(f)
	}
	return s, nil
}

// Addr is the UDP address that the relay listens on.
func (s *Server) Addr() netip.AddrPort { return s.sock.LocalAddr() }

const (
	// shutdownGrace is how long the relay waits for its clients' answers to CLOSE.
	shutdownGrace = 500 * time.Millisecond
	// idleWait is how long the loop sleeps when no session has anything to do.
	idleWait = time.Second
	// restTime is from one wake-up to the next at the least: a wake-up costs as much as a dozen datagrams, and under load what gathers
	// meanwhile is handled together. Whoever is first after a pause is not kept waiting.
	restTime = time.Millisecond
)

// Serve runs the relay until ctx ends: then every client is told (wire.CloseShutdown) and the socket closed. It returns nil after
// a shutdown, and an error if the socket failed.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		_ = s.loop.mail.post(context.Background(), s.loop.shutdown)
	})
	defer stop()
	err := s.run()
	s.loop.mail.stop()
	s.loop.release()
	s.floors.close()
	if cerr := s.sock.Close(); err == nil {
		err = cerr
	}
	return err
}

// run drives the loop: mail, alarms, what has come, what is to be sent; then it sleeps, but never wakes more often than every restTime.
func (s *Server) run() error {
	for {
		now := time.Now()
		if due := s.loop.Deadline(); !due.IsZero() && now.After(due) {
			s.lag.Add(now.Sub(due))
			s.worked = true
		}
		s.loop.RunMail(now)
		s.loop.HandleTimeout(now)
		came, err := s.receive(now)
		if err != nil {
			return err
		}
		s.flush(now)
		if s.loop.stopped(now) {
			return nil
		}
		if came {
			s.measure()
			s.worked = true
			continue // there may be more
		}
		if err := s.sleep(now); err != nil {
			return fmt.Errorf("relay: socket: %w", err)
		}
	}
}

// sleep waits for something to do: mail, a datagram, the next alarm. While it is woken more often than every restTime it lets what comes
// gather for that long, until nothing has.
func (s *Server) sleep(now time.Time) (err error) {
	if s.loop.mail.waiting() {
		return nil
	}
	if rest := s.woken.Add(restTime); s.busy && s.worked && now.Before(rest) {
		s.worked = false
		err = s.sock.Rest(rest)
		s.woke(time.Now())
		return err
	}
	s.busy = false
	wake := s.loop.Deadline()
	if wake.IsZero() || wake.Sub(now) > idleWait {
		wake = now.Add(idleWait)
	}
	if wake.After(now) {
		err = s.sock.Wait(wake)
	}
	before := s.woken
	s.woke(time.Now())
	s.busy = s.woken.Sub(before) < restTime
	return err
}

func (s *Server) woke(now time.Time) {
	s.woken = now
	s.wakeups++
}

// receive takes what the socket has to the loop, as much as one system call brings.
func (s *Server) receive(now time.Time) (came bool, err error) {
	n, err := s.sock.Receive(s.in)
	switch {
	case errors.Is(err, net.ErrClosed):
		return false, fmt.Errorf("relay: socket: %w", err)
	case err != nil:
		s.sendErrors++
		return true, nil //nolint:nilerr // the network's answer to an earlier send: a client that is gone
	}
	messages := s.in.Messages()
	for i := range messages {
		m := &messages[i]
		from, media := transport.Path{Local: m.Local, Addr: m.Remote}, s.loop.media
		for b, ok := m.Next(); ok; b, ok = m.Next() {
			if s.cfg.Tap != nil {
				s.cfg.Tap(true, b)
			}
			s.loop.HandleDatagram(now, from, b)
		}
		if s.loop.media == media {
			m.At = time.Time{} // no media: nobody waits for it
		}
	}
	return n > 0, nil
}

// flush sends what the loop has.
func (s *Server) flush(now time.Time) {
	for {
		room := s.out.Room()
		if room == nil {
			s.send()
			continue
		}
		t, ok := s.loop.Poll(now, room)
		if !ok {
			break
		}
		if s.cfg.Tap != nil {
			for off := 0; off < t.Size; off += t.Segment {
				s.cfg.Tap(false, room[off:min(off+t.Segment, t.Size)])
			}
		}
		s.out.Add(t.Size, t.Segment, t.Path.Addr, t.Path.Local)
	}
	if s.out.Len() > 0 {
		s.send()
	}
}

func (s *Server) send() {
	s.sendErrors += uint64(s.sock.Send(s.out))
	if s.sock.Unsegmented != nil && !s.logged {
		s.logged = true
		s.cfg.Logger.Warn("the system does not cut bursts up: datagrams are sent one by one, which costs more", "reason", s.sock.Unsegmented)
	}
}

// measure counts how long the media that came waited, from the kernel until all that was to be sent for it was handed over. What the pacer holds
// back is not in it.
func (s *Server) measure() {
	now := time.Now().Round(0) // the kernel's times are of the wall clock
	for i := range s.in.Messages() {
		if m := &s.in.Messages()[i]; !m.At.IsZero() {
			s.delay.Add(now.Sub(m.At))
		}
	}
}

// Stats asks the loop for its counters.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	err := s.loop.mail.call(ctx, func(time.Time) {
		st = s.loop.Snapshot()
		st.SendErrors, st.KernelDrops, st.Wakeups = s.sendErrors, s.sock.Drops, s.wakeups
		st.Unsegmented = s.sock.Unsegmented != nil
		st.Delay, st.LoopLag = s.delay, s.lag
	})
	if err != nil {
		return Stats{}, err // the loop may still be at it
	}
	return st, nil
}
