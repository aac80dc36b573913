package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"duet/bench/load"
)

type benchFloor struct {
	fanouts  []int
	shape    load.Shape
	duration time.Duration
	json     bool
	child    []int // streams and players each: this process is the loop itself
}

func newBenchFloor(s streams) *cobra.Command {
	var b benchFloor
	cmd := &cobra.Command{
		Use:   "floor",
		Short: "Run the ideal relay: what this machine needs at the least",
		Long: `Run a loop that does nothing but receive, open once, seal for each player and send, in batches and bursts, with the traffic of a stream; each player
returns a sealed datagram of 100 bytes for each video frame. What a relay costs beyond it is the price of being one.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&b.fanouts, "fanout", []int{1, 10, 100}, "players of one stream")
	f.IntVar(&b.shape.Bitrate, "bitrate", 1_500_000, "of the stream's video, bits per second")
	f.IntVar(&b.shape.FPS, "fps", 30, "frames per second")
	f.IntVar(&b.shape.Audio, "audio", 0, "of the stream's audio, bits per second, 0 for none")
	f.DurationVar(&b.duration, "duration", 5*time.Second, "how long each is measured")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	f.IntSliceVar(&b.child, "child", nil, "streams and players each: be the loop")
	_ = f.MarkHidden("child")
	return cmd
}

// floorReport is what the ideal loop needed for one load.
type floorReport struct {
	Streams   int     `json:"streams"`
	Fanout    int     `json:"fanout"`
	Packets   float64 `json:"out_packets_per_s"`
	CPUPacket float64 `json:"cpu_ns_per_packet"`
	CPUStream float64 `json:"cpu_ms_per_stream_s"`
}

func (b *benchFloor) run(ctx context.Context, s streams) error {
	if len(b.child) == 2 {
		ideal, err := load.NewIdeal(b.child[0], b.child[1])
		if err != nil {
			return err
		}
		fmt.Fprintf(s.out, "ideal %s\n", ideal.Addr())
		return ideal.Serve(ctx)
	}
	bar := newProgress(s.err)
	defer bar.clear()
	var reports []floorReport
	for _, n := range b.fanouts {
		r, err := runIdeal(ctx, bar, &load.Config{Fanout: n, Shape: b.shape, Duration: b.duration})
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	bar.clear()
	if b.json {
		return json.NewEncoder(s.out).Encode(reports)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "players\tout/s\tns/packet\tms/stream-s\t")
	for _, r := range reports {
		fmt.Fprintf(w, "%d\t%.0f\t%.0f\t%.3f\t\n", r.Fanout, r.Packets, r.CPUPacket, r.CPUStream)
	}
	return w.Flush()
}

// runIdeal runs the ideal loop in a process of its own under a load.
func runIdeal(ctx context.Context, bar *progress, cfg *load.Config) (r floorReport, err error) {
	self, err := os.Executable()
	if err != nil {
		return r, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	streams := strconv.Itoa(cfg.Incoming()) + "," + strconv.Itoa(max(1, cfg.Fanout))
	cmd := exec.CommandContext(ctx, self, "bench", "floor", "--child", streams) // #nosec G204 -- this program
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = childEnd
	out, err := cmd.StdoutPipe()
	if err != nil {
		return r, err
	}
	if err := cmd.Start(); err != nil {
		return r, err
	}
	defer func() {
		cancel()
		if e := cmd.Wait(); e != nil && !errors.Is(e, context.Canceled) {
			err = joinErrors(err, fmt.Errorf("the ideal loop: %w", e))
		}
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return r, fmt.Errorf("the ideal loop did not start: %w", err)
	}
	to, err := netip.ParseAddrPort(strings.TrimSpace(strings.TrimPrefix(line, "ideal ")))
	if err != nil {
		return r, fmt.Errorf("the ideal loop did not start: %w", err)
	}
	var used []time.Duration
	run := *cfg
	run.Progress = bar.show
	run.Measure = func(context.Context) error {
		used = append(used, processCPU(strconv.Itoa(cmd.Process.Pid)))
		return nil
	}
	packets, took, err := load.RunIdeal(ctx, run, to)
	if err != nil {
		return r, err
	}
	cpu := float64(used[1] - used[0])
	return floorReport{
		Streams: cfg.Incoming(), Fanout: cfg.Fanout, Packets: float64(packets) / took.Seconds(), CPUPacket: cpu / max(1, float64(packets)),
		CPUStream: cpu / 1e6 / took.Seconds() / float64(cfg.Outgoing()),
	}, nil
}
