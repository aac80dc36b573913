package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A call over bad links in virtual time is told as a table or as JSON.
func TestBenchLink(t *testing.T) {
	t.Parallel()
	args := []string{"bench", "link", "--loss", "5%", "--duration", "10s", "--seed", "3", "--rate", "4M"}
	r := duet(t.Context(), nil, args...)
	for _, want := range []string{"video on time", "hop 2", "bitrate", "bottleneck", "seed 3"} {
		if r.code != exitDone || !strings.Contains(r.out.String(), want) || r.err.String() != "" {
			t.Errorf("exit %d, no %q: %s%s", r.code, want, r.out, r.err)
		}
	}
	r = duet(t.Context(), nil, append(args, "--json")...)
	lines := jsonLines(t, r.out.String())
	if len(lines) != 1 || lines[0]["frames"] != 300.0 || lines[0]["seed"] != 3.0 || lines[0]["on_time_ratio"].(float64) < 0.95 {
		t.Errorf("exit %d: %s", r.code, r.out)
	}
	for _, field := range []string{
		"audio_on_time_ratio", "delay_ms", "release_ms", "hop_bytes_ratio", "feedback_ratio", "redundancy", "utilisation", "goodput", "queue_ms", "bitrate", "loss_ratio",
	} {
		if _, ok := lines[0][field]; !ok {
			t.Errorf("the report has no %s", field)
		}
	}
}

// A sweep is a line for each cell, or a table; several seeds without a grid are one report.
func TestBenchLinkSweep(t *testing.T) {
	t.Parallel()
	page := filepath.Join(t.TempDir(), "page.html")
	args := []string{"bench", "link", "--duration", "3s", "--sweep", "loss=0,10% burst=1,3", "--seeds", "2", "--html", page}
	r := duet(t.Context(), nil, args...)
	if r.code != exitDone || !strings.Contains(r.out.String(), "burst") || strings.Count(r.out.String(), "10%") != 2 || !strings.Contains(r.err.String(), "wrote ") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
	if b, err := os.ReadFile(page); err != nil || !bytes.Contains(b, []byte("<td>10%</td>")) || !bytes.HasSuffix(bytes.TrimSpace(b), []byte("</html>")) {
		t.Errorf("the page has %d bytes, %v", len(b), err)
	}
	lines := jsonLines(t, duet(t.Context(), nil, append(args, "--json")...).out.String())
	if len(lines) != 4 || lines[3]["calls"] != 2.0 || lines[3]["cell"].(map[string]any)["burst"] != "3" {
		t.Errorf("%v", lines)
	}
	lines = jsonLines(t, duet(t.Context(), nil, "bench", "link", "--duration", "2s", "--seeds", "3", "--json").out.String())
	if len(lines) != 1 || lines[0]["calls"] != 3.0 || lines[0]["frames"] != 180.0 {
		t.Errorf("%v", lines)
	}
}

// What is given by name has the last word over a preset.
func TestBenchLinkPreset(t *testing.T) {
	t.Parallel()
	r := duet(t.Context(), nil, "bench", "link", "--deadline", "450ms", "--preset", "wifi", "--duration", "2s")
	if r.code != exitDone || !strings.Contains(r.out.String(), "loss 2.0 %, round trip 30ms, deadline 450ms") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
}

// Nonsense is refused with what would be right.
func TestBenchLinkMisuse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, test := range []struct {
		args string
		text string
		code int
	}{
		{"--loss 7", "0.05 or 5%", exitMisuse},
		{"--rtt 20", "50ms", exitMisuse},
		{"--rtt twenty", "50ms", exitMisuse},
		{"--policy best", "planner or adaptive", exitMisuse},
		{"--preset moon", "one of good", exitMisuse},
		{"--bitrate 50k --min-bitrate 60k", "min-bitrate", exitMisuse},
		{"--burst 2 --loss 0.9", "runs", exitMisuse},
		{"--sweep loss:0,1", "NAME=VALUE", exitMisuse},
		{"--sweep weather=good", "one of loss", exitMisuse},
		{"--seeds 0", "at least 1", exitMisuse},
		{"--real --seeds 2", "one call", exitMisuse},
		{"--real --policy adaptive", "virtual time", exitMisuse},
		{"--hops 3", "1 or 2", exitMisuse},
		{"extra", "no arguments", exitMisuse},
		{"--duration 1s --html " + filepath.Join(dir, "none", "x.html"), "no such file", exitFailed},
	} {
		r := duet(t.Context(), nil, append([]string{"bench", "link"}, strings.Fields(test.args)...)...)
		if r.code != test.code || !strings.Contains(r.err.String(), test.text) || r.out.String() != "" {
			t.Errorf("%s: exit %d: %s%s", test.args, r.code, r.out, r.err)
		}
	}
}

// A call that fails leaves a page that was there as it was, and none where there was none.
func TestBenchLinkKeepsPage(t *testing.T) {
	t.Parallel()
	old, fresh := filepath.Join(t.TempDir(), "old.html"), filepath.Join(t.TempDir(), "new.html")
	if err := os.WriteFile(old, []byte("an earlier page"), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, page := range []string{old, fresh} {
		if r := duet(ctx, nil, "bench", "link", "--html", page); r.code != exitFailed {
			t.Errorf("exit %d: %s", r.code, r.err)
		}
	}
	if b, err := os.ReadFile(old); err != nil || string(b) != "an earlier page" {
		t.Errorf("the earlier page is %q, %v", b, err)
	}
	if _, err := os.Stat(fresh); !os.IsNotExist(err) {
		t.Errorf("a page without a call: %v", err)
	}
	if r := duet(t.Context(), nil, "bench", "link", "--duration", "1s", "--html", old); r.code != exitDone {
		t.Errorf("exit %d: %s", r.code, r.err)
	}
	if b, err := os.ReadFile(old); err != nil || bytes.Contains(b, []byte("an earlier page")) || !bytes.HasPrefix(b, []byte("<!DOCTYPE html>")) {
		t.Errorf("the new page has %d bytes, %v", len(b), err)
	}
}

func TestProgressLine(t *testing.T) {
	if got := progressLine(0.5, 10*time.Second, "3 of 6 calls"); got != "[###############...............]  50 %  3 of 6 calls, 10s left" {
		t.Error(got)
	}
	if got := progressLine(2, time.Second, "x"); got != "[##############################] 100 %  x" {
		t.Error(got)
	}
	var b bytes.Buffer
	p := newProgress(&b)
	p.show(0.5, "x")
	p.clear()
	if b.Len() > 0 {
		t.Errorf("what is no terminal is told %q", b.String())
	}
}
