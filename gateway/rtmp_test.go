package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/yutopp/go-rtmp"
	"github.com/yutopp/go-rtmp/message"

	"duet/crypto"
	"duet/rtmpchunk"
)

// house stands for the relay: it keeps what is published, and plays what it has.
type house struct {
	mu   sync.Mutex
	got  []rtmpchunk.Message
	play []rtmpchunk.Message
	done chan struct{}
	open int
	log  bytes.Buffer
}

func (h *house) config() Config {
	return Config{
		Logger: slog.New(slog.NewTextHandler(h, nil)),
		Publish: func(_ context.Context, r crypto.Token) (Publication, error) {
			if r.Stream == "live/busy" {
				return nil, errors.New("another party publishes this stream")
			}
			h.count(1)
			return &fakePublication{h}, nil
		},
		Subscribe: func(context.Context, crypto.Token) (Subscription, error) {
			h.count(1)
			return &fakeSubscription{h: h, left: h.play}, nil
		},
		Verify: func(token string, want crypto.Action, stream string) (crypto.Token, error) {
			if token != "good-"+want.String() {
				return crypto.Token{}, crypto.ErrTokenForged
			}
			return crypto.Token{Action: want, Stream: stream, Party: "p"}, nil
		},
	}
}

func (h *house) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *house) count(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.open += n
}

type fakePublication struct{ h *house }

func (p *fakePublication) Write(m rtmpchunk.Message) error {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	p.h.got = append(p.h.got, m)
	return nil
}
func (p *fakePublication) Done() <-chan struct{} { return p.h.done }
func (p *fakePublication) Err() error            { return nil }
func (p *fakePublication) Close() error          { p.h.count(-1); return nil }

type fakeSubscription struct {
	h    *house
	left []rtmpchunk.Message
}

func (s *fakeSubscription) Read(context.Context) (rtmpchunk.Message, error) {
	if len(s.left) == 0 {
		return rtmpchunk.Message{}, io.EOF
	}
	m := s.left[0]
	s.left = s.left[1:]
	return m, nil
}
func (s *fakeSubscription) Close() error { s.h.count(-1); return nil }

// serveRTMP runs a server on loopback; stop ends it and checks that nothing is left.
func serveRTMP(t *testing.T, h *house) (addr string, stop func()) {
	t.Helper()
	before := runtime.NumGoroutine()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- NewRTMP(h.config()).Serve(ctx, l) }()
	return l.Addr().String(), func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
		wait(t, "the goroutines' end", func() bool { return runtime.NumGoroutine() <= before })
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.open != 0 {
			t.Errorf("%d publications and subscriptions are left open", h.open)
		}
		if log := h.log.String(); strings.Contains(log, "good-") || strings.Contains(log, "127.0.0.1") {
			t.Errorf("the log holds a token or an address:\n%s", log)
		}
	}
}

func wait(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit, tick := time.NewTimer(10*time.Second), time.NewTicker(5*time.Millisecond)
	defer limit.Stop()
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			buf := make([]byte, 1<<20)
			t.Fatalf("%s did not come about\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// publish connects go-rtmp's own client and publishes.
func publish(addr, name string) (*rtmp.ClientConn, *rtmp.Stream, error) {
	c, err := rtmp.Dial("rtmp", addr, &rtmp.ConnConfig{})
	if err != nil {
		return nil, nil, err
	}
	if err := c.Connect(&message.NetConnectionConnect{Command: message.NetConnectionConnectCommand{App: "live"}}); err != nil {
		return c, nil, err
	}
	s, err := c.CreateStream(nil, 128)
	if err != nil {
		return c, nil, err
	}
	return c, s, s.Publish(&message.NetStreamPublish{PublishingName: name, PublishingType: "live"})
}

func TestPublish(t *testing.T) {
	h := &house{done: make(chan struct{})}
	addr, stop := serveRTMP(t, h)
	c, s, err := publish(addr, "a?t=good-rtmp-push")
	if err != nil {
		t.Fatal(err)
	}
	want := []rtmpchunk.Message{
		{Type: rtmpchunk.TypeVideo, Timestamp: 0, Payload: random(50_000)}, {Type: rtmpchunk.TypeAudio, Timestamp: 20, Payload: random(300)},
		{Type: rtmpchunk.TypeVideo, Timestamp: 40, Payload: random(5)},
	}
	for _, m := range want {
		var out message.Message = &message.AudioMessage{Payload: bytes.NewReader(m.Payload)}
		if m.Type == rtmpchunk.TypeVideo {
			out = &message.VideoMessage{Payload: bytes.NewReader(m.Payload)}
		}
		if err := s.Write(4, m.Timestamp, out); err != nil {
			t.Fatal(err)
		}
	}
	wait(t, "the messages' arrival", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.got) == len(want) })
	for i, m := range h.got {
		if m.Type != want[i].Type || m.Timestamp != want[i].Timestamp || !bytes.Equal(m.Payload, want[i].Payload) {
			t.Errorf("message %d: type %d at %d, %d bytes", i, m.Type, m.Timestamp, len(m.Payload))
		}
	}
	close(h.done) // replaced: the client is put out
	wait(t, "the publication's end", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.open == 0 })
	_ = c.Close()
	stop()
}

// Nothing that a client sends ends the server or leaves anything behind.
func TestHostileClients(t *testing.T) {
	h := &house{done: make(chan struct{})}
	addr, stop := serveRTMP(t, h)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, r.IntN(20_000))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		if len(b) > 0 {
			b[0] = 3 // the version, so that the handshake goes on
		}
		if i%3 == 0 && len(b) > handshakeBytes+20 { // what go-rtmp is known to panic on
			copy(b[handshakeBytes:], []byte{0xc3, 0xc3, 0xc3})
		}
		_, _ = c.Write(b)
		if i%2 == 0 {
			_ = c.Close()
		} else {
			defer c.Close()
		}
	}
	// The server still serves.
	c, s, err := publish(addr, "a?t=good-rtmp-push")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(4, 0, &message.AudioMessage{Payload: bytes.NewReader([]byte{1})}); err != nil {
		t.Fatal(err)
	}
	wait(t, "a message", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return len(h.got) == 1 })
	_ = c.Close()
	stop()
}

// Without the right there is neither a publication nor a subscription.
func TestRefused(t *testing.T) {
	h := &house{done: make(chan struct{})}
	addr, stop := serveRTMP(t, h)
	for _, name := range []string{"a", "a?t=good-rtmp-play", "a?t=good-flv", "a?t=good-push", "../a?t=good-rtmp-push", "busy?t=good-rtmp-push"} {
		c, s, err := publish(addr, name)
		if err == nil {
			_ = s.Write(4, 0, &message.AudioMessage{Payload: bytes.NewReader([]byte{1})})
		}
		if c != nil {
			_ = c.Close()
		}
	}
	stop()
	if len(h.got) != 0 {
		t.Errorf("%d messages were published without the right", len(h.got))
	}
}

func TestFLV(t *testing.T) {
	h := &house{done: make(chan struct{}), play: []rtmpchunk.Message{
		{Type: rtmpchunk.TypeVideo, Payload: random(3000)}, {Type: rtmpchunk.TypeAudio, Timestamp: 1 << 25, Payload: random(30)},
	}}
	srv := httptest.NewServer(NewFLV(h.config()))
	defer srv.Close()
	for path, status := range map[string]int{
		"/live/a.flv?t=good-flv": http.StatusOK, "/live/a.flv": http.StatusUnauthorized, "/live/a.flv?t=good-rtmp-play": http.StatusForbidden,
		"/live/a": http.StatusNotFound, "/live/../a.flv?t=good-flv": http.StatusNotFound,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, srv.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != status {
			t.Errorf("%s: status %d, want %d; %v", path, res.StatusCode, status, err)
		}
		if status != http.StatusOK {
			if lines := strings.Count(string(body), "\n"); lines != 1 {
				t.Errorf("%s: %d lines: %s", path, lines, body)
			}
			continue
		}
		for i, r := 0, rtmpchunk.NewReader(bytes.NewReader(body)); ; i++ {
			m, err := r.Read()
			if errors.Is(err, io.EOF) {
				if i != len(h.play) {
					t.Errorf("%d messages", i)
				}
				break
			}
			if err != nil || m.Timestamp != h.play[i].Timestamp || !bytes.Equal(m.Payload, h.play[i].Payload) {
				t.Fatalf("message %d: %v", i, err)
			}
		}
	}
	if h.open != 0 {
		t.Errorf("%d subscriptions are left open", h.open)
	}
}
