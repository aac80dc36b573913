package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"duet/bench"
)

func printLink(w io.Writer, cfg *bench.LinkConfig, r *bench.LinkReport, took time.Duration) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-16s "+format+"\n", append([]any{name}, args...)...)
	}
	calls := "one call"
	if r.Calls > 1 {
		calls = fmt.Sprintf("%d calls", r.Calls)
	}
	if r.Real {
		calls += " over sockets"
	}
	row("call", "%s of %v: loss %.1f %%, round trip %v, deadline %v, %d hops, seed %d (took %v)",
		calls, cfg.Duration, 100*cfg.Loss, max(cfg.RTT, 0), cfg.Deadline, cfg.Hops, r.Seed, took.Round(time.Millisecond))
	worst := ""
	if r.Calls > 1 {
		worst = fmt.Sprintf("; %.3f %% in the worst call", 100*r.WorstOnTime)
	}
	row("video on time", "%.3f %% of %d frames%s", 100*r.OnTime, r.Frames, worst)
	row("audio on time", "%.3f %% of %d frames", 100*r.AudioOnTime, r.AudioFrames)
	row("complete", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms after capture", r.Delay.P50, r.Delay.P95, r.Delay.P99)
	row("released", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms after capture", r.Release.P50, r.Release.P95, r.Release.P99)
	row("bitrate", "%.0f kbit/s made; asked for %.0f on average, %.0f to %.0f", r.Bitrate.Made/1e3, r.Bitrate.Target/1e3, r.Bitrate.Least/1e3, r.Bitrate.Most/1e3)
	if r.Refused > 0 {
		row("refused", "%d frames, for which there was no room in the sender's queue", r.Refused)
	}
	for i := range cfg.Hops {
		row(fmt.Sprintf("hop %d", i+1), "%.3f bytes for each of media, %.3f back, redundancy %.3f, %.2f %% lost",
			r.HopBytes[i], r.Feedback[i], r.Redundancy[i], 100*r.Loss[i])
	}
	if r.Utilisation > 0 {
		row("bottleneck", "%.1f %% used, goodput %.1f %%; queue p50 %.1f ms, p95 %.1f ms", 100*r.Utilisation, 100*r.Goodput, r.Queue.P50, r.Queue.P95)
	}
}

func printSweep(w io.Writer, axes []bench.SweepAxis, cells []*bench.SweepCell, seeds int, took time.Duration) error {
	fmt.Fprintf(w, "%d cells, calls in each: %d (took %v)\n\n", len(cells), seeds, took.Round(time.Millisecond))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	var head strings.Builder
	for _, a := range axes {
		fmt.Fprintf(&head, "%s\t", a.Name)
	}
	fmt.Fprintf(t, "%svideo %%\taudio %%\tp50 ms\tp95 ms\tp99 ms\tkbit/s\tbytes 1\tbytes 2\tback 1\tback 2\tredund 1\tredund 2\tused %%\tqueue p95\t\n", head.String())
	for _, c := range cells {
		for _, v := range c.Values {
			fmt.Fprintf(t, "%s\t", v)
		}
		r := c.Report
		fmt.Fprintf(t, "%.3f\t%.3f\t%.1f\t%.1f\t%.1f\t%.0f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.3f\t%.1f\t%.1f\t\n",
			100*r.OnTime, 100*r.AudioOnTime, r.Delay.P50, r.Delay.P95, r.Delay.P99, r.Bitrate.Made/1e3, r.HopBytes[0], r.HopBytes[1],
			r.Feedback[0], r.Feedback[1], r.Redundancy[0], r.Redundancy[1], 100*r.Utilisation, r.Queue.P95)
	}
	return t.Flush()
}
