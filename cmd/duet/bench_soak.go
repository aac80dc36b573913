package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"duet/bench/load"
)

type benchSoak struct {
	cfg  load.Config
	json bool
}

// What a soak is held to.
const (
	soakWarm       = 5                // one part of the time is for warming up: pools and maps grow to their size
	soakPatience   = 90 * time.Second // for the relay to find out who has gone, and forget the streams
	soakHeap       = 4 << 20          // bytes that the heap may be larger
	soakGoroutines = 4
	soakLook       = 250 * time.Millisecond
)

// errGrown is a server that keeps something of those who are gone.
var errGrown = errors.New("the server has grown")

func newBenchSoak(s streams) *cobra.Command {
	var b benchSoak
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Have calls begin and end for a long time and see that nothing is left of them",
		Long: `Have two-party calls begin and end on a server of its own, round after round, every other round without a goodbye. Before the rounds that count and after them, when
the server has forgotten everybody, its heap (collected), goroutines and memory are read. It fails if the heap has grown by more than 4 MiB, or if there are more
than 4 goroutines more.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntVar(&b.cfg.Calls, "calls", 20, "two-party calls of a round")
	f.DurationVar(&b.cfg.Duration, "duration", time.Minute, "of all rounds together; the waits for the server to forget come on top")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	return cmd
}

// soakSample is a server with nobody on it.
type soakSample struct {
	Sessions   int     `json:"sessions"` // that there have been
	Heap       float64 `json:"heap_mib"` // live after a collection
	Goroutines int     `json:"goroutines"`
	RSS        float64 `json:"rss_mib"`
}

func (b *benchSoak) run(ctx context.Context, s streams) (err error) {
	cfg := b.cfg
	cfg.Shape = load.Shape{Bitrate: 200_000, FPS: 30, Audio: 32_000}
	if err := cfg.Check(); err != nil {
		return misuse{err}
	}
	bar := newProgress(s.err)
	defer bar.clear()
	child, err := startChild(ctx, serveAlone...)
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, child.stop()) }()
	if err := child.aim(&cfg); err != nil {
		return err
	}
	cfg.Progress = bar.show
	var samples []soakSample
	for i, d := range []time.Duration{cfg.Duration / soakWarm, cfg.Duration - cfg.Duration/soakWarm} {
		one := cfg
		one.Duration = d
		one.Stream = fmt.Sprintf("live/soak-%d", i)
		n, err := load.Churn(ctx, one)
		if err != nil {
			return err
		}
		sample, err := quiet(ctx, child.admin)
		if err != nil {
			return err
		}
		if i > 0 {
			n += samples[i-1].Sessions
		}
		sample.Sessions = n
		samples = append(samples, sample)
	}
	bar.clear()
	if b.json {
		err = json.NewEncoder(s.out).Encode(samples)
	} else {
		err = printSoak(s.out, samples)
	}
	a, z := &samples[0], &samples[1]
	if z.Heap-a.Heap > soakHeap/float64(1<<20) || z.Goroutines-a.Goroutines > soakGoroutines {
		err = joinErrors(err, fmt.Errorf("%w: after %d sessions the heap has %.1f MiB more, and there are %d goroutines more", errGrown, z.Sessions-a.Sessions, z.Heap-a.Heap, z.Goroutines-a.Goroutines))
	}
	return err
}

// quiet waits until a server has forgotten everybody, has it collect, and looks at it.
func quiet(ctx context.Context, admin string) (s soakSample, err error) {
	tick := time.NewTicker(soakLook)
	defer tick.Stop()
	for began := time.Now(); ; {
		r, err := askAdmin(ctx, admin)
		if err != nil {
			return s, err
		}
		if r.Relay.Sessions == 0 && r.Relay.Streams == 0 {
			break
		}
		if time.Since(began) > soakPatience {
			return s, fmt.Errorf("%w: after %v it still has %d sessions and %d streams", errGrown, soakPatience, r.Relay.Sessions, r.Relay.Streams)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return s, ctx.Err()
		}
	}
	for range 2 { // pools are emptied by the second
		if err := collect(ctx, admin); err != nil {
			return s, err
		}
	}
	r, err := askAdmin(ctx, admin)
	return soakSample{Heap: float64(r.Heap) / (1 << 20), Goroutines: r.Goroutines, RSS: float64(r.RSS) / (1 << 20)}, err
}

// collect has a server's heap collected.
func collect(ctx context.Context, admin string) (err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/debug/pprof/heap?gc=1", http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, res.Body)
	return joinErrors(err, res.Body.Close())
}

func printSoak(w io.Writer, samples []soakSample) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sessions so far\theap\tgoroutines\tRSS\t")
	for _, s := range samples {
		fmt.Fprintf(t, "%d\t%.1f MiB\t%d\t%.1f MiB\t\n", s.Sessions, s.Heap, s.Goroutines, s.RSS)
	}
	return t.Flush()
}
