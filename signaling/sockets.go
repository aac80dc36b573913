package signaling

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/coder/websocket"

	"duet/signaling/desk"
	"duet/signaling/office"
)

// Identity is who a token says its bearer is.
type Identity struct {
	Actor    desk.Actor
	Expires  time.Time
	Priority int      // that the bearer has in a queue
	Skills   []string // that the bearer needs of an agent
}

// Authenticator checks tokens. The error is a *desk.Error.
type Authenticator interface {
	Verify(token string) (Identity, error)
}

// SocketConfig says how sockets are served. Office, Auth and URLs are required.
type SocketConfig struct {
	Office  *office.Office
	Auth    Authenticator
	URLs    func(desk.Grant) (string, error) // makes the URL of a grant
	Origins []string                         // host patterns of pages that may connect, beside the server's own
	Proxies []netip.Prefix                   // whose X-Forwarded-For is believed
	Logger  *slog.Logger                     // default: discard
}

// The protocol, docs/signaling.md.
const (
	Subprotocol     = "duet.v1"
	protocolVersion = 1

	maxHello     = 16 << 10                   // bytes of the first message, which anybody may send
	maxFrame     = 6*desk.MaxMessage + 16<<10 // of those after it: the longest text, each byte of it written as \u0000
	helloTime    = 5 * time.Second
	pingEvery    = 20 * time.Second
	deadAfter    = 3 * pingEvery
	writeTime    = 10 * time.Second
	requestTime  = 15 * time.Second
	maxRequests  = 64  // of one socket at a time
	requestRate  = 50  // a second
	requestBurst = 200 // at once
	reportRate   = 10  // reports a second, and at once
	maxSockets   = 50_000
	leaveTime    = 5 * time.Second
	leavePause   = 100 * time.Millisecond // and longer each time
)

// Codes with which a socket is closed.
const (
	closeDenied   websocket.StatusCode = 4401
	closeDisabled websocket.StatusCode = 4403
	closeNoHello  websocket.StatusCode = 4408
	closeTooMany  websocket.StatusCode = 4409
	closeTooFast  websocket.StatusCode = 4429
	closeRestart  websocket.StatusCode = websocket.StatusServiceRestart
	closeFailed   websocket.StatusCode = websocket.StatusInternalError
)

// Sockets serves GET /v1/socket.
type Sockets struct {
	cfg       SocketConfig
	writeTime time.Duration
	ctx       context.Context // ends with Close
	stop      context.CancelCauseFunc
	wg        sync.WaitGroup
	place     *places
	strangers *limiter // sockets that came to no hello, by address

	mu     sync.Mutex
	open   map[*socket]struct{}
	closed bool
}

// errRestart ends sockets when the server does.
var errRestart = errors.New("the server restarts")

// NewSockets returns a handler. Run tells callers their places; Close ends all sockets.
func NewSockets(cfg SocketConfig) *Sockets {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Sockets{cfg: cfg, writeTime: writeTime, strangers: newLimiter(openRate, openBurst), open: make(map[*socket]struct{})}
	s.ctx, s.stop = context.WithCancelCause(context.Background())
	s.place = newPlaces(cfg.Office)
	return s
}

// Run tells callers in line where they are, until ctx ends.
func (s *Sockets) Run(ctx context.Context) { s.place.run(ctx) }

// Close ends all sockets: their clients come again.
func (s *Sockets) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.stop(errRestart)
	s.wg.Wait()
}

// ServeHTTP serves one socket until it ends.
func (s *Sockets) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// Only sockets that came to nothing count: a house full of people behind one address may come at once.
	from := clientOf(r, s.cfg.Proxies).String()
	if s.strangers.spent(from) {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, &desk.Error{Code: desk.Limit, Text: "too many sockets came from your address without a valid token: wait a moment"})
		return
	}
	s.mu.Lock()
	full := s.closed || len(s.open) >= maxSockets
	if !full {
		s.wg.Add(1)
	}
	s.mu.Unlock()
	if full {
		w.Header().Set("Retry-After", "1")
		writeProblem(w, &desk.Error{Code: desk.Unavailable, Text: "the server has as many sockets as it may have: try again in a moment"})
		return
	}
	defer s.wg.Done()
	// Accept refuses an Origin that is neither the request's own host nor on the list.
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}, OriginPatterns: s.cfg.Origins})
	if err != nil {
		return // it has answered
	}
	k := newSocket(s, conn, rand.Text(), from)
	s.mu.Lock()
	s.open[k] = struct{}{}
	s.mu.Unlock()
	k.serve(s.ctx)
	s.mu.Lock()
	delete(s.open, k)
	s.mu.Unlock()
}
