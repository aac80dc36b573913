package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := command(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// command is the program: 0 done, 1 failed, 2 misused.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(stderr, "compare: error: %v\n", err)
		return 2
	}
	if err := o.run(ctx, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "compare: error: %v\n", err)
		return 1
	}
	return 0
}

// options are the command line's.
type options struct {
	config
	losses  []float64
	peers   []peer
	asJSON  bool
	require bool
}

const (
	warmup        = 3 * time.Second  // estimators and congestion controls find their level
	quickDuration = 10 * time.Second // --quick
	requireFirst  = "duet-first"
)

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{config: config{warmup: warmup}}
	f := flag.NewFlagSet("compare", flag.ContinueOnError)
	f.SetOutput(stderr)
	loss := f.String("loss", "0,5,10,20", "percent of datagrams lost on each hop in each direction, one or several")
	names := f.String("peers", "duet,srt,webrtc,quic-datagram,quic-stream,kcp", "which to run, also webrtc-stock and kcp-stock")
	f.DurationVar(&o.duration, "duration", time.Minute, "measured time of each peer at each loss")
	f.DurationVar(&o.deadline, "deadline", 200*time.Millisecond, "capture to playout")
	f.DurationVar(&o.rtt, "rtt", 50*time.Millisecond, "round trip of each hop")
	f.Uint64Var(&o.seed, "seed", 1, "of the losses and of the media")
	quick := f.Bool("quick", false, "measure "+quickDuration.String()+" of each")
	require := f.String("require", "", requireFirst+": fail if another peer has more whole frames within the deadline")
	f.BoolVar(&o.asJSON, "json", false, "print the results as JSON")
	srt := f.String("srt-latency", defaultSRT, "SRT: latency of each hop")
	f.DurationVar(&o.nack, "nack", defaultNACK, "WebRTC: time between requests for what is missing")
	fec := f.String("kcp-fec", defaultKCP, "KCP: data and parity shards, 0,0 for none")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if *quick {
		o.duration = quickDuration
	}
	o.require = *require == requireFirst
	var errs []error
	if *require != "" && !o.require {
		errs = append(errs, fmt.Errorf("--require takes %s, not %q", requireFirst, *require))
	}
	if f.NArg() > 0 {
		errs = append(errs, fmt.Errorf("no arguments are taken, but %q is there", f.Arg(0)))
	}
	if o.duration <= 0 || o.deadline <= 0 || o.rtt < 0 || o.nack <= 0 || o.duration > time.Hour || o.deadline > time.Minute {
		errs = append(errs, errors.New("times must be positive, --duration at most an hour, --deadline at most a minute"))
	}
	errs = append(errs, o.parseLosses(*loss), o.parsePeers(*names), pair(*srt, &o.srtLatency, time.ParseDuration), pair(*fec, &o.kcpFEC, strconv.Atoi))
	return o, errors.Join(errs...)
}

// What proved best for a deadline of 200 ms; README.md has what else was tried.
const (
	defaultSRT  = "60ms,65ms"
	defaultNACK = 5 * time.Millisecond
	defaultKCP  = "5,5"
)

func (o *options) parseLosses(list string) error {
	for text := range strings.SplitSeq(list, ",") {
		p, err := strconv.ParseFloat(text, 64)
		if err != nil || p < 0 || p > 90 {
			return fmt.Errorf("--loss takes percents from 0 to 90, not %q", text)
		}
		o.losses = append(o.losses, p/100)
	}
	return nil
}

func (o *options) parsePeers(list string) error {
	known := make(map[string]peer)
	for _, p := range peers() {
		known[p.name()] = p
	}
	for name := range strings.SplitSeq(list, ",") {
		switch p := known[name]; {
		case p != nil:
			o.peers = append(o.peers, p)
		case name == "rtmp":
			return errors.New("rtmp runs over TCP, which a proxy of UDP datagrams cannot carry: see README.md")
		default:
			return fmt.Errorf("there is no peer %q", name)
		}
	}
	return nil
}

// pair reads two values with a comma between.
func pair[T any](text string, out *[2]T, read func(string) (T, error)) error {
	a, b, _ := strings.Cut(text, ",")
	var errA, errB error
	out[0], errA = read(a)
	out[1], errB = read(b)
	return errors.Join(errA, errB)
}

// run measures every peer at every loss, one after the other, as they would take each other's processor.
func (o *options) run(ctx context.Context, stdout, stderr io.Writer) error {
	if !o.asJSON {
		printSettings(stdout, &o.config, o.peers)
	}
	var all []result
	var ahead []string
	for _, loss := range o.losses {
		cfg := o.config
		cfg.loss = loss
		var row []result
		for _, p := range o.peers {
			fmt.Fprintf(stderr, "%s at loss %g %%: %v\n", p.name(), 100*loss, cfg.duration)
			row = append(row, run(ctx, p, &cfg))
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		all = append(all, row...)
		if o.require {
			ahead = append(ahead, duetFirst(row)...)
		}
		if o.asJSON {
			continue
		}
		if err := printTable(stdout, &cfg, row); err != nil {
			return err
		}
	}
	if o.asJSON {
		if err := json.NewEncoder(stdout).Encode(o.report(all)); err != nil {
			return err
		}
	}
	if len(ahead) > 0 {
		return errors.New("duet is not first: " + strings.Join(ahead, "; "))
	}
	return nil
}

// report is what --json prints: what was the same for all, and a cell for each peer at each loss.
type report struct {
	LimitsMS   [len(limits)]int64 `json:"limits_ms"` // whole_within has a share for each
	DeadlineMS int64              `json:"deadline_ms"`
	RTTMS      float64            `json:"rtt_ms"` // of a hop
	Seconds    float64            `json:"seconds"`
	Cells      []result           `json:"cells"`
}

func (o *options) report(cells []result) report {
	r := report{
		DeadlineMS: o.deadline.Milliseconds(), RTTMS: o.rtt.Seconds() * 1000, Seconds: o.duration.Seconds(), Cells: cells,
	}
	for i, limit := range limits {
		r.LimitsMS[i] = limit.Milliseconds()
	}
	return r
}
