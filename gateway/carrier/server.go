package carrier

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says how browsers are let in. Relay is required.
type Config struct {
	Relay    netip.AddrPort // UDP, of a relay on this machine
	Origins  []string       // hosts of pages that may come, beside those of the server's own host name
	MaxPeers int            // default DefaultMaxPeers
	MaxCheck int            // checks of the network at a time; default DefaultMaxCheck
	Logger   *slog.Logger   // default: discard. Gets no addresses
}

// Limits.
const (
	DefaultMaxPeers = 4_000
	DefaultMaxCheck = 64
	// peerBuffer holds what a reader has not taken: beyond it the oldest is worth less than what comes next. 128 KiB are half a second at 2 Mbit/s.
	peerBuffer  = 128 << 10
	maxDatagram = 1200 // of ours
	// A check of the network before a call is over soon.
	checkTime  = 6 * time.Second
	checkBytes = 4 << 20 // each way
)

// Server is the carriers of one relay.
type Server struct {
	cfg   Config
	relay *net.UDPAddr

	mu     sync.Mutex // guards what follows
	peers  map[*peer]struct{}
	checks int          // of peers
	echo   *net.UDPConn // what checks talk to; nil until the first
	closed bool
	wt     func(host string) (url string, hashes []string) // nil: there is no WebTransport
}

// New makes one. Close ends its peers.
func New(cfg Config) *Server {
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = DefaultMaxPeers
	}
	if cfg.MaxCheck <= 0 {
		cfg.MaxCheck = DefaultMaxCheck
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	at := cfg.Relay
	if at.Addr().IsUnspecified() { // it listens on all: this machine's own will do
		loop := netip.AddrFrom4([4]byte{127, 0, 0, 1})
		if at.Addr().Is6() {
			loop = netip.IPv6Loopback()
		}
		at = netip.AddrPortFrom(loop, at.Port())
	}
	return &Server{cfg: cfg, relay: net.UDPAddrFromAddrPort(at), peers: make(map[*peer]struct{})}
}

// peer is one browser's connection.
type peer struct {
	*net.UDPConn
	end   context.CancelFunc
	check bool // it talks to the echo
	spent int  // bytes of a check
}

var (
	errFull   = errors.New("carrier: there are as many browsers as are let in")
	errClosed = errors.New("carrier: closed")
)

// enter opens a peer's way to the relay, or to the echo.
func (s *Server) enter(end context.CancelFunc, check bool) (*peer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	to := s.relay
	switch {
	case s.closed:
		return nil, errClosed
	case len(s.peers) >= s.cfg.MaxPeers, check && s.checks >= s.cfg.MaxCheck:
		return nil, errFull
	case check:
		if s.echo == nil {
			e, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				return nil, fmt.Errorf("carrier: %w", err)
			}
			s.echo = e
			go giveBack(e)
		}
		to, _ = s.echo.LocalAddr().(*net.UDPAddr)
	}
	u, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	_ = u.SetReadBuffer(peerBuffer) // a hint
	p := &peer{UDPConn: u, end: end, check: check}
	s.peers[p] = struct{}{}
	if check {
		s.checks++
	}
	return p, nil
}

// giveBack is an echo, of all that it gets, until it is closed.
func giveBack(c *net.UDPConn) {
	b := make([]byte, 2*maxDatagram)
	for {
		n, from, err := c.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			_, _ = c.WriteToUDPAddrPort(b[:n], from) // it may be lost like any other
		}
	}
}

func (s *Server) leave(p *peer) {
	p.end()
	_ = p.Close() // ends its reader
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, in := s.peers[p]; in && p.check {
		s.checks--
	}
	delete(s.peers, p)
}

// Close ends all peers and lets no more in.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
	if s.echo != nil {
		_ = s.echo.Close()
	}
	all := make([]*peer, 0, len(s.peers))
	for p := range s.peers {
		all = append(all, p)
	}
	s.mu.Unlock()
	for _, p := range all {
		s.leave(p)
	}
}

// Peers is how many browsers are connected.
func (s *Server) Peers() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.peers)
}

// down reads what the relay sends to a peer and hands it on until either ends. A relay that is away for a moment is waited for.
func (p *peer) down(ctx context.Context, give func(b []byte) error) {
	b := make([]byte, 2*maxDatagram)
	for ctx.Err() == nil {
		n, err := p.Read(b[2:])
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // nobody listens there at present: the next one may get through
			continue
		}
		if give(b[:2+n]) != nil {
			return
		}
	}
}

// up sends a datagram to the relay. What is longer than ours is none.
func (p *peer) up(b []byte) {
	if p.check {
		if p.spent += len(b); p.spent > checkBytes {
			p.end()
			return
		}
	}
	if len(b) > 0 && len(b) <= maxDatagram {
		_, _ = p.Write(b) // it may be lost like any other
	}
}

// sameSite reports whether a page may use this server: it is of the same host name, whatever the port, or of one that is listed. A client that is no
// browser names no origin.
func (s *Server) sameSite(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.Host == "" {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.EqualFold(u.Hostname(), strings.Trim(host, "[]")) || slices.Contains(s.cfg.Origins, u.Host) || slices.Contains(s.cfg.Origins, u.Hostname())
}

// list is what GET /v1/carriers says.
type list struct {
	WebTransport *webTransport `json:"webtransport,omitempty"`
	WebSocket    string        `json:"websocket"`
}

type webTransport struct {
	URL    string   `json:"url"`
	Hashes []string `json:"hashes,omitempty"` // SHA-256 of certificates, base64; none: the certificate is one that browsers trust
}

// WebSocketPath is where the WebSocket is to be mounted; CheckSuffix makes it, and WebTransport's path, that of a check: what is sent comes back, for
// some seconds.
const (
	WebSocketPath = "/v1/carrier"
	CheckSuffix   = "/check"
)

// Carriers is a handler that tells a page how it can reach the relay.
func (s *Server) Carriers() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin := r.Header.Get("Origin"); origin != "" && s.sameSite(r) {
			w.Header().Set("Access-Control-Allow-Origin", origin)
			w.Header().Add("Vary", "Origin")
		}
		l := list{WebSocket: WebSocketPath}
		s.mu.Lock()
		wt := s.wt
		s.mu.Unlock()
		if wt != nil {
			at, hashes := wt(r.Host)
			l.WebTransport = &webTransport{at, hashes}
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(l) // who does not read it is gone
	})
}
