package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"duet/signaling"
	"duet/signaling/auth"
	party "duet/signaling/client"
	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

type benchSignaling struct {
	calls    []int
	duration time.Duration
	data     string
	json     bool
}

func newBenchSignaling(s streams) *cobra.Command {
	var b benchSignaling
	cmd := &cobra.Command{
		Use:   "signaling",
		Short: "Set calls up and tear them down, as many as go, and compare with what the disk can do",
		Long: `Set up calls and tear them down over real sockets, at several numbers of calls at once, with every entry of the log synced to disk, beside the rate at which
512 bytes can be written and synced in the same directory. The relay is simulated: what gets a push or play URL is taken to push or play at once.

  set-ups     calls from request to connected, and hung up, a second
  connected   from the agent's acceptance to connected
  hang-up     from the caller's hang-up to the agent's being told
  floor       set-ups over what the disk could do if each of their writes had a sync of its own
  transition  from a command to its being on disk, at 50 a second beside nothing else`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return b.run(cmd.Context(), s) },
	}
	f := cmd.Flags()
	f.IntSliceVar(&b.calls, "calls", []int{1, 100, 1000}, "numbers of calls at once")
	f.DurationVar(&b.duration, "duration", 5*time.Second, "how long each is measured")
	f.StringVar(&b.data, "data", "", "directory for the log, on the disk that is meant (default: a temporary one)")
	f.BoolVar(&b.json, "json", false, "print the report as JSON")
	return cmd
}

// signalingReport is what came of it.
type signalingReport struct {
	Fsyncs     float64        `json:"fsyncs"`        // a second
	Transition [2]float64     `json:"transition_ms"` // p50, p99
	Rows       []signalingRow `json:"rows"`
}

type signalingRow struct {
	Calls     int     `json:"calls"`   // at once
	SetUps    float64 `json:"set_ups"` // a second
	P50       float64 `json:"connected_p50_ms"`
	P99       float64 `json:"connected_p99_ms"`
	HangUp    float64 `json:"hangup_p99_ms"`
	Events    float64 `json:"writes"`  // that a set-up and its end need: events of the log
	Entries   float64 `json:"entries"` // of the log that it took: several events share one
	Floor     float64 `json:"floor"`   // set-ups over fsyncs by writes
	CPU       float64 `json:"cpu_ms"`  // of a set-up, clients and all
	MemoryMiB float64 `json:"memory_mib"`
}

func (b *benchSignaling) run(ctx context.Context, s streams) (err error) {
	dir := b.data
	if dir == "" {
		if dir, err = os.MkdirTemp("", "duet-bench-"); err != nil {
			return err
		}
		defer func() { err = joinErrors(err, os.RemoveAll(dir)) }()
	}
	var r signalingReport
	if r.Fsyncs, err = fsyncs(dir); err != nil {
		return err
	}
	if r.Transition, err = b.transitions(ctx, filepath.Join(dir, "transitions")); err != nil {
		return err
	}
	for _, n := range b.calls {
		row, err := b.measure(ctx, filepath.Join(dir, fmt.Sprint(n)), n)
		if err != nil {
			return err
		}
		row.Floor = row.SetUps / (r.Fsyncs / row.Events)
		r.Rows = append(r.Rows, row)
	}
	if b.json {
		return json.NewEncoder(s.out).Encode(r)
	}
	fmt.Fprintf(s.out, "disk        %.0f writes of 512 bytes with a sync a second\n", r.Fsyncs)
	fmt.Fprintf(s.out, "transition  p50 %.1f ms, p99 %.1f ms at 50 a second\n\n", r.Transition[0], r.Transition[1])
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "calls\tset-ups/s\tconnected p50\tp99\thang-up p99\tevents each\tentries each\tfloor\tCPU each\tmemory\t")
	for _, v := range r.Rows {
		fmt.Fprintf(w, "%d\t%.0f\t%.1f ms\t%.1f ms\t%.1f ms\t%.1f\t%.2f\t%.2f ×\t%.2f ms\t%.0f MiB\t\n", v.Calls, v.SetUps, v.P50, v.P99, v.HangUp, v.Events, v.Entries, v.Floor, v.CPU, v.MemoryMiB)
	}
	return w.Flush()
}

// fsyncs is how many writes of 512 bytes the disk takes a second, each with a sync.
func fsyncs(dir string) (float64, error) {
	const measured = time.Second
	f, err := os.CreateTemp(dir, "fsync-*")
	if err != nil {
		return 0, err
	}
	b, n, began := make([]byte, 512), 0, time.Now()
	for ; err == nil && time.Since(began) < measured; n++ {
		if _, err = f.Write(b); err == nil {
			err = f.Sync()
		}
	}
	took := time.Since(began)
	return float64(n) / took.Seconds(), joinErrors(err, joinErrors(f.Close(), os.Remove(f.Name())))
}

// benchDesk is signaling with a simulated relay.
type benchDesk struct {
	store  *store.Store
	office *office.Office
	url    string
	tokens *auth.Tokens
	watch  *mediaWatch
	stop   func() error

	mu       sync.Mutex
	sessions map[mediaSession]struct{}
}

func openBenchDesk(ctx context.Context, dir string) (*benchDesk, error) {
	st, err := store.Open(ctx, store.Config{Dir: dir})
	if err != nil {
		return nil, err
	}
	d := &benchDesk{store: st, sessions: make(map[mediaSession]struct{})}
	if d.office, err = office.Open(ctx, office.Config{Store: st, OnFloor: d.ended}); err != nil {
		return nil, joinErrors(err, st.Close())
	}
	if d.tokens, err = auth.NewTokens(make([]byte, jwtKeySize)); err != nil {
		return nil, joinErrors(err, st.Close())
	}
	d.watch = newMediaWatch(d.office, slog.New(slog.DiscardHandler))
	sockets := signaling.NewSockets(signaling.SocketConfig{Office: d.office, Auth: signaling.TokenAuth{Tokens: d.tokens}, URLs: d.granted})
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, joinErrors(err, st.Close())
	}
	d.url = "http://" + l.Addr().String()
	mux := http.NewServeMux()
	mux.Handle("GET /v1/socket", sockets)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: httpHeaderTimeout}
	working, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() { failed = d.office.Run(working) })
	wg.Go(func() { sockets.Run(working) })
	wg.Go(func() { d.watch.run(working) })
	wg.Go(func() { _ = srv.Serve(l) }) // until Close
	d.stop = func() error {
		sockets.Close()
		err := srv.Close()
		cancel()
		wg.Wait()
		return joinErrors(joinErrors(err, failed), st.Close())
	}
	_, err = d.office.Do(ctx, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: firstQueue, Capacity: desk.MaxCalls}})
	return d, err
}

// granted takes a URL for used at once.
func (d *benchDesk) granted(g desk.Grant) (string, error) {
	d.mu.Lock()
	d.sessions[mediaSession{Call: g.Call, User: g.Party, Push: g.Push}] = struct{}{}
	d.mu.Unlock()
	d.note()
	return "duet://bench/" + g.Stream, nil
}

// ended lets go of a call's sessions.
func (d *benchDesk) ended(f desk.Floor) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.sessions {
		if s.Call == f.Call {
			delete(d.sessions, s)
		}
	}
}

func (d *benchDesk) note() {
	d.mu.Lock()
	list := make([]mediaSession, 0, len(d.sessions))
	for s := range d.sessions {
		list = append(list, s)
	}
	d.mu.Unlock()
	d.watch.note("bench", list)
}

func (d *benchDesk) join(ctx context.Context, name string, role desk.Role) (*party.Client, error) {
	return party.Dial(ctx, party.Config{URL: d.url, Token: func(context.Context) (string, error) {
		now := time.Now()
		return d.tokens.Sign(now, auth.Claims{User: name, Roles: []desk.Role{role}, Expires: now.Add(time.Hour)})
	}})
}

// transitions measures single commands.
func (b *benchSignaling) transitions(ctx context.Context, dir string) (q [2]float64, err error) {
	const rate, count = 50, 150
	d, err := openBenchDesk(ctx, dir)
	if err != nil {
		return q, err
	}
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	var took []time.Duration
	for range count {
		<-tick.C
		at := time.Now()
		if _, err = d.office.Do(ctx, desk.System(), &desk.Audit{Action: "bench"}); err != nil {
			break
		}
		took = append(took, time.Since(at))
	}
	slices.Sort(took)
	if err == nil {
		q = [2]float64{ms(took[len(took)/2]), ms(took[len(took)*99/100])}
	}
	return q, joinErrors(err, d.stop())
}

// measure has n pairs of a caller and an agent make calls, one after the other.
func (b *benchSignaling) measure(ctx context.Context, dir string, n int) (row signalingRow, err error) {
	d, err := openBenchDesk(ctx, dir)
	if err != nil {
		return row, err
	}
	defer func() { err = joinErrors(err, d.stop()) }()
	pairs := make([]*benchPair, n)
	for i := range pairs {
		p := &benchPair{}
		if p.agent, err = d.join(ctx, fmt.Sprintf("agent%d", i), desk.Agent); err != nil {
			return row, err
		}
		defer p.agent.Close()
		if p.caller, err = d.join(ctx, fmt.Sprintf("caller%d", i), desk.Caller); err != nil {
			return row, err
		}
		defer p.caller.Close()
		if err = p.agent.OpenRoom(ctx); err != nil {
			return row, err
		}
		pairs[i] = p
	}
	before, err := d.store.Last(ctx)
	if err != nil {
		return row, err
	}
	cpu := cpuTime()
	began := time.Now()
	timed, cancel := context.WithDeadline(ctx, began.Add(b.duration))
	defer cancel()
	var wg sync.WaitGroup
	times := benchTimes{accepted: make(map[string]time.Time), hungUp: make(map[string]time.Time)}
	for _, p := range pairs {
		wg.Go(func() { p.answer(timed, &times) })
		wg.Go(func() { p.call(timed, &times) })
	}
	wg.Wait()
	took := time.Since(began)
	after, err := d.store.Last(ctx)
	if err != nil {
		return row, err
	}
	events := 0
	err = d.store.Read(ctx, before+1, after, func(e store.Entry) error {
		parsed, err := desk.ParseEntry(e.Data)
		if err == nil {
			events += len(parsed.Records)
		}
		return err
	})
	var all, hangUps []time.Duration
	for _, p := range pairs {
		all = append(all, p.took...)
		hangUps = append(hangUps, p.told...)
	}
	slices.Sort(all)
	slices.Sort(hangUps)
	if len(all) == 0 || len(hangUps) == 0 || err != nil { // nothing was connected in time: a row of zeros says so
		return signalingRow{Calls: n, Events: 1}, err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	calls := float64(len(all))
	return signalingRow{
		Calls: n, SetUps: calls / took.Seconds(), P50: ms(all[len(all)/2]), P99: ms(all[len(all)*99/100]), HangUp: ms(hangUps[len(hangUps)*99/100]), Events: float64(events) / calls,
		Entries: float64(after-before) / calls, CPU: ms(cpuTime()-cpu) / calls, MemoryMiB: float64(m.Sys) / (1 << 20),
	}, nil
}

// benchPair is a caller and an agent.
type benchPair struct {
	caller, agent *party.Client
	took          []time.Duration // from acceptance to connected; the caller's goroutine
	told          []time.Duration // from hang-up to the agent's being told; the agent's goroutine
}

// benchTimes is when what happened, by call: which agent gets whom is the desk's to say.
type benchTimes struct {
	mu               sync.Mutex
	accepted, hungUp map[string]time.Time // guarded by mu
}

func (b *benchTimes) note(m map[string]time.Time, call string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	m[call] = time.Now()
}

// since is how long ago it was noted, once.
func (b *benchTimes) since(m map[string]time.Time, call string) (d time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	at, ok := m[call]
	delete(m, call)
	return time.Since(at), ok
}

// answer accepts whatever is offered.
func (p *benchPair) answer(ctx context.Context, b *benchTimes) {
	for {
		e, err := p.agent.Next(ctx)
		if err != nil {
			return
		}
		switch e.Type {
		case "call.offered":
			b.note(b.accepted, e.Call)
			_ = p.agent.Accept(ctx, e.Call) // a caller who hung up does not count
		case "call.ended":
			if d, ok := b.since(b.hungUp, e.Call); ok {
				p.told = append(p.told, d)
			}
		}
	}
}

// call makes one call after the other.
func (p *benchPair) call(ctx context.Context, b *benchTimes) {
	for ctx.Err() == nil {
		if _, err := p.caller.JoinQueue(ctx, firstQueue, ""); err != nil {
			return
		}
		for {
			e, err := p.caller.Next(ctx)
			if err != nil {
				return
			}
			if e.Type == "call.connected" {
				if d, ok := b.since(b.accepted, e.Call); ok {
					p.took = append(p.took, d)
				}
				b.note(b.hungUp, e.Call)
				if err := p.caller.HangUp(ctx, e.Call); err != nil {
					return
				}
			}
			if strings.HasPrefix(e.Type, "call.ended") {
				break
			}
		}
	}
}
