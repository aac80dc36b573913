package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// A server that can't listen says so, with what to do; so does one that would be open to the world, or has no use for an option.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	other := t.TempDir()
	free := []string{"--udp", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--webtransport", ""}
	for name, test := range map[string]struct {
		args []string
		code int
		text string
	}{
		"udp port in use":   {[]string{"--udp", h.srv.told.UDP}, exitFailed, "address already in use"},
		"rtmp port in use":  {[]string{"--rtmp", h.srv.told.RTMP}, exitFailed, "--rtmp HOST:PORT"},
		"http port in use":  {[]string{"--http", h.srv.told.HTTP}, exitFailed, "--http HOST:PORT"},
		"rtmp off loopback": {[]string{"--rtmp", "0.0.0.0:0"}, exitMisuse, "--allow-plaintext"},
		"flv off loopback":  {[]string{"--http", ":0"}, exitMisuse, "--allow-plaintext"},
		"https without key": {[]string{"--https", "127.0.0.1:0"}, exitMisuse, "--tls-cert"},
		"no udp":            {[]string{"--udp", ""}, exitMisuse, "--udp"},
		"rtmps without key": {[]string{"--rtmps", "127.0.0.1:0"}, exitMisuse, "--tls-cert"},
		"an odd address":    {[]string{"--udp", "nonsense"}, exitFailed, "127.0.0.1:0"},
		"advertise what":    {[]string{"--advertise", "http://x"}, exitMisuse, "--advertise calls.example.org"},
		"no such option":    {[]string{"--nonsense"}, exitMisuse, "duet serve --help"},
	} {
		r := duet(t.Context(), nil, append(append([]string{"serve", "--data", other}, free...), test.args...)...)
		if r.code != test.code || !strings.Contains(r.err.String(), test.text) || !strings.Contains(r.err.String(), "duet: hint: ") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
	if err := os.WriteFile(filepath.Join(other, secretFile), []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := duet(t.Context(), nil, append([]string{"serve", "--data", other}, free...)...); r.code != exitFailed || !strings.Contains(r.err.String(), secretFile) {
		t.Errorf("a damaged secret: exit %d: %s", r.code, r.err)
	}
}

// `duet serve` tells where it listens and no secret, and ends cleanly when it is interrupted.
func TestServe(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(context.Background())
	data := t.TempDir()
	out, errOut := &output{}, &output{}
	done := make(chan int, 1)
	go func() {
		done <- run(ctx, []string{"serve", "--data", data, "--udp", "127.0.0.1:0", "--rtmp", "", "--http", "127.0.0.1:0", "--webtransport", "127.0.0.1:0", "--advertise", "calls.example:7777"},
			strings.NewReader(""), out, errOut)
	}()
	waitFor(t, "the server's start", func() bool { return strings.Contains(out.String(), "data ") })
	for _, want := range []string{"udp    127.0.0.1:", "clients: calls.example:7777", "http   127.0.0.1:"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not printed:\n%s", want, out)
		}
	}
	if text := out.String() + errOut.String(); strings.Contains(text, "duet://") || strings.Contains(text, "rtmp ") {
		t.Errorf("a URL, or a listener that is off, is printed where no terminal is:\n%s", text)
	}
	r := duet(t.Context(), nil, "url", "push", "live/a", "--data", data)
	if !strings.HasPrefix(r.out.String(), "duet://calls.example:7777/live/a#k=") {
		t.Errorf("duet url prints %s", r.out)
	}
	if r := duet(t.Context(), nil, "url", "flv", "live/a", "--data", data); !strings.HasPrefix(r.out.String(), "http://127.0.0.1:") {
		t.Errorf("HTTP listens on loopback, and duet url prints %s", r.out)
	}
	if r := duet(t.Context(), nil, "url", "push", "live/a", "--data", data, "--host", "2001:db8::1"); !strings.HasPrefix(r.out.String(), "duet://[2001:db8::1]:7777/live/a#k=") {
		t.Errorf("duet url --host prints %s", r.out)
	}
	if r := duet(t.Context(), nil, "url", "rtmp-push", "live/a", "--data", data); r.code != exitFailed || !strings.Contains(r.err.String(), "--rtmp") {
		t.Errorf("a URL for a listener that is off: exit %d: %s", r.code, r.err)
	}
	cancel()
	if code := <-done; code != exitDone {
		t.Errorf("exit %d after an interruption: %s", code, errOut)
	}
}

// Where clients reach a server, as people write it.
func TestSplitAddress(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"calls.example.org":      "calls.example.org|",
		"calls.example.org:7000": "calls.example.org|7000",
		"203.0.113.7":            "203.0.113.7|",
		"203.0.113.7:1":          "203.0.113.7|1",
		"2001:db8::1":            "2001:db8::1|",
		"[2001:db8::1]":          "2001:db8::1|",
		"[2001:DB8:0::1]:65535":  "2001:db8::1|65535",
	} {
		host, port, err := splitAddress(text)
		if got := host + "|" + port; err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":7000", "a b", "a:b:c", "x:", "x:0", "x:65536", "x:-1", "[::1", "0.0.0.0", "[::]:7000", "fe80::1%eth0", "http://x", "-x", "x/y"} {
		if host, port, err := splitAddress(text); err == nil {
			t.Errorf("%q is taken as %q, %q", text, host, port)
		}
	}
}

// Servers that start at once in a new data directory have the same secrets, and leave nothing else there.
func TestFirstStarts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "new", "data")
	var wg sync.WaitGroup
	keys := make([]string, 8)
	for i := range keys {
		wg.Go(func() {
			s, err := openSecrets(dir, true)
			if err != nil {
				t.Error(err)
				return
			}
			keys[i] = s.key.Public().Text() + string(s.secret[:])
		})
	}
	wg.Wait()
	for _, k := range keys {
		if k != keys[0] {
			t.Fatal("two servers of one data directory have different secrets")
		}
	}
	list, err := os.ReadDir(dir)
	if err != nil || len(list) != 3 {
		t.Errorf("the directory holds %v, %v", list, err)
	}
	for _, e := range list {
		if info, err := e.Info(); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s can be read by others: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}
