package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
)

// output collects what a command prints; another goroutine may look.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// result is what became of a command.
type result struct {
	code     int
	out, err *output
}

// duet runs the program with arguments.
func duet(ctx context.Context, in io.Reader, args ...string) result {
	r := result{out: &output{}, err: &output{}}
	if in == nil {
		in = strings.NewReader("")
	}
	r.code = run(ctx, args, in, r.out, r.err)
	return r
}

// host is a running server with a data directory of its own.
type host struct {
	t    *testing.T
	srv  *server
	data string
	log  *output
	stop func()
}

// startServer runs a server on free ports of loopback, with its gateways. change may alter its configuration.
func startServer(t *testing.T, change func(*serverConfig)) *host {
	t.Helper()
	h := &host{t: t, data: t.TempDir(), log: &output{}}
	cfg := serverConfig{
		data: h.data, udp: "127.0.0.1:0", rtmp: "127.0.0.1:0", http: "127.0.0.1:0",
		log: slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&cfg)
	}
	srv, err := newServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h.srv = srv
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.serve(ctx) }()
	var once sync.Once
	h.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
		})
	}
	t.Cleanup(h.stop)
	return h
}

// url makes a URL as `duet url` does.
func (h *host) url(action, stream string, more ...string) string {
	h.t.Helper()
	r := duet(context.Background(), nil, append([]string{"url", action, stream, "--data", h.data}, more...)...)
	if r.code != 0 {
		h.t.Fatalf("duet url: %s", r.err)
	}
	return strings.TrimSpace(r.out.String())
}

// token makes a duet:// URL whose token is spoiled by edit.
func (h *host) token(edit func(*crypto.Token)) string {
	h.t.Helper()
	tok := crypto.Token{Action: crypto.ActionPlay, Expiry: time.Now().Add(time.Hour), Stream: "live/a"}
	edit(&tok)
	text, err := h.srv.secrets.tokens.Mint(tok)
	if err != nil {
		h.t.Fatal(err)
	}
	u := crypto.URL{Host: h.srv.told.UDP, Stream: "live/a", Key: h.srv.secrets.key.Public(), Token: text}
	return u.String()
}

// readFLV reads all messages of a file.
func readFLV(t *testing.T, path string) []rtmpchunk.Message {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseFLV(t, b)
}

func parseFLV(t *testing.T, b []byte) []rtmpchunk.Message {
	t.Helper()
	var list []rtmpchunk.Message
	r := rtmpchunk.NewReader(bytes.NewReader(b))
	for {
		m, err := r.Read()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatalf("after %d messages: %v", len(list), err)
		}
		list = append(list, m)
	}
}

// same fails the test unless both have the same messages.
func same(t *testing.T, got, want []rtmpchunk.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i].Type != want[i].Type || got[i].Timestamp != want[i].Timestamp || !bytes.Equal(got[i].Payload, want[i].Payload) {
			t.Fatalf("message %d differs: type %d at %d ms, %d bytes; want type %d at %d ms, %d bytes",
				i, got[i].Type, got[i].Timestamp, len(got[i].Payload), want[i].Type, want[i].Timestamp, len(want[i].Payload))
		}
	}
}

// clipFile is the demo's clip as a file.
func clipFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.flv")
	if err := os.WriteFile(path, clip, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// jsonLines parses every line.
func jsonLines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var list []map[string]any
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("not a JSON line: %q: %v", line, err)
		}
		list = append(list, m)
	}
	return list
}

// waitFor polls until cond holds.
func waitFor(t *testing.T, what string, cond func() bool) {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !cond() {
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("%s did not come about in 20 s", what)
		}
	}
}
