package hook

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/store"
)

// worker tells one webhook. It belongs to one goroutine.
type worker struct {
	cfg        *Config
	post       *poster
	log        *slog.Logger
	complained time.Time
}

func newWorker(cfg *Config, h desk.Hook) *worker {
	return &worker{cfg: cfg, post: newPoster(cfg, h), log: cfg.Logger.With("webhook", h.ID)}
}

// serve tells one webhook, entry by entry, until ctx ends.
func (d *Dispatcher) serve(ctx context.Context, h desk.Hook) {
	w := newWorker(&d.cfg, h)
	defer w.post.client.CloseIdleConnections()
	pause := d.cfg.FirstWait
	for ctx.Err() == nil {
		round, end := d.begin(ctx, h.ID)
		told := 0
		box, err := d.cfg.Store.Outbox(round, place(&h), max(h.From, 1)-1)
		if err == nil {
			told, err = w.drain(round, box)
			box.Close()
		}
		again := round.Err() != nil || errors.Is(err, store.ErrNoOutbox) // it was moved: it goes on from there
		end()
		if again {
			continue
		}
		if told > 0 {
			pause = d.cfg.FirstWait
		}
		w.complain("a webhook's place in the log can't be read; it is tried again", "error", err)
		wait(ctx, pause)
		pause = min(2*pause, d.cfg.LongestWait)
	}
}

// drain tells entries until something fails, and returns how many were told.
func (w *worker) drain(ctx context.Context, box *store.Outbox) (told int, err error) {
	for ; ; told++ {
		delivery, err := box.Next(ctx)
		if err != nil {
			return told, err
		}
		entry, err := desk.ParseEntry(delivery.Entry.Data)
		if err != nil {
			return told, err
		}
		if err := w.tell(ctx, delivery, delivery.Entry.Seq, entry.Public()); err != nil {
			return told, err
		}
		if err := delivery.Done(ctx); err != nil {
			return told, err
		}
	}
}

// lease is what a worker holds an entry by: store.Delivery.
type lease interface{ Working() error }

// tell posts an entry's events, each until it is taken. It fails only when ctx ends.
func (w *worker) tell(ctx context.Context, held lease, seq uint64, events []desk.Public) error {
	release := keep(held)
	defer release()
	for i := range events {
		e := &events[i]
		if kinds := w.post.hook.Kinds; len(kinds) > 0 && !slices.Contains(kinds, e.Kind) {
			continue
		}
		for pause := w.cfg.FirstWait; ; pause = min(2*pause, w.cfg.LongestWait) {
			err := w.post.send(ctx, seq, i, e)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.complain("a webhook does not take what it is told; it is tried again until it does", "event", e.Kind, "error", err)
			if !wait(ctx, spread(pause, w.cfg.LongestWait)) {
				return ctx.Err()
			}
		}
	}
	return nil
}

// complain logs a failure, but not every one: there may be one a second for days.
func (w *worker) complain(text string, args ...any) {
	if now := time.Now(); w.complained.IsZero() || now.Sub(w.complained) >= complainRate {
		w.complained = now
		w.log.Warn(text, args...)
	}
}

// spread leaves a quarter of a pause to chance, and does not go over the longest.
func spread(pause, longest time.Duration) time.Duration {
	chance := rand.N(pause/4 + 1) //nolint:gosec // spreads attempts over time
	if pause+chance > longest {
		return pause - chance
	}
	return pause + chance
}

// keep holds an entry's lease for as long as its events are told.
func keep(held lease) (release func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(workingEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = held.Working() // the next one counts as well
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// wait reports whether all of the time has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
