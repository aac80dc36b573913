//go:build ffmpeg

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// These tests compare with ffmpeg as the judge. DUET_LONG=1 makes the clips a minute long.

func seconds() int {
	if os.Getenv("DUET_LONG") != "" {
		return 60
	}
	return 8
}

// ffmpeg runs ffmpeg and returns what it prints.
func ffmpeg(t *testing.T, args ...string) string {
	t.Helper()
	out, err := ffmpegContext(t.Context(), args...)
	if err != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

func ffmpegContext(ctx context.Context, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds()+60)*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ffmpeg", append([]string{"-nostdin", "-y", "-v", "error"}, args...)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// makeClip makes an FLV with H.264 (B-frames too) and AAC.
func makeClip(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "in.flv")
	ffmpeg(t, "-f", "lavfi", "-i", fmt.Sprintf("testsrc2=s=640x360:r=30:d=%d", seconds()), "-f", "lavfi", "-i", fmt.Sprintf("sine=r=44100:d=%d", seconds()),
		"-c:v", "libx264", "-preset", "veryfast", "-b:v", "1500k", "-g", "60", "-bf", "2", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "96k", "-f", "flv", path)
	return path
}

// packets lists stream, timestamps and hash of every packet in a file.
func packets(t *testing.T, path string) string {
	t.Helper()
	return ffmpeg(t, "-i", path, "-c", "copy", "-f", "framemd5", "-")
}

// identical fails the test unless two files hold the same packets with the same timestamps, and the second decodes without a word.
func identical(t *testing.T, want, got string) {
	t.Helper()
	a, b := packets(t, want), packets(t, got)
	if a != b {
		t.Errorf("the packets differ: %d lines and %d lines", strings.Count(a, "\n"), strings.Count(b, "\n"))
		la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
		for i := range min(len(la), len(lb)) {
			if la[i] != lb[i] {
				t.Fatalf("line %d: %s\nand     %s", i, la[i], lb[i])
			}
		}
	}
	if n := strings.Count(a, "\n"); n < 30*seconds() {
		t.Errorf("only %d packets were compared", n)
	}
	if out := ffmpeg(t, "-i", got, "-f", "null", "-"); out != "" {
		t.Errorf("ffmpeg says of the output: %s", out)
	}
}

// playing starts `duet play` into a file and waits until it is there.
func playing(t *testing.T, h *host, stream string) (string, chan result) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.flv")
	done := make(chan result, 1)
	url, before := h.url("play", stream), players(h)
	go func() { done <- duet(context.Background(), nil, "play", url, "--output", out) }()
	waitFor(t, "the player", func() bool { return players(h) == before+1 })
	return out, done
}

func TestFFmpegPushPlay(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	in := makeClip(t)
	out, played := playing(t, h, "live/a")
	if r := duet(t.Context(), nil, "push", h.url("push", "live/a"), "--input", in); r.code != 0 {
		t.Fatal(r.err)
	}
	if r := <-played; r.code != 0 {
		t.Fatal(r.err)
	}
	identical(t, in, out)
	same(t, readFLV(t, out), readFLV(t, in)) // every tag, not only what ffmpeg looks at
}

func TestFFmpegPublishes(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	in := makeClip(t)
	out, played := playing(t, h, "live/a")
	ffmpeg(t, "-re", "-i", in, "-c", "copy", "-f", "flv", h.url("rtmp-push", "live/a"))
	if r := <-played; r.code != 0 {
		t.Fatal(r.err)
	}
	identical(t, in, out)
}

func TestFFmpegPlays(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	in := makeClip(t)
	outs := map[string]string{}
	type reader struct{ out, printed string }
	done := make(chan reader)
	for _, action := range []string{"rtmp-play", "flv"} {
		out := filepath.Join(t.TempDir(), action+".flv")
		outs[action] = out
		url := h.url(action, "live/a")
		go func() {
			printed, err := ffmpegContext(context.Background(), "-i", url, "-c", "copy", "-flvflags", "no_duration_filesize", "-f", "flv", out)
			if err != nil {
				printed += err.Error()
			}
			done <- reader{out, printed}
		}()
	}
	waitFor(t, "ffmpeg", func() bool { return players(h) == 2 })
	if r := duet(t.Context(), nil, "push", h.url("push", "live/a"), "--input", in); r.code != 0 {
		t.Fatal(r.err)
	}
	for range outs {
		if r := <-done; r.printed != "" {
			t.Errorf("ffmpeg into %s says: %s", filepath.Base(r.out), r.printed)
		}
	}
	for _, out := range outs {
		identical(t, in, out)
	}
}

// A URL without the right is refused in a way that ffmpeg tells its user.
func TestFFmpegRefused(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	in := clipFile(t)
	for _, url := range []string{
		h.url("rtmp-play", "live/a"),                                   // plays only
		strings.Split(h.url("rtmp-push", "live/a"), "?")[0],            // no token
		strings.Replace(h.url("rtmp-push", "live/a"), "/a?", "/b?", 1), // another stream
	} {
		if out, err := ffmpegContext(t.Context(), "-i", in, "-c", "copy", "-f", "flv", url); err == nil {
			t.Errorf("ffmpeg could publish to %s: %s", strings.Split(url, "?")[0], out)
		}
	}
	if out, err := ffmpegContext(t.Context(), "-i", h.url("flv", "live/a")+"x", "-f", "null", "-"); err == nil || !strings.Contains(out, "403") {
		t.Errorf("a spoiled HTTP-FLV URL: %v: %s", err, out)
	}
}
