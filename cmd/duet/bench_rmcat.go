package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"duet/bench"
)

func newBenchRmcat(s streams) *cobra.Command {
	var cfg bench.RmcatConfig
	var asJSON, check bool
	cmd := &cobra.Command{
		Use:   "rmcat",
		Short: "Run RFC 8867's test cases for rate control in virtual time",
		Long: `Run the test cases 5.1 to 5.8 of RFC 8867: media sessions that follow what the network carries, over one bottleneck with a drop-tail
queue, alone, beside each other and beside TCP (CUBIC). A figure that has a bound is shown with it. The same seed gives the same run.

  utilisation   bytes of UDP payload that left the bottleneck over what it could have passed
  queue         how long datagrams waited at the bottleneck; "but after drops" leaves out the second after each drop of capacity
  recovery      from a drop until the queue is under 30 ms and stays so for 200 ms
  rise, start   until 90 % of the capacity was used over 500 ms
  jain          fairness between media flows while all are there, 1 is equal
  on time       video frames that were whole within the round trip and 200 ms of their capture

Loss is random, behind the bottleneck and both ways. Without --loss, 5.1 is run with 0, 10 and 20 %; 5.6 is run with queues of 300 and
1000 ms. Bounds are those of the case as it stands, so a loss of one's own has none.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := cfg.Check(); err != nil {
				return misuse{err}
			}
			began := time.Now()
			if !asJSON {
				cfg.Done = func(r *bench.RmcatReport) {
					printRmcat(s.out, r, time.Since(began))
					began = time.Now()
				}
			}
			reports, err := bench.RunRmcat(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(s.out).Encode(reports); err != nil {
					return err
				}
			}
			missed := 0
			for _, r := range reports {
				if !r.OK {
					missed++
				}
			}
			if check && missed > 0 {
				return errors.New(plural(missed, "case misses a bound", "cases miss a bound"))
			}
			return nil
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&cfg.Cases, "case", nil, "cases to run, such as 5.1,5.4 (default all)")
	f.Float64SliceVar(&cfg.Losses, "loss", nil, "shares of datagrams lost at random, such as 0,0.1, in place of the cases' own")
	f.DurationVar(&cfg.Jitter, "jitter", bench.DefaultRmcatJitter, "most that is added to the delay: RFC 8868's cut-off normal distribution, without reordering")
	f.Uint64Var(&cfg.Seed, "seed", 1, "of everything that is drawn")
	f.BoolVar(&asJSON, "json", false, "print the reports as JSON, with rates and queues by second")
	f.BoolVar(&check, "check", false, "fail if a figure misses its bound")
	return cmd
}

func plural(n int, one, many string) string {
	if n == 1 {
		return fmt.Sprintf("%d %s", n, one)
	}
	return fmt.Sprintf("%d %s", n, many)
}

func printRmcat(w io.Writer, r *bench.RmcatReport, took time.Duration) {
	fmt.Fprintf(w, "%s  %s: %.0f s, jitter %.0f ms, seed %d (took %v)\n", r.Case, r.Title, r.Seconds, r.JitterMS, r.Seed, took.Round(time.Millisecond))
	for i := range r.Figures {
		f := &r.Figures[i]
		bound, verdict := "", ""
		switch {
		case f.Min != nil && f.Max != nil:
			bound = fmt.Sprintf("%s to %s", number(*f.Min, f.Unit), number(*f.Max, f.Unit))
		case f.Min != nil:
			bound = "at least " + number(*f.Min, f.Unit)
		case f.Max != nil:
			bound = "at most " + number(*f.Max, f.Unit)
		}
		if bound != "" {
			verdict = "ok"
			if !f.OK() {
				verdict = "MISS"
			}
		}
		value := number(f.Value, f.Unit)
		if f.Never {
			value = "never in " + value
		}
		fmt.Fprintf(w, "  %-26s %-22s %16s  %-18s %s\n", f.Name, f.Note, value, bound, verdict)
	}
	for i := range r.Flows {
		f := &r.Flows[i]
		fmt.Fprintf(w, "  %-8s %5.0f kbit/s", f.Name, f.Rate)
		if m := f.Media; m != nil {
			fmt.Fprintf(w, ", goodput %5.0f; on time video %6.2f %%, audio %6.2f %% (%.0f ms); p50 %.0f, p95 %.0f, p99 %.0f ms",
				m.Goodput, 100*m.OnTime, 100*m.AudioOnTime, m.Deadline, m.Delay.P50, m.Delay.P95, m.Delay.P99)
		}
		if t := f.Transfers; t != nil {
			fmt.Fprintf(w, "; %d files, p50 %.0f, p95 %.0f ms", t.Files, t.Took.P50, t.Took.P95)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
}

// number is a figure as people read it.
func number(v float64, unit string) string {
	if unit == "" {
		return fmt.Sprintf("%.3f", v)
	}
	return fmt.Sprintf("%.1f %s", v, unit)
}
