package bench

import (
	"testing"
	"time"
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
		if r.HopBytes[0] > c.bytes || r.HopBytes[1] > c.bytes || max(r.FeedbackBytes[0], r.FeedbackBytes[1]) > 0.04 {
			t.Errorf("loss %v: %.3f bytes for each of media, %.3f back; want at most %.3f and 0.04", c.loss, r.HopBytes, r.FeedbackBytes, c.bytes)
		}
	}
}

// The same seed gives the same report.
func TestLinkRepeats(t *testing.T) {
	cfg := LinkConfig{Loss: 0.1, Duration: 5 * time.Second, Seed: 3, Jitter: 10 * time.Millisecond, Rate: 3_000_000}
	a, err := RunLink(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	b, err := RunLink(t.Context(), cfg)
	if err != nil || *a != *b {
		t.Errorf("%+v, then %+v, %v", a, b, err)
	}
}

func TestLinkRefuses(t *testing.T) {
	for _, cfg := range []LinkConfig{{Loss: -1}, {Loss: 1}, {Hops: 3}, {Bitrate: 1}, {Deadline: -1}, {FPS: 1000}} {
		if _, err := RunLink(t.Context(), cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
}
