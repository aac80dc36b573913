package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
)

// What relays see becomes part of calls: who pushes, who plays, whose network is lost.

// mediaSession is a session at a relay that belongs to a call.
type mediaSession struct {
	Call   string `json:"call"`
	User   string `json:"user"`
	Push   bool   `json:"push,omitempty"`
	Silent bool   `json:"silent,omitempty"`
}

const (
	mediaPause   = 50 * time.Microsecond // between two looks, at least
	mediaEvery   = time.Second           // at least
	mediaRestart = 2 * time.Second       // after a start, in which clients come back before they are missed
	mediaStale   = 3500 * time.Millisecond
	mediaTimeout = 5 * time.Second
	mediaAtOnce  = 256 // commands
)

// mediaWatch tells the office what relays see.
type mediaWatch struct {
	office *office.Office
	log    *slog.Logger
	began  time.Time
	wake   chan struct{}

	mu     sync.Mutex
	relays map[string]mediaReport // by name
}

type mediaReport struct {
	at       time.Time
	sessions []mediaSession
}

func newMediaWatch(o *office.Office, log *slog.Logger) *mediaWatch {
	return &mediaWatch{office: o, log: log, began: time.Now(), wake: make(chan struct{}, 1), relays: make(map[string]mediaReport)}
}

// note takes what a relay sees now: all its sessions that belong to calls.
func (w *mediaWatch) note(relay string, sessions []mediaSession) {
	w.mu.Lock()
	if _, known := w.relays[relay]; !known { // its clients come back one by one
		w.began = time.Now()
	}
	w.relays[relay] = mediaReport{time.Now(), sessions}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// run compares what relays see with what calls know, at every change and every second.
func (w *mediaWatch) run(ctx context.Context) {
	tick := time.NewTicker(mediaEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-w.wake:
		}
		began := time.Now()
		list := w.changes()
		spent := time.Since(began)
		w.tell(ctx, list)
		select { // half of the time at most is spent on looking
		case <-ctx.Done():
			return
		case <-time.After(max(mediaPause, spent)):
		}
	}
}

// changes are what calls do not know yet.
func (w *mediaWatch) changes() []*desk.Media {
	type key struct{ call, user string }
	type flows struct{ push, play bool }
	seen := make(map[key]flows)
	w.mu.Lock()
	for name, r := range w.relays {
		if time.Since(r.at) > mediaStale { // the relay is gone, and all media with it
			delete(w.relays, name)
			continue
		}
		for _, s := range r.sessions {
			if s.Silent {
				continue
			}
			k := key{s.Call, s.User}
			f := seen[k]
			f.push, f.play = f.push || s.Push, f.play || !s.Push
			seen[k] = f
		}
	}
	fresh := time.Since(w.began) < mediaRestart
	w.mu.Unlock()
	var list []*desk.Media
	w.office.View(func(s *desk.State) {
		for _, c := range s.AllCalls() {
			for i := range c.Parties {
				p := &c.Parties[i]
				f := seen[key{c.ID, p.User}]
				less := p.Pushing && !f.push || p.Playing && !f.play
				if f.push == p.Pushing && f.play == p.Playing || fresh && less {
					continue
				}
				list = append(list, &desk.Media{Call: c.ID, User: p.User, Pushing: f.push, Playing: f.play})
			}
		}
	})
	return list
}

// tell gives the commands all at once, so that they share an entry of the log.
func (w *mediaWatch) tell(ctx context.Context, list []*desk.Media) {
	ctx, cancel := context.WithTimeout(ctx, mediaTimeout)
	defer cancel()
	for len(list) > 0 {
		n := min(len(list), mediaAtOnce)
		var wg sync.WaitGroup
		for _, c := range list[:n] {
			wg.Go(func() {
				if _, err := w.office.Do(ctx, desk.System(), c); err != nil && ctx.Err() == nil {
					w.log.Warn("what the relay sees can't be kept; it is tried again", "error", err)
				}
			})
		}
		wg.Wait()
		list = list[n:]
	}
}
