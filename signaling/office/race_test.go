package office_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"duet/bench/laws"
	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
	"duet/signaling/store/storetest"
)

// TestRace has callers race for agents through two servers that share a log, one of which comes and goes. The log itself shows then that no agent
// ever had two callers, that nobody was lost or served twice, and that who asked first was offered first.
func TestRace(t *testing.T) {
	callers, agents := 400, 10
	if os.Getenv("DUET_LONG") != "" {
		callers, agents = 10_000, 50
	}
	settings := desk.Settings{CallerGrace: time.Hour, AgentGrace: time.Hour, Ring: time.Hour, Setup: time.Hour} // nothing but the race
	url := storetest.NATS(t)
	open := func(node string) *running { return oneOf(t, url, node, settings) }
	one := open("one")
	one.do(t, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q", Capacity: callers}})
	r := race{t: t, served: make(chan struct{}, callers)}
	r.offices[0], r.offices[1] = one, open("two")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var wg sync.WaitGroup
	for i := range agents {
		wg.Go(func() { r.agent(ctx, fmt.Sprintf("agent%d", i), i%2) })
	}
	for i := range callers {
		wg.Go(func() { r.caller(ctx, fmt.Sprintf("caller%d", i), i%2) })
	}
	for n := range callers {
		select {
		case <-r.served:
		case <-time.After(30 * time.Second):
			t.Fatalf("only %d of %d were served", n, callers)
		}
		if n == callers/3 { // the second server goes and comes back, in the middle of it all
			r.swap(1, func(old *running) *running { old.stop(); return open("two") })
		}
	}
	cancel()
	wg.Wait()
	last, err := one.store.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	c := laws.NewChecker(t.Errorf)
	err = one.store.Read(t.Context(), 1, last, func(e store.Entry) error { return c.Entry(e.Seq, e.Data) })
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Served) != callers || len(c.Line) > 0 {
		t.Errorf("%d callers were served, %d are still in line", len(c.Served), len(c.Line))
	}
	t.Logf("%d callers, %d entries", callers, last)
}

// What one server was told, the other knows when it is asked: it refuses by the log's state, not by what it happened to have read of it.
func TestRefusalIsCurrent(t *testing.T) {
	url := storetest.NATS(t)
	one, two := oneOf(t, url, "one", desk.Settings{}), oneOf(t, url, "two", desk.Settings{})
	for i := range 100 {
		q := fmt.Sprintf("q%d", i)
		one.do(t, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: q}})
		two.do(t, desk.Actor{User: "carl" + q, Roles: []desk.Role{desk.Caller}}, &desk.AskQueue{Call: "c" + q, Queue: q})
	}
}

// oneOf is one of the servers that share a log.
func oneOf(t *testing.T, url, node string, settings desk.Settings) *running {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, st, office.Config{Node: node, Settings: settings})
}

// race is two servers and who uses them.
type race struct {
	t       *testing.T
	served  chan struct{}
	mu      sync.RWMutex
	offices [2]*running
}

func (r *race) swap(i int, f func(*running) *running) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.offices[i] = f(r.offices[i])
}

// do gives a command, again and again while the server can't take it, at the other one.
func (r *race) do(ctx context.Context, i int, by desk.Actor, c func(o *office.Office) desk.Command) (desk.Result, error) {
	for ; ; i++ {
		r.mu.RLock()
		o := r.offices[i%2]
		result, err := o.Do(ctx, by, c(o.Office))
		r.mu.RUnlock()
		var refused *desk.Error
		if err == nil || ctx.Err() != nil || errors.As(err, &refused) && refused.Code != desk.Unavailable {
			return result, err
		}
	}
}

func always(c desk.Command) func(*office.Office) desk.Command {
	return func(*office.Office) desk.Command { return c }
}

func hello(user string) func(*office.Office) desk.Command {
	return func(o *office.Office) desk.Command {
		return &desk.Connect{Conn: user + rand.N(time.Hour).String(), Node: o.NodeName(), Life: o.Life()}
	}
}

// agent accepts what is offered until ctx ends, and connects anew when the server has forgotten the socket.
func (r *race) agent(ctx context.Context, name string, i int) {
	by := agent(name)
	for ctx.Err() == nil {
		var room *desk.Room
		here := false
		r.mu.RLock()
		o := r.offices[0]
		changes, stop := o.Changes()
		o.View(func(s *desk.State) { room, here = s.Room(name), s.Here(name) })
		r.mu.RUnlock()
		switch {
		case !here:
			_, _ = r.do(ctx, i, by, hello(name))
		case room == nil || room.State == desk.RoomClosed:
			_, _ = r.do(ctx, i, by, always(&desk.OpenRoom{}))
		case room.State == desk.RoomRinging:
			_, _ = r.do(ctx, i, by, always(&desk.Accept{Call: room.Call})) // it may have been taken back
		default:
			select {
			case <-changes:
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		stop()
	}
}

// caller asks, waits to be put through, and hangs up.
func (r *race) caller(ctx context.Context, name string, i int) {
	by := caller(name)
	if _, err := r.do(ctx, i, by, hello(name)); err != nil {
		r.t.Errorf("%s: %v", name, err)
	}
	asked, err := r.do(ctx, i, by, always(&desk.AskQueue{Call: "call-" + name, Queue: "q"}))
	if err != nil {
		r.t.Errorf("%s: %v", name, err)
	}
	for seen := false; ctx.Err() == nil; {
		var c *desk.Call
		here := false
		r.mu.RLock()
		o := r.offices[0]
		changes, stop := o.Changes()
		o.View(func(s *desk.State) { c, here = s.Call(asked.Call), s.Here(name) })
		r.mu.RUnlock()
		seen = seen || c != nil // what the other server took comes here a moment later
		switch {
		case c == nil && seen:
			r.t.Errorf("%s was lost", name)
			stop()
			return
		case c != nil && c.State == desk.CallSetup:
			stop()
			if _, err := r.do(ctx, i, by, always(&desk.HangUp{Call: c.ID})); err != nil && ctx.Err() == nil {
				r.t.Errorf("%s: %v", name, err)
			}
			r.served <- struct{}{}
			return
		case !here:
			_, _ = r.do(ctx, i, by, hello(name))
		default:
			select {
			case <-changes:
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
		stop()
	}
}
