package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"duet/bench"
	"duet/bench/netem"
)

const (
	defaultProxyEvery = 5 * time.Second
	minProxyEvery     = 10 * time.Millisecond
)

func newBenchProxy(s streams) *cobra.Command {
	p := benchProxy{s: s}
	var links linkFlags
	cmd := &cobra.Command{
		Use:   "proxy --to HOST:PORT",
		Short: "Put a bad network between two programs, in real time",
		Long: `Carry UDP datagrams between clients and a server over emulated links, in real time: delay, jitter, loss, a bottleneck, outages. Neither
side needs to know. Every client has links of its own. The same seed loses the same datagrams of each flow, if it sends the same.

  duet serve --udp 127.0.0.1:7000
  duet bench proxy --listen 127.0.0.1:9000 --to 127.0.0.1:7000 --delay 25ms --loss 5% --rate 2M
  duet push "$(duet url push live/a --host 127.0.0.1:9000)" --input clip.flv

Settings hold for both directions. --up and --down are settings of one: --down "rate=500k loss=10%". Changes come by themselves:
--at "10s rate=300k" --at "20s up loss=0.3", what is not named stays; --outage 30s,1s cuts both directions for a second, --outage 30s,1s,up
one. Times count from the first datagram of the first client.

Traces, beside files in mahimahi's format:
` + proxyTraceHelp() + `
It ends with --duration or when it is interrupted, and then tells what became of the datagrams.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := links.into(cmd, &p.links); err != nil {
				return err
			}
			if err := p.prepare(); err != nil {
				return err
			}
			return p.run(cmd.Context())
		},
	}
	f := cmd.Flags()
	f.StringVar(&p.cfg.Listen, "listen", "127.0.0.1:0", "address for clients; port 0 picks a free one")
	f.StringVar(&p.cfg.Target, "to", "", "HOST:PORT that their datagrams go to")
	links.add(cmd, &p.links)
	f.IntVar(&p.cfg.MaxFlows, "clients", bench.DefaultMaxFlows, "clients at once; one more takes the place of the one that was silent longest")
	f.DurationVar(&p.every, "every", defaultProxyEvery, "how often a line tells how it goes, on standard error; 0s: never")
	f.DurationVar(&p.duration, "duration", 0, "how long to carry datagrams; 0s: until interrupted")
	f.BoolVar(&p.json, "json", false, "print the summary as JSON")
	return cmd
}

// linkFlags are what people say of the two links of a proxy or a wire.
type linkFlags struct{ up, down string }

func (l *linkFlags) add(cmd *cobra.Command, to *bench.ProxyLinks) {
	f := cmd.Flags()
	for _, setting := range bench.ProxySettings() {
		if setting.Name == bench.SettingCut {
			continue // for one direction or a while, not for all and always
		}
		flag := f.VarPF(&proxyFlag{pairs: &to.Both, setting: setting}, setting.Name, "", setting.Help)
		if setting.Switch() {
			flag.NoOptDefVal = "true"
		}
	}
	f.StringVar(&l.up, "up", "", `settings from clients to the server alone, such as "rate=500k loss=5%"`)
	f.StringVar(&l.down, "down", "", "settings from the server to clients alone")
	f.StringArrayVar(&to.At, "at", nil, `change on the way, such as "10s rate=500k" or "10s up loss=5%"; may be repeated`)
	f.StringArrayVar(&to.Outages, "outage", nil, "AT,FOR or AT,FOR,up or AT,FOR,down: a time without a network; may be repeated")
	f.Uint64Var(&to.Seed, "seed", 1, "of everything that is drawn")
}

// into completes what the flags have said.
func (l *linkFlags) into(cmd *cobra.Command, to *bench.ProxyLinks) error {
	for _, pair := range [][2]string{{"rate", "trace"}, {"queue", "queue-bytes"}, {"burst", "burst-time"}} {
		if cmd.Flags().Changed(pair[0]) && cmd.Flags().Changed(pair[1]) {
			return misusef("--%s and --%s are two ways to say the same: give one", pair[0], pair[1])
		}
	}
	to.Up, to.Down = strings.Fields(l.up), strings.Fields(l.down)
	return nil
}

func proxyTraceHelp() string {
	var b strings.Builder
	for _, name := range netem.TraceNames() {
		fmt.Fprintf(&b, "  %-6s %s\n", name, netem.TraceHelp(name))
	}
	return b.String()
}

// proxyFlag is a flag that is a setting of both directions.
type proxyFlag struct {
	pairs   *[]string
	setting bench.ProxySetting
	value   string
}

func (f *proxyFlag) Type() string   { return f.setting.Type }
func (f *proxyFlag) String() string { return f.value }

func (f *proxyFlag) Set(v string) error {
	pair := f.setting.Name + "=" + v
	links := bench.ProxyLinks{Both: []string{pair}}
	if _, _, err := links.Configs(); err != nil {
		return errors.New(strings.TrimPrefix(err.Error(), f.setting.Name+": ")) // cobra names the flag
	}
	f.value = v
	*f.pairs = append(*f.pairs, pair)
	return nil
}

// benchProxy is the command while it runs.
type benchProxy struct {
	s        streams
	cfg      bench.ProxyConfig
	links    bench.ProxyLinks
	every    time.Duration
	duration time.Duration
	json     bool
}

// prepare checks the flags together.
func (b *benchProxy) prepare() (err error) {
	if b.cfg.Target == "" {
		return withHint(misusef("--to is missing: the address that clients' datagrams go to"), "duet bench proxy --listen 127.0.0.1:9000 --to 127.0.0.1:7000 --loss 5%%")
	}
	for _, addr := range []struct{ flag, value string }{{"to", b.cfg.Target}, {"listen", b.cfg.Listen}} {
		if _, _, err := net.SplitHostPort(addr.value); err != nil {
			return misusef("--%s: want HOST:PORT, not %q", addr.flag, addr.value)
		}
	}
	switch {
	case b.every != 0 && b.every < minProxyEvery:
		return misusef("--every must be 0s or at least %v, not %v", minProxyEvery, b.every)
	case b.duration < 0:
		return misusef("--duration must not be negative")
	case b.cfg.MaxFlows < 1:
		return misusef("--clients must be at least 1, not %d", b.cfg.MaxFlows)
	}
	if b.cfg.Up, b.cfg.Down, err = b.links.Configs(); err != nil {
		return misuse{err}
	}
	return nil
}

// run carries datagrams until it is told to end.
func (b *benchProxy) run(ctx context.Context) error {
	if b.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, b.duration)
		defer cancel()
	}
	p, err := bench.StartProxy(ctx, b.cfg)
	if err != nil {
		return err
	}
	defer p.Close()
	if !b.json {
		fmt.Fprintf(b.s.out, "proxy  %s to %s\n", p.Addr(), b.cfg.Target)
	}
	watchLinks(ctx, b.s.err, b.every, p)
	p.Close() // after which nothing changes any more
	took := time.Duration(0)
	if began := p.Began(); !began.IsZero() {
		took = time.Since(began)
	}
	r := bench.ReportProxy(bench.ProxyStats{}, p.Stats(), took)
	if b.json {
		return json.NewEncoder(b.s.out).Encode(r)
	}
	return printProxy(b.s.out, &r)
}

// carrying is a proxy or a wire.
type carrying interface {
	Began() time.Time
	Stats() bench.ProxyStats
}

// watchLinks tells how it goes until ctx ends.
func watchLinks(ctx context.Context, to io.Writer, every time.Duration, p carrying) {
	if every == 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	var earlier bench.ProxyStats
	last := time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		began := p.Began()
		if began.IsZero() {
			last = time.Now()
			continue // nobody came yet
		}
		if last.Before(began) {
			last = began
		}
		now, s := time.Now(), p.Stats()
		r := bench.ReportProxy(earlier, s, now.Sub(last))
		earlier, last = s, now
		line := fmt.Sprintf("%7.1fs  up %s  |  down %s", now.Sub(began).Seconds(), proxyLine(&r.Up), proxyLine(&r.Down))
		if s.Opened > 0 {
			line += fmt.Sprintf("  |  %s", plural(s.Flows, "client", "clients"))
		}
		fmt.Fprintln(to, line)
	}
}

func proxyLine(d *bench.ProxyDirection) string {
	line := fmt.Sprintf("%6.0f of %6.0f kbit/s, %5.1f %% gone", d.Rate/1e3, d.SentRate/1e3, 100*d.Gone)
	if d.Queue.P95 > 0 {
		line += fmt.Sprintf(", queue p50 %.0f p95 %.0f ms", d.Queue.P50, d.Queue.P95)
	}
	return line
}

func printProxy(w io.Writer, r *bench.ProxyReport) error {
	if r.Flows == 0 {
		_, err := fmt.Fprintln(w, "no client came")
		return err
	}
	fmt.Fprintf(w, "%s in %.1f s", plural(r.Flows, "client", "clients"), r.Seconds)
	if r.Evicted > 0 {
		fmt.Fprintf(w, ", of whom %d had to give way", r.Evicted)
	}
	fmt.Fprint(w, "\n\n")
	return printLinks(w, r)
}

func printLinks(w io.Writer, r *bench.ProxyReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, value func(d *bench.ProxyDirection) string) {
		fmt.Fprintf(t, "%s\t%s\t%s\t\n", name, value(&r.Up), value(&r.Down))
	}
	count := func(name string, always bool, value func(d *bench.ProxyDirection) uint64) {
		if always || value(&r.Up) > 0 || value(&r.Down) > 0 {
			row(name, func(d *bench.ProxyDirection) string { return fmt.Sprint(value(d)) })
		}
	}
	fmt.Fprintln(t, "\tup\tdown\t")
	count("sent", true, func(d *bench.ProxyDirection) uint64 { return d.Sent })
	count("delivered", true, func(d *bench.ProxyDirection) uint64 { return d.Delivered })
	count("duplicated", false, func(d *bench.ProxyDirection) uint64 { return d.Duplicated })
	count("lost", true, func(d *bench.ProxyDirection) uint64 { return d.Lost })
	count("dropped: queue", true, func(d *bench.ProxyDirection) uint64 { return d.QueueDropped })
	count("dropped: outage", false, func(d *bench.ProxyDirection) uint64 { return d.DownDropped })
	count("dropped: limit", false, func(d *bench.ProxyDirection) uint64 { return d.LimitDropped })
	count("marked", false, func(d *bench.ProxyDirection) uint64 { return d.Marked })
	row("gone", func(d *bench.ProxyDirection) string { return fmt.Sprintf("%.2f %%", 100*d.Gone) })
	row("sent kbit/s", func(d *bench.ProxyDirection) string { return fmt.Sprintf("%.0f", d.SentRate/1e3) })
	row("delivered kbit/s", func(d *bench.ProxyDirection) string { return fmt.Sprintf("%.0f", d.Rate/1e3) })
	row("queue p50 ms", func(d *bench.ProxyDirection) string { return fmt.Sprintf("%.1f", d.Queue.P50) })
	row("queue p95 ms", func(d *bench.ProxyDirection) string { return fmt.Sprintf("%.1f", d.Queue.P95) })
	return t.Flush()
}
