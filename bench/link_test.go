package bench

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

// Over two hops that lose what people's networks lose, nearly every frame is whole within 200 ms of its capture, for few bytes more.
// `duet bench link` runs the same for longer.
func TestLink(t *testing.T) {
	for _, c := range []struct{ loss, onTime, bytes float64 }{
		{0, 1, 1.09}, {0.02, 0.9995, 1.125}, {0.05, 0.998, 1.21}, {0.1, 0.997, 1.37}, {0.2, 0.985, 1.72},
	} {
		r, err := RunLink(t.Context(), LinkConfig{Loss: c.loss, Duration: 60 * time.Second, Seed: 7})
		if err != nil {
			t.Fatal(err)
		}
		if r.Frames != 1800 || r.AudioFrames != 3000 {
			t.Errorf("loss %v: %d and %d frames", c.loss, r.Frames, r.AudioFrames)
		}
		if r.OnTime < c.onTime || r.AudioOnTime < c.onTime {
			t.Errorf("loss %v: %.4f of the video and %.4f of the audio on time, want %.4f", c.loss, r.OnTime, r.AudioOnTime, c.onTime)
		}
		if r.HopBytes[0] > c.bytes || r.HopBytes[1] > c.bytes || max(r.Feedback[0], r.Feedback[1]) > 0.04 {
			t.Errorf("loss %v: %.3f bytes for each of media, %.3f back; want at most %.3f and 0.04", c.loss, r.HopBytes, r.Feedback, c.bytes)
		}
	}
}

// The figures of a call of which everything is known: nothing is lost, and nothing waits but at a bottleneck that is wide enough.
func TestLinkFigures(t *testing.T) {
	cfg := LinkConfig{Duration: 20 * time.Second, Rate: 8_000_000, Fixed: true, Series: true, RTT: 40 * time.Millisecond, Seed: 2}
	r, err := RunLink(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	near := func(name string, got, want, within float64) {
		t.Helper()
		if !(math.Abs(got-want) <= within) {
			t.Errorf("%s is %v, want %v within %v", name, got, want, within)
		}
	}
	near("on time", r.OnTime, 1, 0)
	near("audio on time", r.AudioOnTime, 1, 0)
	near("delay p50", r.Delay.P50, 40+2*6.3, 8) // twice 20 ms of way, and of 6.2 kB through 8 Mbit/s
	near("bitrate made", r.Bitrate.Made, 1_548_000, 60_000)
	near("utilisation", r.Utilisation, r.Bitrate.Made*r.HopBytes[0]/8e6, 0.002)
	near("goodput", r.Goodput, r.Bitrate.Made/8e6, 0.002)
	near("loss", r.Loss[0]+r.Loss[1], 0, 0)
	near("queue p50", r.Queue.P50, 3, 3)
	if r.Queue.P50 > r.Queue.P95 || r.Queue.P95 > r.Queue.P99 || r.Queue.P95 == 0 {
		t.Errorf("queue %+v", r.Queue)
	}
	s := r.Series
	if len(s.Seconds) != 200 || len(s.Target) != 200 || len(s.Capacity) != 200 || len(s.Hops[1].Queue) != 200 || s.Seconds[199] != 20 {
		t.Fatalf("%d bins", len(s.Seconds))
	}
	sum := 0.0
	for i := range s.Seconds {
		sum += s.Messages[i] / 200
		near("capacity", s.Capacity[i], 8e6, 1)
		if s.Late[i] != 0 || s.Hops[0].Lost[i] != 0 || s.Delay[i] == nil || *s.DelayTop[i] < *s.Delay[i] {
			t.Fatalf("bin %d: %d late, %d lost", i, s.Late[i], s.Hops[0].Lost[i])
		}
	}
	near("messages of all bins", sum, r.Bitrate.Made, 1)
	for _, c := range s.CDF {
		near("the distribution's end", c[len(c)-1].Share, 1, 1e-9)
	}
}

// Every setting does what it says.
// A player that says what delay it would like gets nearly all frames earlier, and none less.
func TestLinkAim(t *testing.T) {
	run := func(aim bool) *LinkReport {
		cfg := DefaultLink()
		cfg.Loss, cfg.Deadline, cfg.Bitrate, cfg.Aim, cfg.Seed = 0.1, time.Second, 400_000, aim, 7
		r, err := RunLink(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	without, with := run(false), run(true)
	if with.Release.P99 > 0.9*without.Release.P99 || with.OnTime < without.OnTime {
		t.Errorf("released within %.0f ms, on time %.4f; without an aim %.0f ms, %.4f", with.Release.P99, with.OnTime, without.Release.P99, without.OnTime)
	}
}

func TestLinkSettingsMatter(t *testing.T) {
	base := LinkConfig{Duration: 10 * time.Second, Seed: 4}
	with := func(change func(*LinkConfig)) *LinkReport {
		t.Helper()
		cfg := base
		change(&cfg)
		r, err := RunLink(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plain := with(func(*LinkConfig) {})
	if r := with(func(c *LinkConfig) { c.RTT = -1 }); r.Delay.P95 > 5 {
		t.Errorf("without a round trip: %+v", r.Delay)
	}
	if r := with(func(c *LinkConfig) { c.Jitter = 30 * time.Millisecond }); r.Delay.P95 <= plain.Delay.P95+5 {
		t.Errorf("with jitter: %+v", r.Delay)
	}
	if r := with(func(c *LinkConfig) { c.Loss, c.Burst = 0.05, 4 }); r.Loss[0] < 0.02 || r.Loss[0] > 0.09 || r.Loss[1] < 0.02 {
		t.Errorf("of 5 %% in runs %v are lost", r.Loss)
	}
	if r := with(func(c *LinkConfig) { c.Hops, c.Loss = 1, 0.05 }); r.Loss[1] != 0 || r.HopBytes[1] != 0 || r.Loss[0] == 0 {
		t.Errorf("the second of one hop: %v, %v", r.Loss, r.HopBytes)
	}
	if r := with(func(c *LinkConfig) { c.Rate = 900_000 }); r.Bitrate.Made > 900_000 || r.Utilisation < 0.6 || r.Bitrate.Most > 1_548_000 {
		t.Errorf("at 900 kbit/s: %+v, %v used", r.Bitrate, r.Utilisation)
	}
	if r := with(func(c *LinkConfig) { c.MinBitrate, c.StartBitrate, c.Bitrate = 200_000, 300_000, 400_000 }); r.Bitrate.Made < 300_000 || r.Bitrate.Made > 460_000 {
		t.Errorf("at most 400 kbit/s: %+v", r.Bitrate)
	}
	if r := with(func(c *LinkConfig) { c.Loss, c.Policy = 0.1, transport.Adaptive{} }); r.Redundancy == with(func(c *LinkConfig) { c.Loss = 0.1 }).Redundancy {
		t.Errorf("policies spend the same: %v", r.Redundancy)
	}
}

// A trace is followed: the video falls with the capacity and rises again, and the series says so.
func TestLinkTrace(t *testing.T) {
	cfg := DefaultLink()
	cfg.Duration, cfg.Series, cfg.Duplicate, cfg.QueueBytes = 25*time.Second, true, 0.05, 60_000
	if err := cfg.Set("trace", "drop"); err != nil { // from 4 Mbit/s to 800 kbit/s, between 10 and 20 s
		t.Fatal(err)
	}
	r, err := RunLink(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	mean := func(v []float64, from, to int) (sum float64) {
		for _, x := range v[10*from : 10*to] {
			sum += x / float64(10*(to-from))
		}
		return sum
	}
	s := r.Series
	if high, low := mean(s.Capacity, 0, 7), mean(s.Capacity, 11, 17); math.Abs(high-4e6) > 1e5 || math.Abs(low-8e5) > 5e4 {
		t.Errorf("the capacity is %.0f, then %.0f", high, low)
	}
	if high, low := mean(s.Messages, 3, 7), mean(s.Messages, 11, 17); high < 1.4e6 || low > 8e5 || low < 2e5 {
		t.Errorf("the messages make %.0f, then %.0f", high, low)
	}
	if r.Utilisation <= 0.2 || r.Utilisation > 1 || r.OnTime < 0.8 || r.Queue.P95 > 1000 {
		t.Errorf("%.3f used, %.3f on time, queue %+v", r.Utilisation, r.OnTime, r.Queue)
	}
}

// The same seed gives the same report.
func TestLinkRepeats(t *testing.T) {
	cfg := LinkConfig{Loss: 0.1, Duration: 5 * time.Second, Seed: 3, Jitter: 10 * time.Millisecond, Reorder: true, Rate: 3_000_000, Series: true}
	a, err := RunLink(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := RunLink(t.Context(), cfg)
	if err != nil || !reflect.DeepEqual(a, b) {
		t.Errorf("%+v, then %+v, %v", a, b, err)
	}
}

func TestLinkRefuses(t *testing.T) {
	for _, cfg := range []LinkConfig{
		{Loss: -1}, {Loss: 1}, {Loss: math.NaN()}, {Loss: 0.9, Burst: 2}, {Hops: 3}, {Bitrate: 1}, {Deadline: -1}, {FPS: 1000}, {Rate: 5}, {MinBitrate: 2_000_000},
		{StartBitrate: 50_000}, {Queue: -1}, {Duration: -1}, {Burst: -1},
	} {
		if _, err := RunLink(t.Context(), cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := RunLink(ctx, LinkConfig{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
	if _, err := RunRealLink(t.Context(), LinkConfig{Policy: transport.Adaptive{}}); err == nil {
		t.Error("a policy that clients do not have is taken")
	}
}

// Settings are read as they are printed, and what is wrong is said.
func TestLinkSettings(t *testing.T) {
	for _, test := range []struct{ name, value, want string }{
		{"loss", "5%", "0.05"}, {"loss", "7 %", "0.07"}, {"loss", "0.2", "0.2"}, {"rtt", "0s", "0s"}, {"rtt", "20ms", "20ms"}, {"rate", "1.5M", "1.5M"},
		{"rate", "500000", "500k"}, {"rate", "0", "0"}, {"rate", "1234567", "1234567"}, {"burst", "3", "3"}, {"reorder", "true", "true"}, {"hops", "1", "1"},
		{"duplicate", "1%", "0.01"}, {"queue-bytes", "65536", "65536"}, {"trace", "drop", "drop"}, {"trace", "", ""},
		{"policy", "adaptive", "adaptive"}, {"policy", "planner", "planner"}, {"bitrate", "2M", "2M"}, {"duration", "2h", "2h0m0s"}, {"seed", "18446744073709551615", "18446744073709551615"},
	} {
		c := DefaultLink()
		if err := c.Set(test.name, test.value); err != nil || c.Get(test.name) != test.want {
			t.Errorf("%s %s reads as %s, %v", test.name, test.value, c.Get(test.name), err)
		}
	}
	for _, test := range []struct{ name, value, text string }{
		{"loss", "7", "0.05 or 5%"}, {"loss", "-1%", "0 to 0.9"}, {"loss", "NaN", "share"}, {"rtt", "50", "unit"}, {"rtt", "2h", "1m0s"}, {"rate", "5", "from 10k"},
		{"rate", "1e99", "1.5M"}, {"burst", "x", "number"}, {"reorder", "maybe", "true or false"}, {"hops", "-1", "whole number"}, {"policy", "best", "planner or adaptive"},
		{"bitrate", "0", "500k"}, {"duration", "0s", "60s"}, {"seed", "-1", "whole number"}, {"trace", "none.trace", "one of drop"}, {"queue-bytes", "-1", "number"}, {"colour", "red", "one of loss, burst"},
	} {
		c := DefaultLink()
		if err := c.Set(test.name, test.value); err == nil || !strings.Contains(err.Error(), test.text) || !reflect.DeepEqual(c, DefaultLink()) {
			t.Errorf("%s %s: %v", test.name, test.value, err)
		}
	}
	for _, s := range LinkSettings() { // what is printed can be read
		c := DefaultLink()
		if v := s.get(&c); v != "" && (c.Set(s.Name, v) != nil || c.Get(s.Name) != v) {
			t.Errorf("%s does not take its own %q", s.Name, v)
		}
	}
}

func TestLinkPresets(t *testing.T) {
	for _, p := range LinkPresets() {
		c := DefaultLink()
		if err := c.Preset(p.Name); err != nil {
			t.Fatal(err)
		}
		c.Duration = time.Second
		if _, err := RunLink(t.Context(), c); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
	c := DefaultLink()
	if err := c.Preset("moon"); err == nil || !strings.Contains(err.Error(), "good, wifi") {
		t.Errorf("a preset that there is not: %v", err)
	}
}

// A frame tells its order, whatever its size, and the source follows its target within the limits.
func TestLinkSource(t *testing.T) {
	cfg, err := LinkConfig{MinBitrate: 10_000, Duration: 4 * time.Second}.prepared()
	if err != nil {
		t.Fatal(err)
	}
	s := newLinkSource(&cfg)
	bytes, n := 0, uint64(0)
	for _, kind, ok := s.next(); ok; _, kind, ok = s.next() {
		m := s.frame(800_000 + linkAudioRate)
		if order, ok := linkOrder(kind, m.Payload); !ok || order != n {
			t.Fatalf("frame %d says that it is %d, %v", n, order, ok)
		}
		if kind == rtmpchunk.Video {
			bytes += len(m.Payload)
		}
		n++
	}
	if rate := bytes * 8 / 4; rate < 760_000 || rate > 840_000 {
		t.Errorf("asked for 800 kbit/s it makes %d", rate)
	}
	s = newLinkSource(&cfg)
	if m := s.frame(0); len(m.Payload) < linkVideoHead+linkOrderSize {
		t.Errorf("a frame of %d bytes", len(m.Payload))
	}
	if _, ok := linkOrder(rtmpchunk.Video, make([]byte, 10)); ok {
		t.Error("a frame without room for an order has one")
	}
}

// A bottleneck's queue is measured as what it is: the k-th of some that come together waits for those before it.
func TestLinkNeck(t *testing.T) {
	cfg := LinkConfig{Rate: 8_000_000, Queue: 4 * time.Millisecond} // a byte takes a microsecond
	n := newLinkNeck(cfg.neck())
	var waits []time.Duration
	n.passed = func(_ time.Time, wait time.Duration, _ []byte) { waits = append(waits, wait) }
	now := time.Unix(1, 0)
	full := 0
	for range 8 {
		if !n.enter(now, make([]byte, 1000)) {
			full++
		}
	}
	n.advance(now.Add(time.Second))
	want := []time.Duration{0, time.Millisecond, 2 * time.Millisecond, 3 * time.Millisecond, 4 * time.Millisecond}
	if !slices.Equal(waits, want) || full != 3 {
		t.Errorf("waits %v, %d refused", waits, full)
	}
}
