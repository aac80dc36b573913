package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"time"

	"duet/crypto"
	"duet/relay/udp"
	"duet/transport"
	"duet/transport/wire"
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
	sendErrors uint64 // of the loop's goroutine
	floors     *floorFile
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
	if sock.SmallBuffers {
		cfg.Logger.Warn("the system grants only small socket buffers; bursts may be lost",
			"hint", "sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608")
	}
	wake := func() { _ = sock.SetReadDeadline(time.Unix(1, 0)) } // ends the Read that the loop waits in
	s := &Server{cfg: cfg, sock: sock, loop: NewLoop(time.Now(), cfg, rand.Reader, wake), floors: kept}
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
	idleWait   = time.Second
	readBuffer = 2048 // more than a datagram of ours: a longer one is seen to be longer
	sendBuffer = 8 * wire.MaxDatagram
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

// run drives the loop: mail, alarms, what is to be sent, then one datagram or the time of the next alarm.
func (s *Server) run() error {
	in, out := make([]byte, readBuffer), make([]byte, sendBuffer)
	for {
		now := time.Now()
		s.loop.RunMail(now)
		s.loop.HandleTimeout(now)
		s.flush(now, out)
		if s.loop.stopped(now) {
			return nil
		}
		wake := s.loop.Deadline()
		if wake.IsZero() || wake.Sub(now) > idleWait {
			wake = now.Add(idleWait)
		}
		if err := s.sock.SetReadDeadline(wake); err != nil {
			return fmt.Errorf("relay: socket: %w", err)
		}
		if s.loop.mail.waiting() { // posted before the deadline was set: Read would sleep over it
			continue
		}
		n, remote, local, err := s.sock.Read(in)
		switch {
		case err == nil:
			now = time.Now()
			if s.cfg.Tap != nil {
				s.cfg.Tap(true, in[:n])
			}
			s.loop.HandleDatagram(now, transport.Path{Local: local, Addr: remote}, in[:n])
			s.flush(now, out)
		case errors.Is(err, os.ErrDeadlineExceeded):
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("relay: socket: %w", err)
		default:
			s.sendErrors++ // the network's answer to an earlier send: a client that is gone
		}
	}
}

// flush sends what the loop has.
func (s *Server) flush(now time.Time, out []byte) {
	for {
		t, ok := s.loop.Poll(now, out)
		if !ok {
			return
		}
		for off := 0; off < t.Size; off += t.Segment {
			b := out[off:min(off+t.Segment, t.Size)]
			if s.cfg.Tap != nil {
				s.cfg.Tap(false, b)
			}
			if err := s.sock.Write(b, t.Path.Addr, t.Path.Local); err != nil {
				s.sendErrors++
			}
		}
	}
}

// Stats asks the loop for its counters.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	var st Stats
	err := s.loop.mail.call(ctx, func(time.Time) {
		st = s.loop.Snapshot()
		st.SendErrors = s.sendErrors
	})
	if err != nil {
		return Stats{}, err // the loop may still be at it
	}
	return st, nil
}
