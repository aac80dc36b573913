package main

import (
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
)

// printTable writes the results of one loss, a line a peer.
func printTable(w io.Writer, cfg *config, list []result) error {
	fmt.Fprintf(w, "\nloss %g %% on each hop in each direction, round trip %v a hop, deadline %v, %v, seed %d\n\n",
		100*cfg.loss, cfg.rtt, cfg.deadline, cfg.duration, cfg.seed)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "\twhole and released within\t\t\t\t\taudio\tms to whole\t\t\tms to release\t\t\tbytes\t\t\n")
	fmt.Fprint(t, "peer")
	for _, limit := range limits {
		fmt.Fprintf(t, "\t%d ms", limit.Milliseconds())
	}
	fmt.Fprintf(t, "\t%d ms\tp50\tp95\tp99\tp50\tp95\tp99\thop 1\thop 2\t\n", cfg.deadline.Milliseconds())
	for _, r := range list {
		fmt.Fprint(t, r.Peer)
		if r.Error != "" {
			fmt.Fprintf(t, "\tnot set up: %s\t\n", r.Error)
			continue
		}
		for _, share := range r.Within {
			fmt.Fprintf(t, "\t%.2f", 100*share)
		}
		fmt.Fprintf(t, "\t%.2f", 100*r.Audio)
		for _, q := range []quantiles{r.Delay, r.Release} {
			fmt.Fprintf(t, "\t%s\t%s\t%s", delay(q.P50), delay(q.P95), delay(q.P99))
		}
		fmt.Fprintf(t, "\t%.2f\t%.2f\t\n", r.HopBytes[0], r.HopBytes[1])
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range list {
		if r.Damaged+r.Twice+r.SendErrors > 0 {
			fmt.Fprintf(w, "%s: %d frames damaged, %d delivered twice, %d refused by the sender\n", r.Peer, r.Damaged, r.Twice, r.SendErrors)
		}
	}
	return nil
}

// delay writes milliseconds; what never came is a dash.
func delay(ms float64) string {
	if math.IsInf(ms, 1) {
		return "–"
	}
	return fmt.Sprintf("%.0f", ms)
}

// printSettings tells what each peer was set to.
func printSettings(w io.Writer, cfg *config, list []peer) {
	fmt.Fprintf(w, "%d frames/s of %.1f Mbit/s with a key frame of %d× every %d, and %d audio frames/s of %d bytes; the first %v are not counted\n",
		fps, videoRate/1e6, keySize, gop, audioPerSec, audioSize, cfg.warmup)
	for _, p := range list {
		fmt.Fprintf(w, "  %s%s %s\n", p.name(), strings.Repeat(" ", max(1, 14-len(p.name()))), p.settings(cfg))
	}
}

// tolerance is by how much duet may be behind another and still count as first. It is 0.1 point, and where the sample is too small to
// tell that apart, twice the standard error of the difference of two shares. Both met the same losses in distribution, not one by one.
func tolerance(a, b result) float64 {
	if a.Frames == 0 || b.Frames == 0 {
		return 0
	}
	// A share of 1 seen in n frames is no proof of certainty: half a frame more on either side keeps the error above zero.
	variance := func(r result) float64 {
		n := float64(r.Frames)
		s := (r.OnTime*n + 0.5) / (n + 1)
		return s * (1 - s) / n
	}
	return max(0.001, 2*math.Sqrt(variance(a)+variance(b)))
}

// duetFirst tells which peers were ahead of duet in whole frames within the deadline by more than the tolerance; nothing if duet was
// first. Without a result of duet that is an answer too.
func duetFirst(list []result) (ahead []string) {
	var ours *result
	for i := range list {
		if list[i].Peer == (duetPeer{}).name() {
			ours = &list[i]
		}
	}
	if ours == nil || ours.Error != "" || ours.Frames == 0 {
		return []string{"duet itself gave no result"}
	}
	for _, r := range list {
		if r.Error != "" || r.Peer == ours.Peer {
			continue
		}
		if tol := tolerance(*ours, r); r.OnTime > ours.OnTime+tol {
			ahead = append(ahead, fmt.Sprintf("%s has %.2f %% at loss %g %%, duet %.2f %%, more than %.2f points less",
				r.Peer, 100*r.OnTime, 100*r.Loss, 100*ours.OnTime, 100*tol))
		}
	}
	return ahead
}
