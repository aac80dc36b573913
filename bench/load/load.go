package load

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// Defaults and limits of a run.
const (
	DefaultLate   = 100 * time.Millisecond // after its capture a frame is late
	MaxStreams    = 20_000
	sessionRate   = 350 // sessions a second while the load is put on, a little less than a relay takes without cookies
	openPatience  = 10 * time.Second
	settle        = 1500 * time.Millisecond // between the last session and the window: estimates settle
	drainTime     = 1200 * time.Millisecond // after the window: what has not come by then never will
	tokenValid    = time.Hour
	progressEvery = 100 * time.Millisecond
)

// ErrNotCarried means that the relay did not even take the load on.
var ErrNotCarried = errors.New("the load was not taken on")

// Config says what a run is like. Server, Key and Mint are required; either Calls or Fanout.
type Config struct {
	Server   netip.AddrPort
	Key      crypto.PublicKey
	Mint     func(crypto.Token) (string, error)
	Calls    int // two-party calls: two streams, each with one player
	Fanout   int // players of one stream
	Shape    Shape
	Duration time.Duration       // of the window that is measured
	Ramp     time.Duration       // over which the sessions begin; default and least: as fast as a relay takes them
	Late     time.Duration       // default DefaultLate
	Workers  int                 // default 1
	Stream   string              // prefix of the streams' names; default live/load
	Setup    []rtmpchunk.Message // what each stream begins with: configurations of decoders, for a recorder; none: nobody looks into it

	// Measure, if set, is called at both ends of the window.
	Measure func(ctx context.Context) error
	// Progress, if set, is told how much of the run is over.
	Progress func(share float64, text string)
}

func (c *Config) setDefaults() error {
	if c.Late <= 0 {
		c.Late = DefaultLate
	}
	if c.Workers <= 0 {
		c.Workers = 1
	}
	if c.Stream == "" {
		c.Stream = DefaultStream
	}
	if c.Measure == nil {
		c.Measure = func(context.Context) error { return nil }
	}
	if c.Progress == nil {
		c.Progress = func(float64, string) {}
	}
	if err := c.Check(); err != nil {
		return err
	}
	c.Ramp = max(c.Ramp, time.Duration(c.sessions())*time.Second/sessionRate)
	return nil
}

// Check reports a load that can't be made.
func (c *Config) Check() error {
	switch {
	case (c.Calls > 0) == (c.Fanout > 0):
		return errors.New("a load is either calls or a fan-out")
	case c.Outgoing() > MaxStreams:
		return fmt.Errorf("a load has at most %d outgoing streams", MaxStreams)
	case c.Shape.FPS < 1 || c.Shape.FPS > 240 || c.Shape.Bitrate < 8_000 || c.Shape.Bitrate > 50_000_000 || c.Shape.Audio < 0 || c.Shape.Audio > 512_000:
		return errors.New("a stream has 1 to 240 frames a second, 8 kbit/s to 50 Mbit/s of video and at most 512 kbit/s of audio")
	}
	return nil
}

// Outgoing is how many streams leave the relay.
func (c *Config) Outgoing() int { return 2*c.Calls + c.Fanout }

// Incoming is how many streams it gets.
func (c *Config) Incoming() int { return 2*c.Calls + min(c.Fanout, 1) }

func (c *Config) sessions() int { return c.Incoming() + c.Outgoing() }

// clock is the sessions' clock.
func (c *Config) clock(now, origin time.Time) time.Duration { return now.Sub(origin) }

// Result is what the players got, of what was captured within the window.
type Result struct {
	Seconds  float64
	Frames   uint64 // that should have come, over all players
	Lost     uint64
	Late     uint64
	Refused  uint64 // of the lost, those that a pusher's own queue had no room for
	Packets  uint64 // of media, that came
	Sessions int
	Gone     int             // sessions that the relay refused or lost
	Reason   string          // of one of them
	Delay    relay.Histogram // from a frame's capture to its last packet's arrival in the player's kernel
	Drops    uint64          // in the generator's own sockets, since the run began: then it is the generator that is measured
}

// run is one load under way. The workers' goroutines meet at its marks.
type run struct {
	cfg     *Config
	workers []*worker
	first   time.Time
	mu      sync.Mutex // guards what follows
	failed  error
}

// Run puts the load on, measures, and takes it off again. It fails with ErrNotCarried, with what Measure returns, and with ctx's error.
func Run(ctx context.Context, cfg Config) (Result, error) {
	if err := cfg.setDefaults(); err != nil {
		return Result{}, err
	}
	r, err := newRun(&cfg)
	if err != nil {
		return Result{}, err
	}
	defer r.end()
	return r.measure(ctx)
}

// newRun opens the workers' sockets.
func newRun(cfg *Config) (*run, error) {
	r := &run{cfg: cfg, first: time.Now()}
	for range cfg.Workers {
		w, err := newWorker(cfg, r.first)
		if err != nil {
			r.end()
			return nil, err
		}
		r.workers = append(r.workers, w)
	}
	return r, nil
}

// end closes them.
func (r *run) end() {
	for _, w := range r.workers {
		_ = w.sock.Close()
	}
}

// measure goes through the run's phases.
func (r *run) measure(ctx context.Context) (res Result, err error) {
	total := r.cfg.Ramp + settle + r.cfg.Duration + drainTime
	progress := func(text string) {
		r.cfg.Progress(float64(time.Since(r.first))/float64(total), text)
	}
	if err = r.put(ctx, progress); err != nil {
		return res, err
	}
	step := func(d time.Duration, text string) bool {
		if err == nil {
			err = r.drive(ctx, time.Now().Add(d), func() { progress(text) }, nil)
		}
		return err == nil
	}
	if !step(settle, "settling") {
		return res, err
	}
	if err = r.cfg.Measure(ctx); err != nil {
		return res, err
	}
	began := time.Now()
	r.mark(func(p *push) { p.from = max(1, p.cut.Next()) })
	if !step(r.cfg.Duration, "measuring") {
		return res, err
	}
	r.mark(func(p *push) { p.to = p.cut.Next() })
	res.Seconds = time.Since(began).Seconds()
	if err = r.cfg.Measure(ctx); err != nil {
		return res, err
	}
	for _, w := range r.workers {
		res.Packets += w.received
	}
	if !step(drainTime, "waiting for stragglers") {
		return res, err
	}
	r.collect(&res)
	r.close()
	return res, nil
}

// put opens the sessions, evenly over the ramp, and waits until every stream is on.
func (r *run) put(ctx context.Context, progress func(string)) error {
	opened, looked := 0, r.first
	open := r.script()
	err := r.drive(ctx, r.first.Add(r.cfg.Ramp+openPatience), func() {
		progress(fmt.Sprintf("%d sessions", opened))
	}, func(now time.Time) (done bool, err error) {
		due := min(r.cfg.sessions(), 1+int(float64(r.cfg.sessions())*float64(now.Sub(r.first))/float64(r.cfg.Ramp)))
		for ; opened < due; opened++ {
			if err := open(now, opened); err != nil {
				return false, err
			}
		}
		if opened < r.cfg.sessions() || now.Sub(looked) < progressEvery {
			return false, nil
		}
		looked = now
		live, waiting, gone := 0, 0, 0
		for _, w := range r.workers {
			live, gone = live+w.live, gone+w.refused
			for _, c := range w.byID {
				if !c.conn.Open() && !c.over {
					waiting++
				}
			}
		}
		return gone > 0 || live == r.cfg.Incoming() && waiting == 0, nil
	})
	if err != nil {
		return err
	}
	live, gone, reason := 0, 0, ""
	for _, w := range r.workers {
		live, gone = live+w.live, gone+w.refused
		if w.reason != "" {
			reason = w.reason
		}
	}
	if live < r.cfg.Incoming() || gone > 0 {
		return fmt.Errorf("%w: %d of %d streams began; %d sessions were refused or lost (%s)", ErrNotCarried, live, r.cfg.Incoming(), gone, reason)
	}
	return nil
}

// StreamName is the stream of a call's party, 0 or 1.
func StreamName(prefix string, call, side int) string {
	return fmt.Sprintf("%s-%d-%c", prefix, call, 'a'+side)
}

// DefaultStream is the prefix of the streams' names.
const DefaultStream = "live/load"

// script opens session i: a call's two pushers, then its two players; or the one pusher and all players.
func (r *run) script() func(now time.Time, i int) error {
	var one *push
	pushes := make([]*push, 2)
	return func(now time.Time, i int) error {
		if r.cfg.Fanout > 0 {
			w := r.workers[i%len(r.workers)]
			if i == 0 {
				c, err := w.push(now, r.cfg.Stream)
				if err != nil {
					return err
				}
				one = c.push
				return nil
			}
			return w.play(now, r.cfg.Stream, one)
		}
		call, part := i/4, i%4
		w := r.workers[call%len(r.workers)]
		name := func(side int) string { return StreamName(r.cfg.Stream, call, side) }
		if part < 2 {
			c, err := w.push(now, name(part))
			if err != nil {
				return err
			}
			pushes[part] = c.push
			return nil
		}
		return w.play(now, name(part-2), pushes[part-2])
	}
}

// mark does something to every stream, between two turns.
func (r *run) mark(f func(*push)) {
	for _, w := range r.workers {
		for _, c := range w.pushers {
			f(c.push)
		}
	}
}

// drive turns the workers until a time, or until step says so. Between two of its returns nobody else touches a worker.
func (r *run) drive(ctx context.Context, until time.Time, show func(), step func(now time.Time) (bool, error)) error {
	var wg sync.WaitGroup
	if step == nil {
		for _, w := range r.workers[1:] {
			wg.Go(func() { r.fail(w.drive(ctx, until, func() {}, nil)) })
		}
		r.fail(r.workers[0].drive(ctx, until, show, nil))
		wg.Wait()
	} else {
		r.fail(r.workers[0].drive(ctx, until, show, func(now time.Time) (bool, error) {
			for _, w := range r.workers[1:] {
				if err := w.turn(now); err != nil {
					return false, err
				}
			}
			return step(now)
		}))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

func (r *run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failed == nil {
		r.failed = err
	}
}

// drive turns one worker.
func (w *worker) drive(ctx context.Context, until time.Time, show func(), step func(now time.Time) (bool, error)) error {
	var shown time.Time
	for {
		now := time.Now()
		if err := w.turn(now); err != nil {
			return err
		}
		if step != nil {
			if done, err := step(now); err != nil || done {
				return err
			}
		}
		if now.Sub(shown) >= progressEvery {
			shown = now
			show()
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if !now.Before(until) {
			return nil
		}
		if next := now.Add(slotTime); time.Now().Before(next) {
			if err := w.sock.Rest(next); err != nil {
				return err
			}
		}
	}
}

// collect counts what came.
func (r *run) collect(res *Result) {
	res.Sessions = r.cfg.sessions()
	for _, w := range r.workers {
		res.Gone += w.refused
		if w.reason != "" {
			res.Reason = w.reason
		}
		res.Delay.Merge(&w.delay)
		res.Drops += w.sock.Drops
		for _, c := range w.byID {
			switch {
			case c.push != nil:
				res.Refused += c.push.refused
			case c.play != nil:
				due := c.play.of.to - c.play.of.from
				res.Frames += due
				res.Lost += due - min(due, c.play.whole)
				res.Late += c.play.late
			}
		}
	}
}

// finish ends the streams.
func (r *run) finish() {
	now := time.Now()
	for _, w := range r.workers {
		for _, c := range w.pushers {
			_ = c.conn.SendControl(now, &wire.Control{Type: wire.ControlEnd, Order: c.push.cut.Next()}) // a session that is over has no stream
			c.over = true
			w.touch(c)
		}
		w.flush(now)
	}
}

// close says goodbye, once: the relay forgets whoever did not hear.
func (r *run) close() {
	now := time.Now()
	for _, w := range r.workers {
		for _, c := range w.byID {
			c.conn.Close(now, 0, "")
			w.touch(c)
		}
		w.flush(now)
	}
}
