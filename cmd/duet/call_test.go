package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"duet/crypto"
)

func TestDemo(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	r := duet(t.Context(), nil, "demo", "--data", data)
	if r.code != 0 {
		t.Fatalf("exit %d: %s%s", r.code, r.out, r.err)
	}
	for _, want := range []string{"1002  push begins", "2003  first key frame", "every message arrived", "101 video, 174 audio", "p99"} {
		if !strings.Contains(r.out.String(), want) {
			t.Errorf("the demo does not print %q:\n%s", want, r.out)
		}
	}
	if _, err := os.Stat(filepath.Join(data, keyFile)); err != nil {
		t.Errorf("--data keeps nothing: %v", err)
	}
}

// A file that is pushed comes out of a player as it was, and both report what they did as JSON.
func TestPushPlay(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	out := filepath.Join(t.TempDir(), "out.flv")
	played := make(chan result, 1)
	playURL := h.url("play", "live/a")
	go func() {
		played <- duet(context.Background(), nil, "play", playURL, "--output", out, "--json")
	}()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	file := filepath.Join(t.TempDir(), "push.url")
	if err := os.WriteFile(file, []byte(h.url("push", "live/a", "--party", "alice")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	push := duet(t.Context(), nil, "push", "--url-file", file, "--input", clipFile(t), "--json")
	play := <-played
	if push.code != 0 || play.code != 0 {
		t.Fatalf("push exits with %d, play with %d: %s %s", push.code, play.code, push.err, play.err)
	}
	same(t, readFLV(t, out), parseFLV(t, clip))
	for name, r := range map[string]result{"push": push, "play": play} {
		lines := jsonLines(t, r.out.String())
		last := lines[len(lines)-1]
		if last["event"] != "report" || last["ok"] != true || last["videoFrames"] != 101.0 || last["audioFrames"] != 174.0 {
			t.Errorf("%s's last line is %v", name, last)
		}
		codes := ""
		status := 0
		for _, l := range lines {
			switch l["event"] {
			case "state":
				codes += fmt.Sprintf(" %v", l["code"])
			case "netstatus":
				status++
			}
		}
		want := map[string]string{"push": " 1001 1002", "play": " 2001 2007 2002"}[name]
		if !strings.HasPrefix(codes, want) || status < 3 {
			t.Errorf("%s reports the codes%s and netstatus %d times", name, codes, status)
		}
		if r.err.String() != "" {
			t.Errorf("%s prints to standard error: %s", name, r.err)
		}
	}
	h.stop()
	noSecrets(t, h)
}

// noSecrets fails the test if a server's log holds a token, a key or an address.
func noSecrets(t *testing.T, h *host) {
	t.Helper()
	log := h.log.String()
	if !strings.Contains(log, "push begins") {
		t.Errorf("the log does not tell that a push began:\n%s", log)
	}
	for _, secret := range []string{h.srv.secrets.key.Public().Text(), "127.0.0.1", "#k=", "?t=", "&t="} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q:\n%s", secret, log)
		}
	}
}

// players is how many play on a server.
func players(h *host) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	s, err := h.srv.relay.Stats(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	return s.Players
}

// A pipe is sent as it is read and written as it is released.
func TestPipes(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	played := make(chan result, 1)
	playURL := h.url("play", "live/a")
	go func() {
		played <- duet(context.Background(), nil, "play", playURL, "--output", "-", "--json", "--max-delay", "5s")
	}()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	began := time.Now()
	push := duet(t.Context(), strings.NewReader(string(clip)), "push", h.url("push", "live/a"), "--input", "-")
	if push.code != 0 {
		t.Fatal(push.err)
	}
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("a pipe with 4 s of media took %v: it was paced", took)
	}
	play := <-played
	same(t, parseFLV(t, []byte(play.out.String())), parseFLV(t, clip))
	if lines := jsonLines(t, play.err.String()); len(lines) == 0 || lines[len(lines)-1]["event"] != "report" {
		t.Errorf("with --output - the JSON lines do not go to standard error: %s", play.err)
	}
}

// Interrupting either side is a clean end.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	ctx, cancel := context.WithCancel(context.Background())
	out := filepath.Join(t.TempDir(), "out.flv")
	pushed, played := make(chan result, 1), make(chan result, 1)
	pushURL, playURL, file := h.url("push", "live/a"), h.url("play", "live/a"), clipFile(t)
	go func() { pushed <- duet(ctx, nil, "push", pushURL, "--input", file, "--loop") }()
	go func() { played <- duet(ctx, nil, "play", playURL, "--output", out) }()
	waitFor(t, "media", func() bool {
		info, err := os.Stat(out)
		return err == nil && info.Size() > 20_000
	})
	cancel()
	for name, c := range map[string]chan result{"push": pushed, "play": played} {
		if r := <-c; r.code != 0 || !strings.Contains(r.err.String(), "video and") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
	if n := len(readFLV(t, out)); n < 10 {
		t.Errorf("the output has %d messages", n)
	}
}

// What a URL does not allow is refused, with the code and a sentence.
func TestRefusals(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	other, err := crypto.NewStaticKey([32]byte{5})
	if err != nil {
		t.Fatal(err)
	}
	good := h.url("play", "live/a")
	u, err := crypto.ParseURL(good)
	if err != nil {
		t.Fatal(err)
	}
	wrongKey, wrongStream, nobody, forged := u, u, u, u
	wrongKey.Key = other.Public()
	wrongStream.Stream = "live/b"
	nobody.Host = "127.0.0.1:9"
	last := "A"
	if strings.HasSuffix(u.Token[:20], "A") {
		last = "B"
	}
	forged.Token = u.Token[:19] + last + u.Token[20:]
	for name, test := range map[string]struct {
		url  string
		code string
		text string
	}{
		"expired":      {h.token(func(k *crypto.Token) { k.Expiry = time.Now().Add(-time.Minute) }), "3004", "expired"},
		"forged":       {forged.String(), "3004", "duet: hint: "},
		"wrong action": {h.url("push", "live/a"), "3004", "duet url play"},
		"wrong stream": {wrongStream.String(), "3004", "stream"},
		"wrong key":    {wrongKey.String(), "3003", "server key"},
		"nobody there": {nobody.String(), "3003", "firewall"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			out := filepath.Join(t.TempDir(), "out.flv")
			began := time.Now()
			r := duet(t.Context(), nil, "play", test.url, "--output", out)
			text := r.err.String()
			if r.code != 1 || !strings.Contains(text, "duet: error: "+test.code) || !strings.Contains(text, test.text) {
				t.Errorf("exit %d: %s", r.code, text)
			}
			if strings.Contains(text, u.Token[:30]) {
				t.Error("the token is printed")
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %v", took)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("an output file was made")
			}
		})
	}
}

// Files that are not what they should be.
func TestBadFiles(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	push := h.url("push", "live/a")
	text := write("text.flv", []byte("this is not an FLV file, not at all"))
	if r := duet(t.Context(), nil, "push", push, "--input", text); r.code != 1 || !strings.Contains(r.err.String(), "not an FLV") || strings.Contains(r.err.String(), "1001") {
		t.Errorf("not an FLV: exit %d: %s", r.code, r.err)
	}
	if r := duet(t.Context(), nil, "push", push, "--input", filepath.Join(dir, "none.flv")); r.code != 1 || !strings.Contains(r.err.String(), "no such file") {
		t.Errorf("no file: exit %d: %s", r.code, r.err)
	}

	cut := write("cut.flv", clip[:len(clip)/4])
	out := filepath.Join(dir, "out.flv")
	played := make(chan result, 1)
	playURL := h.url("play", "live/a")
	go func() { played <- duet(context.Background(), nil, "play", playURL, "--output", out) }()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	if r := duet(t.Context(), nil, "push", push, "--input", cut); r.code != 1 || !strings.Contains(r.err.String(), "3005") || !strings.Contains(r.err.String(), "cut off") {
		t.Errorf("a truncated FLV: exit %d: %s", r.code, r.err)
	}
	if r := <-played; r.code != 0 {
		t.Errorf("the player of a truncated FLV: exit %d: %s", r.code, r.err)
	}
	got, want := readFLV(t, out), parseFLV(t, clip)
	if len(got) < 20 {
		t.Fatalf("only %d messages of the truncated FLV arrived", len(got))
	}
	same(t, got, want[:len(got)])
}

// A disk that is full ends the player with 3005 and one line.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	h := startServer(t, nil)
	played := make(chan result, 1)
	playURL := h.url("play", "live/a")
	go func() { played <- duet(context.Background(), nil, "play", playURL, "--output", "/dev/full") }()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	go duet(t.Context(), nil, "push", h.url("push", "live/a"), "--input", clipFile(t))
	if r := <-played; r.code != 1 || !strings.Contains(r.err.String(), "duet: error: 3005") || !strings.Contains(r.err.String(), "no space left") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}

// A second run of the pusher goes into the same file, with timestamps that go on.
func TestSecondRun(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	out := filepath.Join(t.TempDir(), "out.flv")
	ctx, cancel := context.WithCancel(context.Background())
	played, pushed := make(chan result, 1), make(chan result, 1)
	pushURL, playURL, file := h.url("push", "live/a", "--party", "alice"), h.url("play", "live/a"), clipFile(t)
	go func() { played <- duet(ctx, nil, "play", playURL, "--output", out) }()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	go func() { pushed <- duet(ctx, nil, "push", pushURL, "--input", file, "--loop") }()
	waitFor(t, "media", func() bool {
		info, err := os.Stat(out)
		return err == nil && info.Size() > 20_000
	})
	second := duet(t.Context(), nil, "push", pushURL, "--input", file) // takes over
	if r := <-pushed; r.code != 1 || !strings.Contains(r.err.String(), "duet: error: 3004") || !strings.Contains(r.err.String(), "newer session") {
		t.Errorf("the older pusher: exit %d: %s", r.code, r.err)
	}
	if r := <-played; second.code != 0 || r.code != 0 {
		t.Errorf("the newer pusher: exit %d: %s; the player: exit %d: %s", second.code, second.err, r.code, r.err)
	}
	cancel()
	list := readFLV(t, out)
	for i := 1; i < len(list); i++ {
		if d := int32(list[i].Timestamp - list[i-1].Timestamp); d < -100 || d > 2000 {
			t.Fatalf("timestamps go from %d to %d ms at message %d", list[i-1].Timestamp, list[i].Timestamp, i)
		}
	}
	if n := len(parseFLV(t, clip)); len(list) < n+20 {
		t.Errorf("%d messages in all, want more than the %d of one run", len(list), n)
	}
}

// A server that can't listen says so, with what to do; so does one that would be open to the world, or has no use for an option.
func TestServeRefuses(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	other := t.TempDir()
	free := []string{"--udp", "127.0.0.1:0", "--rtmp", "127.0.0.1:0", "--http", "127.0.0.1:0"}
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
		"no udp":            {[]string{"--udp", ""}, exitMisuse, "--udp"},
		"rtmps without key": {[]string{"--rtmps", "127.0.0.1:0"}, exitMisuse, "--tls-cert"},
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
		done <- run(ctx, []string{"serve", "--data", data, "--udp", "127.0.0.1:0", "--rtmp", "", "--http", "127.0.0.1:0", "--advertise", "calls.example:7777"},
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
	if r := duet(t.Context(), nil, "url", "rtmp-push", "live/a", "--data", data); r.code != exitFailed || !strings.Contains(r.err.String(), "--rtmp") {
		t.Errorf("a URL for a listener that is off: exit %d: %s", r.code, r.err)
	}
	cancel()
	if code := <-done; code != exitDone {
		t.Errorf("exit %d after an interruption: %s", code, errOut)
	}
}

// Wrong use ends with 2 and says how it is meant.
func TestMisuse(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		args []string
		text string
	}{
		"no such command":  {[]string{"frobnicate"}, "unknown command"},
		"push what":        {[]string{"push", "duet://x"}, "--input"},
		"push no URL":      {[]string{"push", "--input", "x"}, "DUET_URL"},
		"push rtmp":        {[]string{"push", "rtmp://127.0.0.1/live/a", "--input", "x"}, "duet url push|play"},
		"push two URLs":    {[]string{"push", "a", "b", "--input", "x"}, "one URL"},
		"play where":       {[]string{"play", "duet://x"}, "--output"},
		"play max-delay":   {[]string{"play", "duet://x", "--output", "y", "--max-delay", "0s"}, "--max-delay"},
		"a bare fragment":  {[]string{"play", "duet://127.0.0.1:7000/live/a", "--output", "y"}, "quotes"},
		"url of nothing":   {[]string{"url", "push"}, "an action and a stream"},
		"url of what":      {[]string{"url", "sing", "live/a"}, "sing"},
		"loop from a pipe": {[]string{"push", "duet://127.0.0.1:7000/live/a#k=" + strings.Repeat("A", 42) + "E&t=x", "--input", "-", "--loop"}, "--loop"},
	} {
		if r := duet(t.Context(), nil, test.args...); r.code != exitMisuse || !strings.Contains(r.err.String(), test.text) || !strings.HasPrefix(r.err.String(), "duet: error: ") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
	if r := duet(t.Context(), nil, "url", "push", "live/a", "--data", t.TempDir()); r.code != exitFailed || !strings.Contains(r.err.String(), "duet serve --data") {
		t.Errorf("url without a server: exit %d: %s", r.code, r.err)
	}
	if r := duet(t.Context(), nil, "version"); r.code != exitDone || !strings.HasPrefix(r.out.String(), "duet ") {
		t.Errorf("version: exit %d: %s", r.code, r.out)
	}
}

// A call over bad links in virtual time is told as a table or as JSON, and nonsense is refused.
func TestBenchLink(t *testing.T) {
	t.Parallel()
	args := []string{"bench", "link", "--loss", "0.05", "--duration", "10s", "--seed", "3"}
	r := duet(t.Context(), nil, args...)
	if r.code != exitDone || !strings.Contains(r.out.String(), "video on time") || !strings.Contains(r.out.String(), "hop 2") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	r = duet(t.Context(), nil, append(args, "--json")...)
	lines := jsonLines(t, r.out.String())
	if len(lines) != 1 || lines[0]["frames"] != 300.0 || lines[0]["seed"] != 3.0 || lines[0]["on_time_ratio"].(float64) < 0.99 {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
	if r := duet(t.Context(), nil, "bench", "link", "--loss", "7"); r.code != exitFailed || !strings.Contains(r.err.String(), "loss must be") {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
}
