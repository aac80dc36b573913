package client

import (
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

// pushed is a history of seconds of video at 10 frames a second, a key frame every second, two packets a frame, audio of one packet
// between. It begins with a configuration, and everything was handed over.
func pushed(seconds int, size int) (*history, time.Time) {
	h := &history{}
	at := time.Unix(1000, 0)
	h.add(message{at: at, record: &rtmpchunk.Record{Order: 0, Slot: rtmpchunk.SlotVideoConfig, ID: 1}})
	for i := range seconds * 10 {
		at = time.Unix(1000, 0).Add(time.Duration(i) * 100 * time.Millisecond)
		h.add(message{at: at, kind: rtmpchunk.Video, key: i%10 == 0, packets: []*transport.Packet{{}, {}}, bytes: size})
		h.add(message{at: at, kind: rtmpchunk.Audio, packets: []*transport.Packet{{}}, bytes: 1})
	}
	for h.sent < h.next() {
		h.advance()
	}
	return h, at
}

func TestHistoryTrim(t *testing.T) {
	h, now := pushed(10, 1000)
	h.trim(now, h.sent)
	if first := h.get(h.base); !first.key || first.at.After(now.Add(-resendWindow)) || first.at.Before(now.Add(-resendWindow-1100*time.Millisecond)) {
		t.Errorf("begins %v before the end, key frame %v", now.Sub(first.at), first.key)
	}
	if h.next() != 201 || h.unsent != 0 {
		t.Errorf("next %d, unsent %d", h.next(), h.unsent)
	}
	if r := h.recordsBefore(h.base); len(r) != 1 || r[0].ID != 1 {
		t.Errorf("records %v", r)
	}
	sum := 0
	for o := h.base; o < h.next(); o++ {
		sum += h.get(o).bytes
	}
	if sum != h.bytes {
		t.Errorf("bytes %d, counted %d", h.bytes, sum)
	}
	if seq, want := h.seqAt(h.next()), [2]uint16{100, 200}; seq != want {
		t.Errorf("sequence numbers at the end %v", seq)
	}
	if seq, want := h.seqAt(h.next()-2), [2]uint16{99, 198}; seq != want {
		t.Errorf("sequence numbers before the last two %v, want %v", seq, want)
	}
}

func TestHistoryLimit(t *testing.T) {
	h, now := pushed(3, 900<<10)
	h.trim(now, h.sent)
	if h.bytes > maxHistory {
		t.Errorf("%d bytes", h.bytes)
	}
	if !h.get(h.base).key {
		t.Error("does not begin with a key frame")
	}
	h.add(message{at: now, kind: rtmpchunk.Video, bytes: maxHistory, packets: []*transport.Packet{{}}})
	h.trim(now, h.sent)
	if h.base > h.sent {
		t.Error("what was not handed over is gone")
	}
}

func TestHistoryResume(t *testing.T) {
	h, now := pushed(6, 1000)
	h.trim(now, h.sent)
	end := h.next()
	for _, c := range []struct {
		name  string
		order uint64
		since time.Time
		from  uint64
		ok    bool
	}{
		{"the relay has all, nothing in doubt", end, now.Add(time.Second), end, true},
		{"half a second in doubt", end, now.Add(-450 * time.Millisecond), end - 10, true},
		{"the relay lacks more than that", end - 20, now, end - 20, true},
		{"before what is kept", h.base - 1, now, 0, false},
		{"after what there is", end + 1, now, 0, false},
	} {
		if from, ok := h.resume(c.order, c.since); from != c.from || ok != c.ok {
			t.Errorf("%s: from %d %v, want %d %v of %d", c.name, from, ok, c.from, c.ok, end)
		}
	}
	from := h.begin(now.Add(-1500 * time.Millisecond))
	if m := h.get(from); !m.key || m.at.After(now.Add(-1500*time.Millisecond)) || m.at.Before(now.Add(-2500*time.Millisecond)) {
		t.Errorf("begins %v before the end, key frame %v", now.Sub(m.at), m.key)
	}
	if from = h.begin(now.Add(-time.Hour)); from != h.keys[0] {
		t.Errorf("begins at %d, not at the oldest key frame %d", from, h.keys[0])
	}
	if n := h.rewind(from); n != 0 || h.unsent == 0 {
		t.Errorf("rewind left %d out, %d bytes to send", n, h.unsent)
	}
	if n := h.rewind(end); n != end-from || h.unsent != 0 {
		t.Errorf("forward left %d out, %d bytes to send", n, h.unsent)
	}
}

func TestDelays(t *testing.T) {
	var d delays
	for i := 1; i <= 10_000; i++ {
		d.add(time.Duration(i) * 50 * time.Microsecond)
	}
	d.add(-time.Second)
	s := d.summary()
	for _, c := range []struct{ got, want time.Duration }{
		{s.P50, 250 * time.Millisecond}, {s.P95, 475 * time.Millisecond}, {s.P99, 495 * time.Millisecond},
	} {
		if off := float64(c.got-c.want) / float64(c.want); off > 0.02 || off < -0.02 {
			t.Errorf("got %v, want %v", c.got, c.want)
		}
	}
	if s.Max != 500*time.Millisecond || s.Count != 10_001 {
		t.Errorf("%+v", s)
	}
	if s := new(delays).summary(); s != (Delays{}) {
		t.Errorf("of nothing: %+v", s)
	}
}

func TestQuality(t *testing.T) {
	for _, c := range []struct {
		loss, rtt float64
		skipped   bool
		want      int
	}{
		{0, 20, false, 1}, {2, 20, false, 2}, {0, 250, false, 3}, {12, 50, false, 4}, {20, 50, false, 5}, {50, 50, false, 6}, {0, 20, true, 4},
	} {
		if got := quality(c.loss, c.rtt, c.skipped); got != c.want {
			t.Errorf("%v %% loss, %v ms, skipped %v: %d, want %d", c.loss, c.rtt, c.skipped, got, c.want)
		}
	}
}

// Every code that a client tells has a text.
func TestCodeText(t *testing.T) {
	for code := range codeTexts {
		if CodeText(code) == "" {
			t.Errorf("%d has no text", code)
		}
	}
	err := &CodeError{Code: CodeHandshake, Text: "no answer"}
	if got := err.Error(); got != "3003 handshake failed: no answer" {
		t.Error(got)
	}
}
