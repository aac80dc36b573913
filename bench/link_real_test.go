package bench

import (
	"testing"
	"time"
)

// The same call over real sockets: what comes out is what was pushed, through links that lose, in about the time that they take.
func TestRealLink(t *testing.T) {
	t.Parallel()
	cfg := LinkConfig{Loss: 0.02, RTT: 20 * time.Millisecond, Duration: 2 * time.Second, Rate: 5_000_000, Seed: 5, Deadline: 300 * time.Millisecond, Series: true}
	r, err := RunRealLink(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Real || r.Frames != 60 || r.AudioFrames != 100 || r.Refused != 0 {
		t.Errorf("%d and %d frames, %d refused", r.Frames, r.AudioFrames, r.Refused)
	}
	if r.OnTime < 0.9 || r.AudioOnTime < 0.9 { // a machine that is busy with other tests is late now and then
		t.Errorf("%.3f of the video and %.3f of the audio on time", r.OnTime, r.AudioOnTime)
	}
	if r.Delay.P50 < 20 || r.Delay.P50 > 150 {
		t.Errorf("complete after %.1f ms", r.Delay.P50)
	}
	for hop := range 2 {
		if r.HopBytes[hop] < 1 || r.HopBytes[hop] > 1.6 || r.Feedback[hop] <= 0 || r.Loss[hop] <= 0 || r.Loss[hop] > 0.1 {
			t.Errorf("hop %d: %.3f bytes for each of media, %.3f back, loss %.3f", hop+1, r.HopBytes[hop], r.Feedback[hop], r.Loss[hop])
		}
	}
	if r.Utilisation < 0.1 || r.Utilisation > 0.5 || len(r.Series.Seconds) != 20 {
		t.Errorf("utilisation %.3f, %d points", r.Utilisation, len(r.Series.Seconds))
	}
}
