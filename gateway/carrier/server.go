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
)

// Config says how browsers are let in. Relay is required.
type Config struct {
	Relay    netip.AddrPort // UDP, of a relay on this machine
	Origins  []string       // hosts of pages that may come, beside those of the server's own host name
	MaxPeers int            // default DefaultMaxPeers
	Logger   *slog.Logger   // default: discard. Gets no addresses
}

// Limits.
const (
	DefaultMaxPeers = 4_000
	// peerBuffer holds what a reader has not taken: beyond it the oldest is worth less than what comes next. 128 KiB are half a second at 2 Mbit/s.
	peerBuffer  = 128 << 10
	maxDatagram = 1200 // of ours
)

// Server is the carriers of one relay.
type Server struct {
	cfg   Config
	relay *net.UDPAddr

	mu     sync.Mutex // guards what follows
	peers  map[*peer]struct{}
	closed bool
	wt     func(host string) (url string, hashes []string) // nil: there is no WebTransport
}

// New makes one. Close ends its peers.
func New(cfg Config) *Server {
	if cfg.MaxPeers <= 0 {
		cfg.MaxPeers = DefaultMaxPeers
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
	end context.CancelFunc
}

var (
	errFull   = errors.New("carrier: there are as many browsers as are let in")
	errClosed = errors.New("carrier: closed")
)

// enter opens a peer's way to the relay.
func (s *Server) enter(end context.CancelFunc) (*peer, error) {
	u, err := net.DialUDP("udp", nil, s.relay)
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	_ = u.SetReadBuffer(peerBuffer) // a hint
	p := &peer{u, end}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return nil, errors.Join(errClosed, u.Close())
	case len(s.peers) >= s.cfg.MaxPeers:
		return nil, errors.Join(errFull, u.Close())
	}
	s.peers[p] = struct{}{}
	return p, nil
}

func (s *Server) leave(p *peer) {
	p.end()
	_ = p.Close() // ends its reader
	s.mu.Lock()
	delete(s.peers, p)
	s.mu.Unlock()
}

// Close ends all peers and lets no more in.
func (s *Server) Close() {
	s.mu.Lock()
	s.closed = true
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

// WebSocketPath is where the WebSocket is to be mounted.
const WebSocketPath = "/v1/carrier"

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
