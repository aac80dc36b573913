package gateway

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
)

// pipes is a listener whose connections are in memory, so that its server runs in virtual time.
type pipes struct {
	conns  chan net.Conn
	errs   chan error
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes {
	return &pipes{conns: make(chan net.Conn), errs: make(chan error, 1), closed: make(chan struct{})}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case err := <-p.errs:
		return nil, err
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// dial returns a client's end once the server has taken the other.
func (p *pipes) dial(t *testing.T) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
	case <-time.After(time.Minute):
		t.Fatal("the server takes no connection")
	}
	return ours
}

// hub is a relay for tests: one publication, whose messages it keeps, and subscriptions that give messages and then wait.
type hub struct {
	mu       sync.Mutex
	got      []rtmpchunk.Message
	messages []rtmpchunk.Message // for players
	end      error               // after messages; nil: wait
	done     chan struct{}
	closed   chan struct{} // if set, closed with the publication
}

func (h *hub) Write(m rtmpchunk.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.got = append(h.got, m)
	return nil
}
func (h *hub) Done() <-chan struct{} { return h.done }
func (h *hub) Err() error            { return nil }
func (h *hub) Close() error {
	if h.closed != nil {
		close(h.closed)
	}
	return nil
}

type reader struct {
	h *hub
	i int
}

func (r *reader) Read(ctx context.Context) (rtmpchunk.Message, error) {
	if r.i < len(r.h.messages) {
		r.i++
		return r.h.messages[r.i-1], nil
	}
	if r.h.end != nil {
		return rtmpchunk.Message{}, r.h.end
	}
	<-ctx.Done()
	return rtmpchunk.Message{}, ctx.Err()
}
func (r *reader) Close() error { return nil }

func (h *hub) config() Config {
	return Config{
		Publish:   func(context.Context, crypto.Token) (Publication, error) { return h, nil },
		Subscribe: func(context.Context, crypto.Token) (Subscription, error) { return &reader{h: h}, nil },
		Verify: func(token string, want crypto.Action, stream string) (crypto.Token, error) {
			if token != "good" {
				return crypto.Token{}, crypto.ErrTokenForged
			}
			return crypto.Token{Action: want, Stream: stream}, nil
		},
	}
}

// pass lets virtual time go by.
func pass(d time.Duration) { <-time.After(d) }
