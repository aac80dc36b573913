package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime"
	"sync"
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
	Policy      transport.Policy // default: a planner that the sessions of a loop share; needs Loops to be 1

	HandshakeRate float64 // handshakes a second without a cookie; default transport.DefaultHandshakeRate

	// Loops is how many goroutines share the work, each with a socket on the same address; default: one for each processor but one, which the rest of
	// the program has, at most MaxLoops. Systems other than Linux have one.
	Loops     int
	unsteered bool // a test's: as on a system that takes no program

	// FloorFile is where floors are kept over a restart; "" keeps them in memory alone. No other relay may use it.
	FloorFile string
	// OnChange, when set, is called when what Sessions lists has changed: somebody came into place, left it, fell silent or was heard
	// again. It is called from any goroutine, at most every 5 ms, and must not block, nor wait for the relay.
	OnChange func()

	// Tap, when set, sees every datagram as it passes the socket: for captures. It must not keep the slice; loops call it side by side.
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
	if c.HandshakeRate <= 0 {
		c.HandshakeRate = transport.DefaultHandshakeRate
	}
	if c.Loops <= 0 {
		c.Loops = min(max(1, runtime.GOMAXPROCS(0)-1), MaxLoops)
	}
}

// Server is a relay on a UDP address: a group of loops with a socket and a goroutine each.
type Server struct {
	cfg     Config
	drivers []*driver
	floors  *floorTable
	file    *floorFile
}

// New reads the floors and opens the sockets. Serve then runs the relay.
func New(cfg Config) (*Server, error) {
	if cfg.Key == nil || cfg.Tokens == nil {
		return nil, errors.New("relay: Config needs Key and Tokens")
	}
	cfg.setDefaults()
	switch {
	case cfg.Loops > MaxLoops:
		return nil, fmt.Errorf("relay: %d loops, at most %d", cfg.Loops, MaxLoops)
	case cfg.Policy != nil && cfg.Loops > 1:
		return nil, errors.New("relay: a Policy serves one loop alone: set Config.Loops to 1")
	}
	kept, err := openFloors(cfg.FloorFile, time.Now(), cfg.MaxFloors)
	if err != nil {
		return nil, err
	}
	steering := udp.Steering{Mask: wire.DataMask, Value: byte(wire.KindData) | wire.Version, Index: wire.DataLoop}
	if cfg.unsteered {
		steering = udp.Steering{Value: 1} // which no byte is
	}
	socks, err := udp.ListenGroup(cfg.Listen, cfg.Loops, steering)
	if err != nil {
		kept.close()
		return nil, fmt.Errorf("relay: can't listen on %s: %w", cfg.Listen, err)
	}
	s := &Server{cfg: cfg, file: kept}
	wakes := make([]func(), len(socks))
	for i, sock := range socks {
		wakes[i] = sock.Wake
		if err := sock.Batch(); err != nil {
			closeAll(socks)
			kept.close()
			return nil, fmt.Errorf("relay: can't use the socket on %s: %w", cfg.Listen, err)
		}
	}
	for i, loop := range NewLoops(time.Now(), cfg, rand.Reader, wakes) {
		s.drivers = append(s.drivers, &driver{cfg: &s.cfg, loop: loop, sock: socks[i], in: udp.NewInbox(), out: udp.NewOutbox()})
	}
	s.floors = s.drivers[0].loop.group.floors
	for _, f := range kept.live {
		s.floors.keep(f)
	}
	s.warn(socks[0])
	return s, nil
}

// warn says what the system does not grant.
func (s *Server) warn(sock *udp.Conn) {
	if sock.SmallBuffers {
		s.cfg.Logger.Warn("the system grants only small socket buffers; bursts may be lost",
			"hint", "sysctl -w net.core.rmem_max=8388608 net.core.wmem_max=8388608")
	}
	if sock.Unsteered != nil {
		s.cfg.Logger.Warn("the system does not give datagrams to the loop that they are for: loops hand them over, which costs more", "reason", sock.Unsteered)
	}
}

func closeAll(socks []*udp.Conn) {
	for _, sock := range socks {
		_ = sock.Close()
	}
}

// Addr is the UDP address that the relay listens on.
func (s *Server) Addr() netip.AddrPort { return s.drivers[0].sock.LocalAddr() }

// Serve runs the relay until ctx ends: then every client is told (wire.CloseShutdown) and the sockets closed. It returns nil after
// a shutdown, and an error if a socket failed.
func (s *Server) Serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		for _, d := range s.drivers {
			d.loop.mail.hand(d.loop.shutdown)
		}
	})
	defer stop()
	errs := make([]error, len(s.drivers))
	var wg sync.WaitGroup
	for i, d := range s.drivers {
		wg.Go(func() {
			defer cancel() // one without the others serves nobody
			errs[i] = d.serve()
		})
	}
	wg.Wait()
	s.file.close()
	return errors.Join(errs...)
}

// home is the loop that owns a stream.
func (s *Server) home(stream string) *Loop { return s.drivers[0].loop.group.home(stream) }

// Stats asks the loops for their counters.
func (s *Server) Stats(ctx context.Context) (Stats, error) {
	var sum Stats
	for i, d := range s.drivers {
		var st Stats
		if err := d.loop.mail.call(ctx, func(time.Time) { st = d.snapshot() }); err != nil {
			return Stats{}, err // the loop may still be at it
		}
		if i == 0 {
			sum = st
		} else {
			sum.add(&st)
		}
	}
	return sum, nil
}
