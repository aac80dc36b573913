package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"duet/bench/load"
	"duet/record"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/signaling/desk"
)

type benchLoad struct {
	cfg     load.Config
	server  string // data directory of a running server
	admin   string // its admin port
	findMax bool
	record  bool
	child   int // calls to record: this process is the server
	floor   bool
	json    bool
	profile string
	loops   int
}

// What --find-max holds the load to, and how it looks.
const (
	findDelay   = 20 * time.Millisecond // relay delay, p99
	findLoss    = 1e-3                  // of frames: lost, or late
	findTries   = 3                     // at the same load: one bad one may be the machine's
	findFirst   = 50                    // calls
	findStep    = 1.25
	findMost    = 4000
	childStart  = 10 * time.Second
	childEnd    = 5 * time.Second
	defaultRate = 1_000_000
	// defaultCalls is how many there are unless told otherwise.
	defaultCalls = 10
)

// serveAlone is a server without anything but the relay and its admin port, on free ports.
var serveAlone = []string{"serve", "--rtmp", "", "--http", "", "--webtransport", "", "--udp", "127.0.0.1:0", "--admin", "127.0.0.1:0"}

func newBenchLoad(s streams) *cobra.Command {
	var b benchLoad
	cmd := &cobra.Command{
		Use:   "load",
		Short: "Put calls by the hundred on a server and measure what they cost it",
		Long: `Put two-party calls, or one stream with many players, on a server and measure its CPU time, its delay, and what is lost. Without --data the server is one that this
command starts, on loopback, so that its CPU time is apart from the load's; with --data DIR it is the one that runs with that data directory on this machine.

  delay     of the relay: from a packet's arrival in the kernel to the send call; what the pacer holds back left out
  frames    from their capture to their last packet's arrival at the player
  CPU       of the server, per second of one outgoing stream, and per datagram sent
  floor     that CPU over what an ideal loop needs for the same traffic in the same run (--floor): receive, open once, seal for each player, send`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntVar(&b.cfg.Calls, "calls", 0, "two-party calls (default 10, if --fanout is not given)")
	f.IntVar(&b.cfg.Fanout, "fanout", 0, "players of one stream, instead of calls")
	f.IntVar(&b.cfg.Shape.Bitrate, "bitrate", defaultRate, "of each stream's video, bits per second")
	f.IntVar(&b.cfg.Shape.FPS, "fps", 30, "frames per second")
	f.IntVar(&b.cfg.Shape.Audio, "audio", 48_000, "of each stream's audio, bits per second, 0 for none")
	f.DurationVar(&b.cfg.Duration, "duration", 10*time.Second, "how long is measured")
	f.DurationVar(&b.cfg.Ramp, "ramp", 0, "over which the sessions begin (default: as fast as a relay takes them)")
	f.DurationVar(&b.cfg.Late, "late", load.DefaultLate, "after its capture a frame is late")
	f.IntVar(&b.cfg.Workers, "workers", 1, "threads that make the load")
	f.IntVar(&b.loops, "loops", 1, "threads of the server that is started: the load has the other one of two processors")
	f.StringVar(&b.server, "data", "", "data directory of a running server, instead of starting one")
	f.StringVar(&b.admin, "admin", defaultAdmin, "admin port of that server")
	f.BoolVar(&b.findMax, "find-max", false, fmt.Sprintf("raise --calls until p99 delay is more than %v, or more than %g %% of the frames are lost or late", findDelay, 100*findLoss))
	f.BoolVar(&b.floor, "floor", false, "run the ideal loop under the same load too, and tell the ratio")
	f.BoolVar(&b.record, "record", false, "measure it twice: without, and with every call recorded, synced to disk once a second")
	f.IntVar(&b.child, "child", -1, "record so many calls: be the server")
	_ = f.MarkHidden("child")
	f.StringVar(&b.profile, "profile", "", "file for a CPU profile of the server, taken while it is measured")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	return cmd
}

// loadReport is what came of one load.
type loadReport struct {
	Calls       int       `json:"calls"`
	Fanout      int       `json:"fanout"`
	Bitrate     int       `json:"bitrate"`
	FPS         int       `json:"fps"`
	Audio       int       `json:"audio"`
	Recorded    float64   `json:"recorded_mib,omitempty"` // on disk by the end of the measurement
	Seconds     float64   `json:"seconds"`
	Sessions    int       `json:"sessions"`
	OutPackets  float64   `json:"out_packets_per_s"` // datagrams, of every kind
	InPackets   float64   `json:"in_packets_per_s"`
	OutMbit     float64   `json:"out_mbit_per_s"`
	CPUStream   float64   `json:"cpu_ms_per_stream_s"`
	CPUPacket   float64   `json:"cpu_ns_per_packet"` // per datagram sent
	FloorPacket float64   `json:"floor_cpu_ns_per_packet,omitempty"`
	FloorRatio  float64   `json:"floor_ratio,omitempty"` // of CPU for each media packet sent
	CPU         float64   `json:"cpu_percent"`
	LoadCPU     float64   `json:"load_cpu_percent"` // of the generator: at 100 a worker it is what was measured
	RSS         float64   `json:"rss_mib"`
	Wakeups     float64   `json:"wakeups_per_s"`
	Delay       loadTimes `json:"delay_ms"`       // of the relay
	FrameDelay  loadTimes `json:"frame_delay_ms"` // capture to arrival
	Frames      uint64    `json:"frames"`
	Lost        uint64    `json:"frames_lost"`
	Late        uint64    `json:"frames_late"`
	Refused     uint64    `json:"frames_refused"` // of the lost: a pusher's queue was full
	Gone        int       `json:"sessions_lost"`
	Retransmits uint64    `json:"retransmits"`
	Repairs     uint64    `json:"repairs"`
	Skips       uint64    `json:"player_skips"`
	KernelDrops uint64    `json:"kernel_drops"`
	LoadDrops   uint64    `json:"load_kernel_drops"` // in the generator: then it is the generator that was measured
}

type loadTimes struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func timesOf(h *relay.Histogram) loadTimes {
	ms := func(q float64) float64 { return float64(h.Quantile(q)) / float64(time.Millisecond) }
	return loadTimes{ms(.5), ms(.95), ms(.99), ms(1)}
}

func (b *benchLoad) run(ctx context.Context, s streams) (err error) {
	if b.child >= 0 {
		return recordLoad(ctx, s, b.server, b.child)
	}
	if b.record && (b.cfg.Fanout > 0 || b.server != "" || b.findMax) {
		return misusef("--record is for --calls, on a server of its own")
	}
	if b.cfg.Calls == 0 && b.cfg.Fanout == 0 {
		b.cfg.Calls = defaultCalls
		if b.findMax {
			b.cfg.Calls = findFirst
		}
	}
	if b.findMax && b.cfg.Fanout > 0 {
		return misusef("--find-max raises the number of calls; it does not go with --fanout")
	}
	if b.cfg.Calls > 0 && b.cfg.Fanout > 0 {
		return misusef("--calls and --fanout are two kinds of load: give one")
	}
	if err := b.cfg.Check(); err != nil {
		return misuse{err}
	}
	bar := newProgress(s.err)
	defer bar.clear()
	var reports []loadReport
	if b.findMax {
		reports, err = b.find(ctx, bar)
	} else {
		var r loadReport
		r, err = b.once(ctx, bar, b.cfg)
		reports = append(reports, r)
		if b.record && err == nil {
			cfg := b.cfg
			cfg.Setup = clipSetup()
			r, err = b.once(ctx, bar, cfg)
			reports = append(reports, r)
		}
	}
	if err != nil {
		return err
	}
	bar.clear()
	if b.json {
		return json.NewEncoder(s.out).Encode(reports[len(reports)-1])
	}
	return printLoad(s.out, reports)
}

// once puts one load on.
func (b *benchLoad) once(ctx context.Context, bar *progress, cfg load.Config) (r loadReport, err error) {
	server := &child{data: b.server, admin: b.admin}
	if b.server == "" {
		args := append(slices.Clone(serveAlone), "--loops", strconv.Itoa(b.loops))
		if cfg.Setup != nil {
			args = []string{"bench", "load", "--child", strconv.Itoa(cfg.Calls)}
		}
		if server, err = startChild(ctx, args...); err != nil {
			return r, err
		}
		defer func() { err = joinErrors(err, server.stop()) }()
	}
	if err := server.aim(&cfg); err != nil {
		return r, err
	}
	admin := server.admin
	var samples []adminReport
	var own []time.Duration
	var profiled chan error
	cfg.Measure = func(ctx context.Context) error {
		if b.profile != "" && profiled == nil {
			profiled = make(chan error, 1)
			go func() { profiled <- takeProfile(ctx, admin, b.profile, cfg.Duration) }()
		}
		sample, err := askAdmin(ctx, admin)
		samples = append(samples, sample)
		own = append(own, processCPU("self"))
		return err
	}
	cfg.Progress = bar.show
	res, err := load.Run(ctx, cfg)
	if err != nil {
		return r, err
	}
	if profiled != nil {
		if err := <-profiled; err != nil {
			return r, err
		}
	}
	r = reportLoad(&cfg, &res, &samples[0], &samples[1])
	if cfg.Setup != nil {
		list, err := record.List(filepath.Join(server.data, recordDir))
		for i := range list {
			r.Recorded += float64(list[i].Size) / (1 << 20)
		}
		if err != nil || r.Recorded == 0 {
			return r, joinErrors(err, errors.New("nothing was recorded"))
		}
	}
	r.LoadCPU = float64(own[1]-own[0]) / 1e9 / res.Seconds * 100
	if b.floor {
		ideal, err := runIdeal(ctx, bar, &cfg)
		if err != nil {
			return r, err
		}
		r.FloorPacket = ideal.CPUPacket
		r.FloorRatio = r.CPU / 100 * 1e9 / (float64(res.Packets) / res.Seconds) / ideal.CPUPacket
	}
	return r, nil
}

// reportLoad makes the report of what the players saw and what the server counted in the same window.
func reportLoad(cfg *load.Config, res *load.Result, a, z *adminReport) loadReport {
	sent := float64(z.Relay.DatagramsOut - a.Relay.DatagramsOut)
	cpu := float64(z.CPU - a.CPU)
	delay := z.Relay.Delay.Since(&a.Relay.Delay)
	return loadReport{
		Calls: cfg.Calls, Fanout: cfg.Fanout, Bitrate: cfg.Shape.Bitrate, FPS: cfg.Shape.FPS, Audio: cfg.Shape.Audio,
		Seconds: res.Seconds, Sessions: res.Sessions,
		OutPackets:  sent / res.Seconds,
		InPackets:   float64(z.Relay.DatagramsIn-a.Relay.DatagramsIn) / res.Seconds,
		OutMbit:     float64(z.Relay.BytesOut-a.Relay.BytesOut) * 8 / 1e6 / res.Seconds,
		CPUStream:   cpu / 1e6 / res.Seconds / float64(cfg.Outgoing()),
		CPUPacket:   cpu / max(1, sent),
		CPU:         cpu / 1e9 / res.Seconds * 100,
		RSS:         float64(z.RSS) / (1 << 20),
		Wakeups:     float64(z.Relay.Wakeups-a.Relay.Wakeups) / res.Seconds,
		Delay:       timesOf(&delay),
		FrameDelay:  timesOf(&res.Delay),
		Frames:      res.Frames,
		Lost:        res.Lost,
		Late:        res.Late,
		Refused:     res.Refused,
		Gone:        res.Gone,
		Retransmits: z.Relay.Sent.Retransmits - a.Relay.Sent.Retransmits,
		Repairs:     z.Relay.Sent.RepairsSent - a.Relay.Sent.RepairsSent,
		Skips:       z.Relay.PlayerSkips - a.Relay.PlayerSkips,
		KernelDrops: z.Relay.KernelDrops - a.Relay.KernelDrops,
		LoadDrops:   res.Drops,
	}
}

// holds reports whether a load was carried well.
func (r *loadReport) holds() bool {
	bad := float64(r.Lost + r.Late)
	return r.Frames > 0 && r.Delay.P99 <= float64(findDelay)/float64(time.Millisecond) && bad <= findLoss*float64(r.Frames) && r.Gone == 0
}

// find raises the number of calls until it is too much, then halves the last step. The last report is of the most that was carried.
func (b *benchLoad) find(ctx context.Context, bar *progress) ([]loadReport, error) {
	var reports []loadReport
	good, bad := 0, findMost+1
	var best loadReport
	for calls := b.cfg.Calls; calls < bad && float64(bad-good) > max(1, float64(good)*(findStep-1)/4); {
		cfg := b.cfg
		cfg.Calls = calls
		r, err := b.best(ctx, bar, cfg)
		if err != nil {
			return nil, err
		}
		reports = append(reports, r)
		if r.holds() {
			good, best = calls, r
		} else {
			bad = calls
		}
		if bad <= findMost {
			calls = (good + bad) / 2
		} else {
			calls = min(findMost, int(float64(calls)*findStep))
		}
		if calls == good {
			break
		}
	}
	if good == 0 {
		worst := &reports[len(reports)-1]
		return nil, withHint(fmt.Errorf("not even %d calls were carried: delay p99 %.1f ms, %d of %d frames lost, %d late", worst.Calls, worst.Delay.P99, worst.Lost, worst.Frames, worst.Late),
			"what else does this machine do? --calls N begins with fewer")
	}
	return append(reports, best), nil
}

// best tries a load until it is carried, findTries times at most.
func (b *benchLoad) best(ctx context.Context, bar *progress, cfg load.Config) (r loadReport, err error) {
	for range findTries {
		r, err = b.once(ctx, bar, cfg)
		switch {
		case errors.Is(err, load.ErrNotCarried):
			r = loadReport{Calls: cfg.Calls, Sessions: cfg.Outgoing() * 2, Gone: 1}
		case err != nil || r.holds():
			return r, err
		}
	}
	return r, nil
}

func printLoad(w io.Writer, reports []loadReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "load\tout/s\tMbit/s\tCPU\tload's\tms/stream-s\tns/datagram\tfloor\tRSS\tdelay p50\tp95\tp99\tmax\tframes p99\tlost\tlate\tkernel drops\t")
	for i := range reports {
		r := &reports[i]
		what := fmt.Sprintf("%d calls", r.Calls)
		if r.Fanout > 0 {
			what = fmt.Sprintf("1 to %d", r.Fanout)
		}
		if r.Recorded > 0 {
			what += fmt.Sprintf(", recorded (%.0f MiB)", r.Recorded)
		}
		floor := "-"
		if r.FloorRatio > 0 {
			floor = fmt.Sprintf("%.2f ×", r.FloorRatio)
		}
		fmt.Fprintf(t, "%s\t%.0f\t%.1f\t%.1f %%\t%.1f %%\t%.3f\t%.0f\t%s\t%.0f MiB\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f ms\t%d\t%d\t%d\t\n", what, r.OutPackets, r.OutMbit, r.CPU, r.LoadCPU, r.CPUStream,
			r.CPUPacket, floor, r.RSS, r.Delay.P50, r.Delay.P95, r.Delay.P99, r.Delay.Max, r.FrameDelay.P99, r.Lost, r.Late, r.KernelDrops)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	last := &reports[len(reports)-1]
	if last.LoadDrops > 0 {
		fmt.Fprintf(w, "\nThe generator was too slow for %d datagrams: more --workers, or less load.\n", last.LoadDrops)
	}
	return nil
}

// child is a server on this machine; with cmd one that this command runs beside itself.
type child struct {
	cmd   *exec.Cmd
	data  string
	admin string
	said  *strings.Builder // on stderr
}

// aim fills in where the server is and how to get in.
func (c *child) aim(cfg *load.Config) error {
	sec, err := openSecrets(c.data, false)
	if err != nil {
		return err
	}
	at, err := loadAddresses(c.data)
	if err != nil {
		return err
	}
	if at == nil {
		return withHint(fmt.Errorf("no server runs with %s", c.data), "start one: duet serve --data %s", c.data)
	}
	if cfg.Server, err = netip.ParseAddrPort(at.UDP); err != nil {
		return withHint(fmt.Errorf("the server is at %q: the load needs its address", at.UDP), "without --advertise a server tells one")
	}
	cfg.Key, cfg.Mint = sec.key.Public(), sec.tokens.Mint
	return nil
}

// startChild starts a server on free ports of loopback, relay and admin port alone. args are without --data.
func startChild(ctx context.Context, args ...string) (*child, error) {
	dir, err := os.MkdirTemp("", "duet-load-")
	if err != nil {
		return nil, err
	}
	c := &child{data: filepath.Join(dir, "data"), said: &strings.Builder{}}
	if err := c.start(ctx, slices.Concat(args, []string{"--data", c.data})); err != nil {
		return nil, joinErrors(err, c.stop())
	}
	return c, nil
}

func (c *child) start(ctx context.Context, args []string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	c.cmd = exec.CommandContext(ctx, self, args...) // #nosec G204 -- this program
	c.cmd.Cancel = func() error { return c.cmd.Process.Signal(os.Interrupt) }
	c.cmd.WaitDelay = childEnd
	c.cmd.Stderr = c.said
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := c.cmd.Start(); err != nil {
		return err
	}
	found := make(chan string, 1)
	go func() {
		defer close(found)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if f := strings.Fields(lines.Text()); len(f) >= 2 && f[0] == "admin" {
				found <- f[1]
			}
		}
	}()
	timeout := time.NewTimer(childStart)
	defer timeout.Stop()
	select {
	case c.admin = <-found:
	case <-timeout.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	if c.admin == "" {
		return errors.New("the server did not start")
	}
	return nil
}

// stop ends the server and removes its data.
func (c *child) stop() error {
	var err error
	if c.cmd != nil && c.cmd.Process != nil {
		_ = c.cmd.Process.Signal(os.Interrupt)
		if err = c.cmd.Wait(); err != nil {
			err = fmt.Errorf("the server ended with %w: %s", err, oneLine(c.said.String()))
		}
	}
	return joinErrors(err, os.RemoveAll(filepath.Dir(c.data)))
}

// recordLoad is a server that records the first calls of a load.
func recordLoad(ctx context.Context, s streams, data string, calls int) error {
	srv, err := newServer(serverConfig{data: data, udp: "127.0.0.1:0", admin: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	list := recordOrders{Seq: 1}
	for i := range calls {
		o := recordOrder{Call: fmt.Sprintf("load%d", i), Kind: "queue", Policy: desk.RecordAlways}
		for side := range 2 {
			name := load.StreamName(load.DefaultStream, i, side)
			o.Streams = append(o.Streams, record.Stream{Name: name, User: name})
		}
		list.Orders = append(list.Orders, o)
	}
	srv.keeper.follow(list)
	fmt.Fprintf(s.out, "admin  %s\n", srv.admin.ln.Addr())
	return srv.serve(ctx)
}

// clipSetup are the configurations of the clip's decoders.
func clipSetup() (list []rtmpchunk.Message) {
	for r := rtmpchunk.NewReader(bytes.NewReader(clip)); ; {
		m, err := r.Read()
		if err != nil {
			return list
		}
		if rtmpchunk.Classify(m).Packet == rtmpchunk.PacketSequenceStart {
			m.Timestamp = 0
			list = append(list, m)
		}
	}
}

// takeProfile has the server profile itself.
func takeProfile(ctx context.Context, admin, file string, d time.Duration) (err error) {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, max(1, int(d.Seconds())-1))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("the server takes no profile: %s", res.Status)
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, res.Body)
	return joinErrors(err, f.Close())
}
