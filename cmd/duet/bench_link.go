package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"duet/bench"
	"duet/bench/netem"
)

// benchLink is the command while it runs.
type benchLink struct {
	s      streams
	cfg    bench.LinkConfig
	preset string
	sweep  string
	seeds  int
	real   bool
	json   bool
	html   string
	axes   []bench.SweepAxis
}

func newBenchLink(s streams) *cobra.Command {
	b := &benchLink{s: s, cfg: bench.DefaultLink()}
	cmd := &cobra.Command{
		Use:   "link",
		Short: "Run a call over bad links, and tell what arrived when and for how many bytes",
		Long: `Run one call, pusher to relay to player, over emulated links, and tell how many frames were whole by the deadline and how many bytes
that took. The video follows the bitrate that the transport asks for. Time is virtual, a minute of the call takes about a second, and the
same seed gives the same call; with --real the call goes over sockets of this machine, in real time.

Presets, which other flags refine:
` + presetHelp() + `
Traces of --trace:
` + traceHelp() + `
A sweep runs a grid of calls on all processors; its axes are the flags above by their names, or preset:
  duet bench link --sweep "loss=0,0.05,0.1 rtt=20ms,100ms policy=planner,adaptive" --seeds 5 --html report.html`,
		Example: `  duet bench link --loss 5% --seeds 20 --duration 100s
  duet bench link --preset train --html train.html
  duet bench link --loss 2% --rate 2M --real --duration 20s`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := b.prepare(cmd.Flags().Changed); err != nil {
				return err
			}
			return b.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	for _, setting := range bench.LinkSettings() {
		flag := f.VarPF(&linkFlag{cfg: &b.cfg, setting: setting}, setting.Name, "", setting.Help)
		if setting.Switch() {
			flag.NoOptDefVal = "true"
		}
	}
	f.StringVar(&b.preset, "preset", "", "a network that people know: see above")
	f.BoolVar(&b.real, "real", false, "over sockets of this machine, in real time")
	f.StringVar(&b.sweep, "sweep", "", `grid of calls, such as "loss=0,0.05 rtt=20ms,50ms"`)
	f.IntVar(&b.seeds, "seeds", 1, "calls with different seeds, added up; with --sweep in each cell")
	f.BoolVar(&b.json, "json", false, "print the report as JSON; of a sweep, a line for each cell")
	f.StringVar(&b.html, "html", "", "write a page with plots to this file")
	return cmd
}

func presetHelp() string {
	var b strings.Builder
	for _, p := range bench.LinkPresets() {
		fmt.Fprintf(&b, "  %-10s %s: %s\n", p.Name, p.Help, p.Settings)
	}
	return b.String()
}

func traceHelp() string {
	var b strings.Builder
	for _, name := range netem.TraceNames() {
		fmt.Fprintf(&b, "  %-10s %s\n", name, netem.TraceHelp(name))
	}
	return b.String()
}

// linkFlag is a flag that is a setting of the call.
type linkFlag struct {
	cfg     *bench.LinkConfig
	setting bench.LinkSetting
}

func (f *linkFlag) Set(v string) error { return f.cfg.Set(f.setting.Name, v) }
func (f *linkFlag) Type() string       { return f.setting.Type }

// String is also asked of a zero value, for its default.
func (f *linkFlag) String() string {
	if f.cfg == nil {
		return ""
	}
	return f.cfg.Get(f.setting.Name)
}

// prepare checks the flags together. What was given by name has the last word over a preset.
func (b *benchLink) prepare(changed func(flag string) bool) (err error) {
	if b.preset != "" {
		var given [][2]string // in order: of a rate and a trace the latter counts
		for _, setting := range bench.LinkSettings() {
			if changed(setting.Name) {
				given = append(given, [2]string{setting.Name, b.cfg.Get(setting.Name)})
			}
		}
		if err := b.cfg.Preset(b.preset); err != nil {
			return misusef("--preset: %w", err)
		}
		for _, g := range given {
			if err := b.cfg.Set(g[0], g[1]); err != nil {
				return misusef("--%s: %w", g[0], err)
			}
		}
	}
	if b.sweep != "" {
		if b.axes, err = bench.ParseSweep(b.sweep); err != nil {
			return withHint(misusef("--sweep: %w", err), `axes stand apart by blanks, values by commas: --sweep "loss=0,0.05,0.1 rtt=20ms,50ms"`)
		}
	}
	if b.seeds < 1 {
		return misusef("--seeds must be at least 1, not %d", b.seeds)
	}
	if b.real && (b.sweep != "" || b.seeds > 1) {
		return withHint(misusef("--real runs one call, in real time"), "leave out --sweep and --seeds, or --real")
	}
	if b.real && b.cfg.Get("policy") != bench.DefaultPolicy {
		return withHint(misusef("--real can't have another --policy"), "leave --real out: virtual time runs the same protocol")
	}
	b.cfg.Series = b.html != ""
	if _, err := b.config().Cells(); err != nil {
		return misuse{err}
	}
	return nil
}

func (b *benchLink) config() *bench.SweepConfig {
	return &bench.SweepConfig{Base: b.cfg, Axes: b.axes, Seeds: b.seeds}
}

func (b *benchLink) run(ctx context.Context) error {
	var page *os.File
	if b.html != "" { // before the work, so that a wrong path is told at once
		var err error
		if page, err = os.OpenFile(b.html, os.O_CREATE|os.O_WRONLY, 0o644); err != nil { //nolint:gosec // a page to show to others
			return err
		}
	}
	began := time.Now()
	cells, err := b.measure(ctx)
	if err == nil {
		err = b.tell(cells, time.Since(began))
	}
	if page != nil {
		err = b.write(page, cells, err)
	}
	return err
}

// write makes the page in place of what was in the file, unless the work has failed.
func (b *benchLink) write(page *os.File, cells []*bench.SweepCell, failed error) error {
	if failed != nil {
		info, err := page.Stat()
		failed = joinErrors(joinErrors(failed, err), page.Close())
		if err == nil && info.Mode().IsRegular() && info.Size() == 0 {
			failed = joinErrors(failed, os.Remove(b.html))
		}
		return failed
	}
	var text bytes.Buffer
	err := bench.WriteHTML(&text, b.axes, cells)
	if err == nil {
		if info, serr := page.Stat(); serr == nil && info.Mode().IsRegular() {
			err = page.Truncate(0)
		}
	}
	if err == nil {
		_, err = page.Write(text.Bytes())
	}
	if err = joinErrors(err, page.Close()); err != nil {
		return err
	}
	fmt.Fprintf(b.s.err, "wrote %s\n", b.html)
	return nil
}

// measure makes the calls. With --json a sweep prints each cell as soon as it can.
func (b *benchLink) measure(ctx context.Context) ([]*bench.SweepCell, error) {
	bar := newProgress(b.s.err)
	defer bar.clear()
	if b.real {
		cfg := b.cfg
		cfg.Progress = func(share float64) { bar.show(share, "in real time") }
		rep, err := bench.RunRealLink(ctx, cfg)
		return []*bench.SweepCell{{Config: b.cfg, Report: rep}}, err
	}
	cfg := b.config()
	cfg.Base.Progress = func(share float64) { bar.show(share, "of the call") }
	cfg.Progress = func(done, all int) { bar.show(float64(done)/float64(all), fmt.Sprintf("%d of %d calls", done, all)) }
	if b.json && len(b.axes) > 0 {
		cfg.Cell = func(c *bench.SweepCell) {
			bar.clear()
			printCell(b.s.out, b.axes, c)
		}
	}
	return bench.RunSweep(ctx, *cfg)
}

// printCell prints a cell as a line of JSON: the settings that make it, and its report.
func printCell(w io.Writer, axes []bench.SweepAxis, c *bench.SweepCell) {
	cell := make(map[string]string)
	for i, a := range axes {
		cell[a.Name] = c.Values[i]
	}
	rep := *c.Report
	rep.Series = nil // it is for the page
	line, err := json.Marshal(struct {
		Cell map[string]string `json:"cell,omitempty"`
		*bench.LinkReport
	}{cell, &rep})
	if err != nil {
		panic(err) // our own types
	}
	fmt.Fprintf(w, "%s\n", line)
}

// tell prints the results.
func (b *benchLink) tell(cells []*bench.SweepCell, took time.Duration) error {
	switch {
	case b.json && len(b.axes) > 0: // done already
	case b.json:
		printCell(b.s.out, nil, cells[0])
	case len(b.axes) > 0:
		return printSweep(b.s.out, b.axes, cells, b.seeds, took)
	default:
		printLink(b.s.out, &cells[0].Config, cells[0].Report, took)
	}
	return nil
}
