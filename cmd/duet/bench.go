package main

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"duet/bench"
)

func newBench(s streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure duet",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newBenchLink(s))
	return cmd
}

func newBenchLink(s streams) *cobra.Command {
	var cfg bench.LinkConfig
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Run a call over bad links in virtual time, and tell what arrived when and for how many bytes",
		Long: `Run one call, pusher to relay to player, in virtual time over emulated links, and tell how many frames were whole by the deadline and
how many bytes that took. The same seed gives the same call. Loss is random, on each hop, in each direction.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			began := time.Now()
			rep, err := bench.RunLink(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(s.out).Encode(rep)
			}
			printLink(s.out, &cfg, rep, time.Since(began))
			return nil
		},
	}
	f := cmd.Flags()
	f.Float64Var(&cfg.Loss, "loss", 0, "share of datagrams lost, 0 to 0.9")
	f.DurationVar(&cfg.RTT, "rtt", 50*time.Millisecond, "round trip of each hop")
	f.DurationVar(&cfg.Jitter, "jitter", 0, "jitter of each hop, without reordering")
	f.Int64Var(&cfg.Rate, "rate", 0, "bottleneck of each hop in the media's direction in bit/s, 0 for none")
	f.DurationVar(&cfg.Deadline, "deadline", 200*time.Millisecond, "capture to playout")
	f.DurationVar(&cfg.Duration, "duration", time.Minute, "length of the call")
	f.IntVar(&cfg.Bitrate, "bitrate", 1_500_000, "of the video, in bit/s")
	f.IntVar(&cfg.Hops, "hops", 2, "1: only the pusher's link is bad")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of everything that is drawn")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

func printLink(w io.Writer, cfg *bench.LinkConfig, r *bench.LinkReport, took time.Duration) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-16s "+format+"\n", append([]any{name}, args...)...)
	}
	row("call", "%v at %.1f %% loss, round trip %v, deadline %v, %d hops, seed %d (took %v)",
		cfg.Duration, 100*cfg.Loss, cfg.RTT, cfg.Deadline, cfg.Hops, r.Seed, took.Round(time.Millisecond))
	row("video on time", "%.3f %% of %d frames", 100*r.OnTime, r.Frames)
	row("audio on time", "%.3f %% of %d frames", 100*r.AudioOnTime, r.AudioFrames)
	row("complete", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms after capture", r.Delay.P50, r.Delay.P95, r.Delay.P99)
	row("released", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms after capture", r.Release.P50, r.Release.P95, r.Release.P99)
	for i := range cfg.Hops {
		row(fmt.Sprintf("hop %d", i+1), "%.3f bytes for each of media, %.3f back, redundancy %.3f", r.HopBytes[i], r.FeedbackBytes[i], r.Redundancy[i])
	}
}
