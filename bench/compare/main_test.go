package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// Over perfect links of no length every peer delivers every frame, and none damaged.
func TestPeersCarry(t *testing.T) {
	for _, p := range peers() {
		t.Run(p.name(), func(t *testing.T) {
			t.Parallel()
			o, err := parse(nil, &bytes.Buffer{})
			if err != nil {
				t.Fatal(err)
			}
			cfg := o.config
			cfg.rtt, cfg.warmup, cfg.duration, cfg.deadline = 0, 300*time.Millisecond, 700*time.Millisecond, time.Second
			r := run(t.Context(), p, &cfg)
			if r.Error != "" {
				t.Fatal(r.Error)
			}
			if r.Frames != 21 || r.OnTime != 1 || r.Audio != 1 || r.Damaged+r.Twice+r.SendErrors != 0 {
				t.Errorf("%+v", r)
			}
			if min(r.HopBytes[0], r.HopBytes[1]) < 1 {
				t.Errorf("fewer bytes on the wire than there were: %v", r.HopBytes)
			}
		})
	}
}

func TestMisuse(t *testing.T) {
	for _, c := range []struct{ args, told string }{
		{"--loss 91", "0 to 90"},
		{"--loss x", "0 to 90"},
		{"--peers duet,smoke", `"smoke"`},
		{"--peers rtmp", "README.md"},
		{"--require first", "duet-first"},
		{"--duration -1s", "positive"},
		{"--srt-latency 50ms", "invalid duration"},
		{"more", "no arguments"},
	} {
		var out, told bytes.Buffer
		if code := command(t.Context(), strings.Fields(c.args), &out, &told); code != 2 || !strings.Contains(told.String(), c.told) || out.Len() > 0 {
			t.Errorf("%s: exit %d, %q, stdout %q", c.args, code, told.String(), out.String())
		}
	}
}

func TestDuetFirst(t *testing.T) {
	cell := func(name string, onTime float64, frames int) result {
		return result{Peer: name, OnTime: onTime, Frames: frames}
	}
	for _, c := range []struct {
		name  string
		list  []result
		ahead int
	}{
		{"first", []result{cell("duet", .99, 1800), cell("srt", .8, 1800)}, 0},
		{"within a tenth of a point of many frames", []result{cell("duet", .9990, 1e6), cell("webrtc", .9999, 1e6)}, 0},
		{"behind by two tenths of many frames", []result{cell("duet", .997, 1e6), cell("webrtc", .999, 1e6)}, 1},
		{"behind by two tenths of few frames, which says nothing", []result{cell("duet", .997, 300), cell("webrtc", 1, 300)}, 0},
		{"far behind two, with few frames", []result{cell("duet", .8, 300), cell("webrtc", .9, 300), cell("srt", .9, 300)}, 2},
		{"another could not be set up", []result{cell("duet", .8, 300), {Peer: "srt", OnTime: 1, Error: "no"}}, 0},
		{"duet could not be set up", []result{{Peer: "duet", Error: "no"}, cell("srt", .9, 300)}, 1},
		{"no duet at all", []result{cell("srt", .9, 300)}, 1},
	} {
		if ahead := duetFirst(c.list); len(ahead) != c.ahead {
			t.Errorf("%s: %q", c.name, ahead)
		}
	}
}

func TestReport(t *testing.T) {
	o, err := parse([]string{"--duration", "30s", "--loss", "0,2.5"}, &bytes.Buffer{})
	if err != nil {
		t.Fatal(err)
	}
	if len(o.losses) != 2 || o.losses[1] != 0.025 {
		t.Errorf("losses %v", o.losses)
	}
	b, err := json.Marshal(o.report([]result{{Peer: "duet"}}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"limits_ms":[100,150,200,300,400],"deadline_ms":200,"rtt_ms":50,"seconds":30,"cells":[{"peer":"duet",`
	if !strings.HasPrefix(string(b), want) {
		t.Errorf("%s", b)
	}
}

func TestTable(t *testing.T) {
	var b bytes.Buffer
	cfg := &config{loss: .05, rtt: 50 * ms, deadline: 200 * ms, duration: time.Minute}
	err := printTable(&b, cfg, []result{
		{Peer: "duet", Frames: 1800, Within: [5]float64{.5, .9, .999, 1, 1}, Delay: quantilesOf([]time.Duration{50 * ms, never}), Damaged: 1},
		{Peer: "srt", Error: "no answer"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"loss 5 %", "99.90", "–", "not set up: no answer", "1 frames damaged"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q is missing in\n%s", want, b.String())
		}
	}
}
