package client

import (
	"strings"
	"testing"
	"time"
)

// 1006 tells of an encoder that is asked for clearly more or less, not more often than every two seconds, and in the end of the last target.
func TestBitrateAdapted(t *testing.T) {
	now := time.Unix(1000, 0)
	var told []Event
	var asked []int64
	p := &Pusher{cfg: PusherConfig{StartBitrate: 1_000_000, OnBitrate: func(bps int64) { asked = append(asked, bps) }}}
	p.adapt.told = startBitrate(&p.cfg)
	p.link.cfg.onEvent = func(e Event) { told = append(told, e) }
	for _, step := range []struct {
		after time.Duration
		bps   int64 // 0: nothing new
		texts int   // events so far
		again bool  // it wants to be called again
	}{
		{0, 1_100_000, 0, false}, // near to the start
		{time.Second, 600_000, 1, false},
		{100 * time.Millisecond, 300_000, 1, true}, // too soon
		{100 * time.Millisecond, 200_000, 1, true},
		{1700 * time.Millisecond, 0, 1, true},
		{101 * time.Millisecond, 0, 2, false},
		{5 * time.Second, 210_000, 2, false},
		{0, 1_000_000, 3, false},
	} {
		now = now.Add(step.after)
		if step.bps > 0 {
			p.bitrate(now, step.bps)
		}
		again := p.tellBitrate(now)
		if len(told) != step.texts || again.IsZero() == step.again || step.again && !again.After(now) {
			t.Errorf("at %d bit/s: %d events, again at %v", step.bps, len(told), again)
		}
	}
	if len(asked) != 6 || told[1].Code != CodeBitrateAdapted || !strings.Contains(told[1].Text, "asked for 200 kbit/s, after 600") {
		t.Errorf("asked %v, told %v", asked, told)
	}
	p = &Pusher{}
	p.link.cfg.onEvent = func(e Event) { t.Errorf("told %v though nothing adapts", e) }
	p.bitrate(now, 200_000)
	if again := p.tellBitrate(now); !again.IsZero() {
		t.Error(again)
	}
}

// 1101 is told once in five seconds.
func TestUplinkTooSmall(t *testing.T) {
	now, n := time.Unix(1000, 0), 0
	p := &Pusher{}
	p.link.cfg.onEvent = func(e Event) {
		if n++; e.Code != CodeUplinkTooSmall {
			t.Error(e)
		}
	}
	for range 100 {
		p.uplinkTooSmall(now, "media has been backing up")
		now = now.Add(100 * time.Millisecond)
	}
	if n != 2 {
		t.Errorf("%d events in ten seconds", n)
	}
}
