package office

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/store"
)

// Config says how an office runs. Store is required.
type Config struct {
	Store    *store.Store
	Settings desk.Settings
	Node     string           // this server's name, kept over restarts; default "duet"
	Logger   *slog.Logger     // default: discard
	OnFloor  func(desk.Floor) // every floor, in order, after it is in the log; and all in force at the start. It must not block
}

const (
	tickEvery     = 100 * time.Millisecond
	maxBatch      = 256       // commands
	maxBatchBytes = 400 << 10 // of an entry, about
	maxNotices    = 20_000    // of an entry, about
	maxWaiting    = 65_536    // commands that wait: more are refused
	appendTime    = 10 * time.Second
	snapshotEvery = 5_000 // entries
	snapshotLeast = 200   // at the end
	retryPause    = 20 * time.Millisecond
)

// Office is the running desk of one server.
type Office struct {
	cfg      Config
	life     string
	requests chan *request
	entries  chan store.Entry
	done     chan struct{}
	peers    peers
	snapping sync.WaitGroup

	mu      sync.RWMutex // guards what follows; held for writing from a decision until it is in the log or taken back
	state   *desk.State
	head    string // hash of the last entry
	batch   uint64
	events  ring
	subs    map[string]map[*Subscription]struct{} // by user
	watch   map[chan struct{}]struct{}
	sockets map[string]desk.Actor // by connection, at this server
	snapAt  uint64
	loaded  bool
}

// request is a command that waits for its answer.
type request struct {
	ctx   context.Context
	by    desk.Actor
	c     desk.Command
	reply chan answer
}

type answer struct {
	result desk.Result
	err    error
}

// Open reads snapshot and log. Run then takes part.
func Open(ctx context.Context, cfg Config) (*Office, error) {
	if cfg.Store == nil {
		return nil, errors.New("office: Config needs a Store")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Node == "" {
		cfg.Node = "duet"
	}
	o := &Office{
		cfg: cfg, life: rand.Text(), requests: make(chan *request, maxWaiting), entries: make(chan store.Entry, 1024), done: make(chan struct{}),
		subs: make(map[string]map[*Subscription]struct{}), watch: make(map[chan struct{}]struct{}), sockets: make(map[string]desk.Actor),
	}
	o.peers.heard = make(map[string]time.Time)
	if err := o.load(ctx); err != nil {
		return nil, err
	}
	o.loaded = true
	if cfg.OnFloor != nil {
		for _, f := range o.state.AllFloors() {
			cfg.OnFloor(*f)
		}
	}
	return o, nil
}

// snapshot is the state beside what else is needed to go on.
type snapshot struct {
	Head   string          `json:"head"`
	Events ring            `json:"events"`
	State  json.RawMessage `json:"state"`
}

// load makes the state out of the newest snapshot and what the log has beyond.
func (o *Office) load(ctx context.Context) error {
	seq, b, err := o.cfg.Store.LoadSnapshot(ctx)
	if err != nil {
		return fmt.Errorf("the snapshot can't be read: %w", err)
	}
	o.state = desk.New(o.cfg.Settings)
	var snap snapshot
	if seq > 0 && json.Unmarshal(b, &snap) == nil {
		if s, ok := desk.Load(snap.State, o.cfg.Settings); ok && s.Seq == seq {
			o.state, o.head, o.snapAt, o.events = s, snap.Head, seq, snap.Events
		}
	}
	last, err := o.cfg.Store.Last(ctx)
	if err != nil {
		return fmt.Errorf("the log can't be read: %w", err)
	}
	if last < o.state.Seq {
		return fmt.Errorf("the log ends at entry %d, but there is a snapshot of entry %d: files of the store are missing; restore all of them from one backup", last, o.state.Seq)
	}
	if last == o.state.Seq {
		return nil
	}
	err = o.cfg.Store.Read(ctx, o.state.Seq+1, last, func(e store.Entry) error {
		parsed, err := desk.ParseEntry(e.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		o.take(e, parsed)
		return nil
	})
	if err != nil {
		return fmt.Errorf("the log can't be read: %w", err)
	}
	return nil
}

// take applies an entry of the log. The caller holds the lock, or is alone.
func (o *Office) take(e store.Entry, parsed *desk.Entry) {
	o.state.Apply(parsed)
	o.keep(e.Seq, e.Data)
}

// keep ends what was decided or applied: it is in the log as entry seq.
func (o *Office) keep(seq uint64, data []byte) {
	notices, floors := o.state.Commit(seq)
	o.head = desk.Hash(data)
	o.publish(seq, notices)
	if o.cfg.OnFloor != nil && o.loaded {
		for _, f := range floors {
			o.cfg.OnFloor(f)
		}
	}
}

// Life names this run of the server; see desk.Connect.
func (o *Office) Life() string { return o.life }

// NodeName is this server's name.
func (o *Office) NodeName() string { return o.cfg.Node }

// Do decides over a command and returns when what came of it is on disk. Errors are *desk.Error, or the context's: then it may have been
// done or not, and may be repeated.
func (o *Office) Do(ctx context.Context, by desk.Actor, c desk.Command) (desk.Result, error) {
	r := &request{ctx: ctx, by: by, c: c, reply: make(chan answer, 1)}
	select {
	case o.requests <- r:
	case <-ctx.Done():
		return desk.Result{}, ctx.Err()
	case <-o.done:
		return desk.Result{}, errStopped
	default:
		return desk.Result{}, &desk.Error{Code: desk.Unavailable, Text: "the server has more to do than it can: try again in a moment"}
	}
	select {
	case a := <-r.reply:
		return a.result, a.err
	case <-ctx.Done():
		return desk.Result{}, ctx.Err()
	case <-o.done:
		select {
		case a := <-r.reply:
			return a.result, a.err
		default:
			return desk.Result{}, errStopped
		}
	}
}

var errStopped = &desk.Error{Code: desk.Unavailable, Text: "the server is going down: try again in a moment"}

// View shows the state as it is in the log. f must be brief and must not keep the state; what it gets from it stays as it is.
func (o *Office) View(f func(*desk.State)) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	f(o.state)
}

// Run takes part until ctx ends: it decides, follows the log, and does what is due. It returns nil after ctx, or why it can't go on.
func (o *Office) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	wg.Go(func() {
		err := o.cfg.Store.Follow(ctx, o.seq(), func(e store.Entry) error {
			select {
			case o.entries <- e:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		if err != nil && ctx.Err() == nil {
			cancel(fmt.Errorf("the log can't be followed: %w", err))
		}
	})
	stop, err := o.meet()
	if err != nil {
		cancel(err)
	} else {
		o.loop(ctx)
		stop()
	}
	close(o.done)
	wg.Wait()
	o.finish()
	if err := context.Cause(ctx); !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return nil
}

func (o *Office) seq() uint64 {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.state.Seq
}

func (o *Office) loop(ctx context.Context) {
	tick := time.NewTicker(tickEvery)
	defer tick.Stop()
	o.system(ctx, &desk.NodeUp{ID: o.cfg.Node, Life: o.life})
	for {
		select {
		case <-ctx.Done():
			o.refuseAll()
			return
		case e := <-o.entries:
			o.follow(e)
		case r := <-o.requests:
			o.commit(ctx, o.gather(r))
		case <-tick.C:
			o.tick(ctx)
		}
	}
}

// gather takes what else is waiting into a batch.
func (o *Office) gather(first *request) []*request {
	batch, size := []*request{first}, sizeOf(first.c)
	for len(batch) < maxBatch && size < maxBatchBytes {
		select {
		case r := <-o.requests:
			batch, size = append(batch, r), size+sizeOf(r.c)
		default:
			return batch
		}
	}
	return batch
}

// sizeOf is about what a command takes in an entry at most.
func sizeOf(c desk.Command) int {
	const usual = 512
	if m, ok := c.(*desk.Say); ok {
		return usual + 6*len(m.Body) // as JSON, at worst
	}
	return usual
}

// follow applies an entry of the log that is not here yet: of another server, or one of ours whose answer was lost.
func (o *Office) follow(e store.Entry) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if e.Seq <= o.state.Seq {
		return
	}
	parsed, err := desk.ParseEntry(e.Data)
	if err != nil { // a newer server writes what this one does not know: going on would be guessing
		panic(fmt.Sprintf("office: entry %d: %v", e.Seq, err))
	}
	o.take(e, parsed)
}

// refuseAll answers what waits at the end.
func (o *Office) refuseAll() {
	for {
		select {
		case r := <-o.requests:
			r.reply <- answer{err: errStopped}
		default:
			return
		}
	}
}
