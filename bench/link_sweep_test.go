package bench

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseSweep(t *testing.T) {
	axes, err := ParseSweep(" loss=0,5%,0.1  rtt=20ms,50ms\tpreset=wifi")
	want := []SweepAxis{{"preset", []string{"wifi"}}, {"loss", []string{"0", "5%", "0.1"}}, {"rtt", []string{"20ms", "50ms"}}}
	if err != nil || !reflect.DeepEqual(axes, want) {
		t.Errorf("%v, %v", axes, err)
	}
	for text, says := range map[string]string{
		"":                        "needs an axis",
		"loss":                    "NAME=VALUE",
		"loss=":                   "NAME=VALUE",
		"loss=0,":                 "want a share",
		"loss=0,5":                "0.05 or 5%",
		"loss=0,0":                "twice",
		"loss=0 loss=1%":          "twice",
		"weather=good":            "one of loss",
		"preset=moon":             "one of good",
		"rtt=20":                  "unit",
		"seed=1,2":                "--seeds",
		"loss=0 , rtt=20ms":       "NAME=VALUE",
		"loss=0;rtt=20ms":         "want a share",
		"policy=planner,adaptiv":  "planner or adaptive",
		strings.Repeat("x=1 ", 9): "one of",
	} {
		if _, err := ParseSweep(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A sweep is its calls, whatever their order in time: a cell is what its calls give alone, and cells are told in the order of the grid.
func TestSweep(t *testing.T) {
	axes, err := ParseSweep("loss=0,10% burst=1,3")
	if err != nil {
		t.Fatal(err)
	}
	base := LinkConfig{Duration: 3 * time.Second, Seed: 10}
	var told []string
	calls := 0
	cells, err := RunSweep(t.Context(), SweepConfig{Base: base, Axes: axes, Seeds: 3,
		Progress: func(done, all int) {
			if calls++; done != calls || all != 12 {
				t.Errorf("call %d is told as %d of %d", calls, done, all)
			}
		},
		Cell: func(c *SweepCell) { told = append(told, c.Label(axes)) },
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"loss 0, burst 1", "loss 0, burst 3", "loss 10%, burst 1", "loss 10%, burst 3"}
	if !slices.Equal(told, want) || calls != 12 || len(cells) != 4 {
		t.Errorf("told %q of %d cells after %d calls", told, len(cells), calls)
	}
	worst, late := 1.0, 0.0
	for seed := uint64(10); seed < 13; seed++ {
		cfg := base
		cfg.Loss, cfg.Burst, cfg.Seed = 0.1, 3, seed
		r, err := RunLink(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		worst, late = min(worst, r.OnTime), late+1-r.OnTime
	}
	r := cells[3].Report
	if d := r.OnTime - (1 - late/3); r.Calls != 3 || r.Seed != 10 || r.Frames != 270 || r.WorstOnTime != worst || d > 1e-9 || d < -1e-9 {
		t.Errorf("%d calls, %d frames, %.4f on time, worst %.4f; alone %.4f, worst %.4f", r.Calls, r.Frames, r.OnTime, r.WorstOnTime, 1-late/3, worst)
	}
	again, err := RunSweep(t.Context(), SweepConfig{Base: base, Axes: axes, Seeds: 3})
	if err != nil || !reflect.DeepEqual(cells, again) {
		t.Errorf("another time it gives something else, %v", err)
	}
}

func TestSweepRefuses(t *testing.T) {
	axes, err := ParseSweep("bitrate=50k,1M")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := RunSweep(t.Context(), SweepConfig{Base: LinkConfig{MinBitrate: 200_000}, Axes: axes}); err == nil || !strings.Contains(err.Error(), "bitrate 50k") {
		t.Errorf("a cell that can't be: %v", err)
	}
	if _, err := RunSweep(t.Context(), SweepConfig{Axes: axes, Seeds: maxSweepRuns}); err == nil || !strings.Contains(err.Error(), "calls") {
		t.Errorf("too many calls: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = RunSweep(ctx, SweepConfig{Base: LinkConfig{Duration: 10 * time.Second}, Axes: axes, Seeds: 50, Progress: func(int, int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("stopped after the first of a hundred calls: %v", err)
	}
}
