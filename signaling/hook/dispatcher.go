package hook

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// Config says what is dispatched. Store and Office are required.
type Config struct {
	Store       *store.Store
	Office      *office.Office
	Logger      *slog.Logger  // default: discard
	Version     string        // of this program, for User-Agent; default: not told
	FirstWait   time.Duration // after a failure; default FirstWait
	LongestWait time.Duration // after many; default LongestWait
	Exchange    time.Duration // for one POST and its answer; default Exchange
}

const (
	// FirstWait is how long a webhook is left alone after a failure, twice as long after each further one up to LongestWait. A quarter of it is
	// left to chance, so that webhooks of one receiver do not all come back at once.
	FirstWait = time.Second
	// LongestWait is the longest.
	LongestWait = 5 * time.Minute
	// Exchange is how long a receiver has for taking an event, from the look-up of its name to the end of its answer.
	Exchange = 10 * time.Second

	workingEvery = 5 * time.Second // the lease of an entry is renewed
	complainRate = time.Minute     // of one webhook's failures, in the log
)

// Dispatcher tells all webhooks. Its methods may be called by any goroutine, Run by one.
type Dispatcher struct {
	cfg Config

	mu     sync.Mutex
	rounds map[string]context.CancelFunc // guarded by mu. By webhook: has its worker open its place anew
}

// New returns a dispatcher; Run works.
func New(cfg Config) *Dispatcher {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FirstWait <= 0 {
		cfg.FirstWait = FirstWait
	}
	if cfg.LongestWait <= 0 {
		cfg.LongestWait = LongestWait
	}
	if cfg.Exchange <= 0 {
		cfg.Exchange = Exchange
	}
	return &Dispatcher{cfg: cfg, rounds: make(map[string]context.CancelFunc)}
}

// Run tells webhooks until ctx ends. It follows what webhooks there are. When it returns, nothing of it runs any more.
func (d *Dispatcher) Run(ctx context.Context) {
	changes, stop := d.cfg.Office.Changes()
	defer stop()
	type running struct {
		hook desk.Hook
		stop context.CancelFunc
	}
	workers := make(map[string]running)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		want := make(map[string]desk.Hook)
		d.cfg.Office.View(func(s *desk.State) {
			for _, h := range s.AllHooks() {
				want[h.ID] = *h
			}
		})
		for id, w := range workers {
			h, still := want[id]
			if still && same(&h, &w.hook) {
				continue
			}
			w.stop()
			delete(workers, id)
			if !still || h.From != w.hook.From {
				d.forget(ctx, &w.hook)
			}
		}
		for id, h := range want {
			if _, on := workers[id]; !on {
				one, cancel := context.WithCancel(ctx)
				workers[id] = running{h, cancel}
				wg.Go(func() { d.serve(one, h) })
			}
		}
		select {
		case <-ctx.Done():
			for _, w := range workers {
				w.stop()
			}
			return
		case <-changes:
		}
	}
}

func same(a, b *desk.Hook) bool {
	return a.URL == b.URL && a.Secret == b.Secret && a.Private == b.Private && slices.Equal(a.Kinds, b.Kinds) && a.From == b.From
}

// forget drops the place of a webhook that was deleted.
func (d *Dispatcher) forget(ctx context.Context, h *desk.Hook) {
	if err := d.cfg.Store.DeleteOutbox(ctx, place(h)); err != nil && ctx.Err() == nil {
		d.cfg.Logger.Warn("a deleted webhook's place can't be forgotten", "webhook", h.ID, "error", err)
	}
}

// place names a webhook's place in the log, in characters that the store takes. A webhook that was deleted and made again has another one: the old
// one may still be there, if nobody was there to forget it, and is told nothing of what came before.
func place(h *desk.Hook) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", h.ID, h.From))
	return "hook-" + hex.EncodeToString(sum[:8])
}

// Replay tells a webhook everything again from an entry of the log, 1 for the first. It is begun at once if its worker is in this process, or idle; a worker
// of another process that waits for its receiver first brings to an end what it has.
func (d *Dispatcher) Replay(ctx context.Context, id string, from uint64) error {
	var hook *desk.Hook
	d.cfg.Office.View(func(s *desk.State) { hook = s.Hook(id) })
	if hook == nil {
		return &desk.Error{Code: desk.NotFound, Text: "there is no webhook of that ID"}
	}
	if err := d.cfg.Store.ResetOutbox(ctx, place(hook), max(from, 1)-1); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if again := d.rounds[id]; again != nil {
		again()
	}
	return nil
}

// begin makes a context that Replay ends.
func (d *Dispatcher) begin(ctx context.Context, id string) (context.Context, context.CancelFunc) {
	round, cancel := context.WithCancel(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.rounds[id] = cancel
	return round, cancel
}
