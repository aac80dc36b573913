//go:build linux

package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
)

// outputOf runs `duet` with arguments as a process, which may start another.
func outputOf(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := program(t, args...)
	out, err := cmd.Output()
	if err != nil {
		text := []byte(nil)
		if e, ok := err.(*exec.ExitError); ok {
			text = e.Stderr
		}
		t.Fatalf("%v: %v: %s", args, err, text)
	}
	return out
}

// The load comes with the server's own figures and the floor's from the same run.
func TestBenchLoad(t *testing.T) {
	t.Parallel()
	var r map[string]any
	if err := json.Unmarshal(outputOf(t, "bench", "load", "--calls", "1", "--bitrate", "300000", "--duration", "1s", "--floor", "--json"), &r); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"out_packets_per_s", "out_mbit_per_s", "cpu_ms_per_stream_s", "cpu_ns_per_packet", "floor_ratio", "rss_mib"} {
		if v, ok := r[name].(float64); !ok || v <= 0 {
			t.Errorf("%s: %v", name, r[name])
		}
	}
	for _, name := range []string{"frames_lost", "frames_late", "kernel_drops", "fanout"} {
		if _, ok := r[name].(float64); !ok {
			t.Errorf("no %s", name)
		}
	}
	delay, ok := r["delay_ms"].(map[string]any)
	if !ok || delay["p50"] == nil || delay["p99"] == nil || delay["max"] == nil || r["calls"] != 1.0 {
		t.Errorf("%v", r)
	}
}

// With --record the second figure is of a server that really records.
func TestBenchLoadRecorded(t *testing.T) {
	t.Parallel()
	var r loadReport
	if err := json.Unmarshal(outputOf(t, "bench", "load", "--calls", "2", "--bitrate", "300000", "--duration", "2s", "--record", "--json"), &r); err != nil {
		t.Fatal(err)
	}
	if r.Recorded < 0.1 || r.Frames == 0 || r.Delay.P99 == 0 {
		t.Errorf("%+v", r)
	}
}

func TestBenchFloor(t *testing.T) {
	t.Parallel()
	out := outputOf(t, "bench", "floor", "--fanout", "1,3", "--duration", "500ms")
	if lines := bytes.Split(bytes.TrimSpace(out), []byte("\n")); len(lines) != 3 {
		t.Errorf("%s", out)
	}
}

// What does not go together is said before a server is started.
func TestBenchLoadRefuses(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--calls 2 --fanout 3":     "two kinds of load",
		"--find-max --fanout 3":    "--find-max",
		"--calls 1 --bitrate 3":    "8 kbit/s",
		"--data /nowhere --json":   "nowhere",
		"--fanout 30000 --fps 1":   "at most",
		"--calls 1 --workers nine": "nine",
	} {
		r := duet(t.Context(), nil, append([]string{"bench", "load"}, strings.Fields(args)...)...)
		if r.code == 0 || !strings.Contains(r.err.String(), want) {
			t.Errorf("%s: %d %s", args, r.code, r.err)
		}
	}
}
