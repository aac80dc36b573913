package gateway

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
)

// RTMPS is the same server behind a TLS listener.
func TestRTMPS(t *testing.T) {
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	defer certified.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	want := []rtmpchunk.Message{{Type: rtmpchunk.TypeVideo, Timestamp: 40, Payload: random(100_000)}}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	server := NewRTMP((&hub{messages: want, end: io.EOF}).config())
	go func() {
		served <- server.Serve(ctx, tls.NewListener(l, &tls.Config{Certificates: certified.TLS.Certificates}))
	}()
	defer func() { cancel(); <-served }()
	trust := certified.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
	trust.ServerName = "example.com"
	c, err := (&tls.Dialer{Config: trust}).DialContext(ctx, "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ended, answer := greet(t, c)
	if _, err := c.Write(asks(t, "play", "live", "", "a?t=good")); err != nil {
		t.Fatal(err)
	}
	<-ended
	_ = c.Close()
	sameMessages(t, media(t, answer.String()), want)
}

// waiting is a subscription whose stream never begins; closed counts.
type waiting struct{ closed *atomic.Int64 }

func (w waiting) Read(ctx context.Context) (rtmpchunk.Message, error) {
	<-ctx.Done()
	return rtmpchunk.Message{}, ctx.Err()
}
func (w waiting) Close() error { w.closed.Add(1); return nil }

// An HTTP-FLV player hears at once that it is let in, and its subscription ends when it goes.
func TestFLVPlayerThatGoes(t *testing.T) {
	var closed atomic.Int64
	cfg := (&hub{}).config()
	cfg.Subscribe = func(context.Context, crypto.Token) (Subscription, error) { return waiting{&closed}, nil }
	srv := httptest.NewServer(NewFLV(cfg))
	defer srv.Close()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/live/a.flv?t=good", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := srv.Client().Do(req) // returns with the response's header
	if err != nil {
		t.Fatal(err)
	}
	if ct := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || ct != "video/x-flv" {
		t.Errorf("status %d, %s", res.StatusCode, ct)
	}
	cancel()
	_ = res.Body.Close()
	wait(t, "the subscription's end", func() bool { return closed.Load() == 1 })
}

// One player more than there may be is told so; when another has gone there is room again.
func TestFLVPlayersAreCounted(t *testing.T) {
	var closed atomic.Int64
	cfg := (&hub{}).config()
	cfg.MaxConns = 1
	cfg.Subscribe = func(context.Context, crypto.Token) (Subscription, error) { return waiting{&closed}, nil }
	srv := httptest.NewServer(NewFLV(cfg))
	defer srv.Close()
	ask := func(ctx context.Context) (status int, body string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+"/live/a.flv?t=good", nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode == http.StatusOK {
			t.Cleanup(func() { _ = res.Body.Close() })
			return res.StatusCode, ""
		}
		defer func() { _ = res.Body.Close() }()
		b, _ := io.ReadAll(res.Body)
		return res.StatusCode, string(b)
	}
	first, leave := context.WithCancel(t.Context())
	if status, _ := ask(first); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	if status, body := ask(t.Context()); status != http.StatusServiceUnavailable || strings.Count(body, "\n") != 1 {
		t.Errorf("status %d: %s", status, body)
	}
	leave()
	second, leave := context.WithCancel(t.Context())
	wait(t, "room", func() bool { status, _ := ask(second); return status == http.StatusOK })
	leave()
}

// FuzzClient: whatever a client sends after its handshake, with a good token in it or none, its connection ends with it: no goroutine is
// left, which synctest finds, and what it published is closed.
func FuzzClient(f *testing.F) {
	publishing := asks(f, "publish", "live", "", "a?t=good")
	c := chunker{size: defaultChunk}
	c.full(6, rtmpchunk.TypeVideo, 0xffffff+5, 1, random(700))
	c.full(4, rtmpchunk.TypeData, 5, 1, append([]byte(setDataFrame), amfString, 0, 1, 'x', amfNull))
	f.Add(append(publishing, c.b...))
	f.Add(append(asks(f, "play", "live", "", "a?t=good"), c.b...))
	f.Add(append(asks(f, "publish", "live", "", "a?t=bad"), c.b...))
	f.Add(append(asks(f, "publish", "live", "", "a?t=good"), asks(f, "play", "live", "", "a?t=good")...))
	f.Add(append(append([]byte{}, publishing...), command(f, 1, "deleteStream", 3, nil, 1)...))
	f.Add([]byte{0xc3, 0xc3, 0xc3})
	f.Fuzz(func(t *testing.T, b []byte) {
		synctest.Test(t, func(t *testing.T) {
			var open atomic.Int64
			h := &hub{done: make(chan struct{}), messages: []rtmpchunk.Message{{Type: rtmpchunk.TypeAudio, Payload: []byte{1}}}}
			cfg := h.config()
			cfg.Publish = func(context.Context, crypto.Token) (Publication, error) {
				open.Add(1)
				return &counted{hub: h, open: &open}, nil
			}
			l := newPipes()
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- NewRTMP(cfg).Serve(ctx, l) }()
			c := l.dial(t)
			ended, _ := greet(t, c)
			go func() { _, _ = c.Write(b); _ = c.Close() }()
			<-ended
			pass(4 * time.Second) // go-rtmp waits 3 s for its writers
			if n := open.Load(); n != 0 {
				t.Errorf("%d publications are left open", n)
			}
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		})
	})
}

// counted is a publication that counts down as it closes.
type counted struct {
	*hub
	open *atomic.Int64
}

func (c *counted) Close() error { c.open.Add(-1); return nil }
