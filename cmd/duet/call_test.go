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
	for _, want := range []string{"1002  push begins", "2003  first key frame", "step 1: push URL", "step 4: play URL of carl", "step 5: push URL", "step 7: play URL of anna", "place 1 of 1, about", "ended: hangup by carl", "room anna is CLOSE", "byte for byte", "101 video, 173 audio", "p99"} {
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
			if n := strings.Count(strings.Split(text, "duet: hint: ")[0], "\n"); n != 1 {
				t.Errorf("%d lines, want one: %s", n, text)
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
	r := duet(t.Context(), nil, "push", push, "--input", text, "--json")
	if lines := jsonLines(t, r.out.String()); r.code != 1 || len(lines) != 1 || lines[0]["event"] != "report" || lines[0]["ok"] != false {
		t.Errorf("not an FLV, in JSON: exit %d: %s", r.code, r.out)
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
