package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/cobra"

	"duet/bench"
)

func newBenchWire(s streams) *cobra.Command {
	w := benchWire{s: s}
	var links linkFlags
	var subnet string
	cmd := &cobra.Command{
		Use:   "wire",
		Short: "Put a bad network around any program, in real time",
		Long: `Make a network namespace and put emulated links between it and the rest of this machine, for every protocol and any program: a browser, ffmpeg,
a player of somebody else's. Linux, as root, with iproute2; its kernel needs no netem.

  duet serve --udp 0.0.0.0:7000
  sudo duet bench wire --delay 25ms --loss 5%
  sudo ip netns exec wire duet push "$(duet url push live/a --host 10.203.0.1:7000)" --input clip.flv

Up is from the namespace to the machine. Settings, changes and traces are those of "duet bench proxy". Times count from the start.

It ends with --duration or when it is interrupted, removes the namespace, and then tells what became of the packets.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := links.into(cmd, &w.links); err != nil {
				return err
			}
			if err := w.prepare(subnet); err != nil {
				return err
			}
			return w.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	links.add(cmd, &w.links)
	f.StringVar(&w.cfg.Name, "name", "wire", "of the namespace")
	f.StringVar(&subnet, "subnet", "10.203.0.0/30", "of the two ends; the machine has its first address, the namespace the second")
	f.DurationVar(&w.every, "every", defaultProxyEvery, "how often a line tells how it goes, on standard error; 0s: never")
	f.DurationVar(&w.duration, "duration", 0, "how long to carry packets; 0s: until interrupted")
	f.BoolVar(&w.json, "json", false, "print the summary as JSON")
	return cmd
}

// benchWire is the command while it runs.
type benchWire struct {
	s        streams
	cfg      bench.WireConfig
	links    bench.ProxyLinks
	every    time.Duration
	duration time.Duration
	json     bool
}

// prepare checks the flags together.
func (b *benchWire) prepare(subnet string) (err error) {
	switch {
	case b.every != 0 && b.every < minProxyEvery:
		return misusef("--every must be 0s or at least %v, not %v", minProxyEvery, b.every)
	case b.duration < 0:
		return misusef("--duration must not be negative")
	}
	if b.cfg.Subnet, err = netip.ParsePrefix(subnet); err != nil {
		return misusef("--subnet: want one such as 10.203.0.0/30, not %q", subnet)
	}
	if err := b.cfg.Check(); err != nil {
		return misuse{err}
	}
	if b.cfg.Up, b.cfg.Down, err = b.links.Configs(); err != nil {
		return misuse{err}
	}
	return nil
}

// run carries packets until it is told to end.
func (b *benchWire) run(ctx context.Context) error {
	if b.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.duration)
		defer cancel()
	}
	w, err := bench.StartWire(ctx, b.cfg)
	if errors.Is(err, errors.ErrUnsupported) {
		return withHint(err, `on this system "duet bench proxy" carries UDP`)
	}
	if err != nil {
		return err
	}
	if !b.json {
		fmt.Fprintf(b.s.out, "wire  this machine is %v, the namespace %v: ip netns exec %s COMMAND\n", w.Near, w.Far, b.cfg.Name)
	}
	watchLinks(ctx, b.s.err, b.every, w)
	err = w.Close()
	r := bench.ReportProxy(bench.ProxyStats{}, w.Stats(), time.Since(w.Began()))
	if b.json {
		return errors.Join(err, json.NewEncoder(b.s.out).Encode(r))
	}
	fmt.Fprintf(b.s.out, "%.1f s\n\n", r.Seconds)
	return errors.Join(err, printLinks(b.s.out, &r))
}
