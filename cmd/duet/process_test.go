//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// asProgram in the environment makes the test's binary the program itself, for what only a process of its own shows: signals and
// closed pipes.
const (
	asProgram = "DUET_TEST_AS_PROGRAM"
	asCrowd   = "DUET_TEST_CROWD" // likewise for clients of TestCrowd: what they do, as JSON
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	if text := os.Getenv(asCrowd); text != "" {
		var j crowd
		if err := json.Unmarshal([]byte(text), &j); err != nil {
			panic(err)
		}
		fmt.Println("failed:", j.run())
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// program is `duet` with arguments, as a process. It ends with the test.
func program(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// A reader of standard output that goes away is told as 3005; it does not kill the player without a word.
func TestClosedPipe(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	var errOut bytes.Buffer
	play := program(t, "play", h.url("play", "live/a"), "--output", "-")
	play.Stdout, play.Stderr = w, &errOut
	if err := play.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	go duet(t.Context(), nil, "push", h.url("push", "live/a"), "--input", clipFile(t))
	if _, err := io.CopyN(io.Discard, r, 5000); err != nil {
		t.Errorf("the player wrote nothing: %v", err)
	}
	_ = r.Close()
	_ = play.Wait()
	if code := play.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(errOut.String(), "duet: error: 3005") || !strings.Contains(errOut.String(), "broken pipe") {
		t.Errorf("exit %d: %s", code, &errOut)
	}
}

// SIGINT and SIGTERM end every command cleanly, and a player's file is whole.
func TestSignals(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var served, said [3]output
	serve := program(t, "serve", "--data", dir, "--udp", "127.0.0.1:0", "--rtmp", "", "--http", "127.0.0.1:0", "--webtransport", "")
	serve.Stdout, serve.Stderr = &served[0], &said[0]
	if err := serve.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the server", func() bool { return strings.Contains(served[0].String(), "data ") })
	url := func(action string) string {
		return strings.TrimSpace(duet(context.Background(), nil, "url", action, "live/a", "--data", dir).out.String())
	}
	out := filepath.Join(dir, "out.flv")
	push := program(t, "push", "--input", clipFile(t), "--loop")
	play := program(t, "play", "--output", out)
	push.Env, play.Env = append(push.Env, envURL+"="+url("push")), append(play.Env, envURL+"="+url("play"))
	push.Stderr, play.Stderr = &said[1], &said[2]
	for _, c := range []*exec.Cmd{push, play} {
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "media", func() bool {
		info, err := os.Stat(out)
		return err == nil && info.Size() > 20_000
	})
	for i, c := range []*exec.Cmd{play, push, serve} {
		if err := c.Process.Signal([]os.Signal{os.Interrupt, syscall.SIGTERM, os.Interrupt}[i]); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("duet %s: %v: %s", c.Args[1], err, c.Stderr)
		}
	}
	if n := len(readFLV(t, out)); n < 10 {
		t.Errorf("the output has %d messages", n)
	}
}
