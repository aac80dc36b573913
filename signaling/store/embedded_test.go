package store

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

type natsMsg = nats.Msg

func TestEmbedded(t *testing.T) {
	t.Parallel()
	conformance(t, func(t *testing.T) place {
		dir := t.TempDir()
		return place{open: func(t testing.TB) *Store { return mustOpen(t, Config{Dir: dir, Lease: shortLease}) }}
	})
}

// TestEmbeddedInterval: the same with syncs at intervals.
func TestEmbeddedInterval(t *testing.T) {
	t.Parallel()
	conformance(t, func(t *testing.T) place {
		dir := t.TempDir()
		return place{open: func(t testing.TB) *Store {
			return mustOpen(t, Config{Dir: dir, Sync: 2 * time.Minute, Lease: shortLease})
		}}
	})
}

// captured is a logger at the level that a server runs with, and what it has logged.
func captured() (*slog.Logger, func() string) {
	out := &lockedBuffer{}
	return slog.New(slog.NewTextHandler(out, nil)), out.String
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write is io.Writer's.
func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String is what was written.
func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func cut(t *testing.T, name string) {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	for name, cfg := range map[string]Config{
		"neither":         {},
		"name":            {Dir: dir, Name: "a.b"},
		"long name":       {Dir: dir, Name: strings.Repeat("a", 33)},
		"replicas":        {Dir: dir, Replicas: 3},
		"many replicas":   {URL: "nats://127.0.0.1:1", Replicas: 6},
		"negative sync":   {Dir: dir, Sync: -1},
		"short sync":      {Dir: dir, Sync: time.Microsecond},
		"short lease":     {Dir: dir, Lease: time.Millisecond},
		"creds":           {Dir: dir, Creds: "file"},
		"no URL":          {URL: "localhost"},
		"other URL":       {URL: "http://localhost:4222"},
		"URL with secret": {URL: "nats://user:hunter2@127.0.0.1:port"},
		"nobody there":    {URL: "nats://user:hunter2@127.0.0.1:1"},
	} {
		_, err := Open(within(t), cfg)
		if err == nil {
			t.Errorf("%s: opened", name)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error tells a password: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(within(t), Config{Dir: file}); err == nil {
		t.Error("a file was opened as a directory")
	}
}

// TestInUse: one at a time, and the other is told by whom.
func TestInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	for range 2 {
		_, err := Open(within(t), Config{Dir: dir})
		if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(os.Getpid())) {
			t.Fatal(err)
		}
	}
	fill(t, s, 0, 1) // the first one does not mind
	closeStore(t, s)
	mustOpen(t, Config{Dir: dir})
}

func TestInUseByAnother(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := startChild(t, dir, "0s", 1)
	<-c.acked
	if _, err := Open(within(t), Config{Dir: dir}); !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), "process "+strconv.Itoa(c.cmd.Process.Pid)) {
		t.Error(err)
	}
	c.kill(t)
	mustOpen(t, Config{Dir: dir})
}

// TestQuiet: nothing is logged by a life without trouble, nothing is left of it, and no port is opened.
func TestQuiet(t *testing.T) {
	dir := t.TempDir()
	log, out := captured()
	before := runtime.NumGoroutine()
	for round := range uint64(3) {
		s, err := Open(within(t), Config{Dir: dir, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		fill(t, s, round*20, 20)
		save(t, s, round*20+20, []byte("x"))
		o := openBox(t, s, 0)
		done(t, next(t, o, round+1))
		next(t, o, round+2)
		entries, result, _ := follow(t, s, 0)
		await(t, entries, result, round*20+20)
		if addr := s.server.srv.Addr(); addr != nil {
			t.Errorf("it listens on %v", addr)
		}
		if _, err := net.DialTimeout("tcp", "127.0.0.1:4222", time.Second); err == nil {
			t.Log("something listens on NATS's port; it should not be this process")
		}
		closeStore(t, s)
		receive(t, result, "Follow's end")
	}
	eventually(t, "the end of goroutines", func() bool { return runtime.NumGoroutine() <= before })
	if text := out(); text != "" {
		t.Errorf("it logged:\n%s", text)
	}
}

// TestStart: a small log is open quickly.
func TestStart(t *testing.T) {
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir, Sync: time.Minute})
	fill(t, s, 0, 5000)
	closeStore(t, s)
	begin := time.Now()
	s = mustOpen(t, Config{Dir: dir})
	opened := time.Since(begin)
	x := expect{t, 1}
	if err := s.Read(within(t), 1, 5000, x.take); err != nil {
		t.Fatal(err)
	}
	t.Logf("open %v, with 5000 entries read %v", opened, time.Since(begin))
	if opened > 2*time.Second { // 300 ms are aimed at; machines that test are busy
		t.Errorf("it took %v", opened)
	}
}
