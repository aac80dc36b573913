package office_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"duet/signaling/desk"
	"duet/signaling/store/storetest"
)

const ghosts = 24

// TestGhosts has callers and agents come, do something and vanish without a word, at two servers that share a log and come and go as well. When all
// have vanished, nothing of them is left: no room, member, offer or place in line outlives its time.
func TestGhosts(t *testing.T) {
	lasts := 2 * time.Second
	if os.Getenv("DUET_LONG") != "" {
		lasts = 10 * time.Minute
	}
	short := desk.Settings{
		AgentGrace: 200 * time.Millisecond, CallerGrace: 200 * time.Millisecond, Ring: 200 * time.Millisecond, DirectRing: 300 * time.Millisecond,
		Setup: 500 * time.Millisecond, GoneAfter: 300 * time.Millisecond, RetryAfter: 100 * time.Millisecond,
	}
	url := storetest.NATS(t)
	open := func(node string) *running { return oneOf(t, url, node, short) }
	r := race{t: t}
	r.offices[0], r.offices[1] = open("one"), open("two")
	r.offices[0].do(t, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q", WrapUp: desk.Duration(100 * time.Millisecond)}})

	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var wg sync.WaitGroup
	for i := range ghosts {
		wg.Go(func() { r.ghost(ctx, i) })
	}
	wg.Go(func() { // servers come and go
		for n := 0; ctx.Err() == nil; n++ {
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(300+rand.IntN(700)) * time.Millisecond):
				i := n % 2
				r.swap(i, func(old *running) *running { old.stop(); return open([]string{"one", "two"}[i]) })
			}
		}
	})
	wg.Wait()

	changes, stop := r.offices[0].Changes()
	defer stop()
	deadline := time.After(20 * time.Second)
	for {
		r.vanish() // again and again: what the other server took comes here a moment later
		left := ""
		r.offices[0].View(func(s *desk.State) { left = leftovers(s) })
		if left == "" {
			break
		}
		select {
		case <-changes:
		case <-deadline:
			t.Fatalf("all have vanished, and there is %s", left)
		}
	}
}

// vanish closes all sockets, as servers do when nothing is heard from the other end, and ends all media, as the relay does.
func (r *race) vanish() {
	conns := make(map[string]string)
	var silent []*desk.Media
	r.offices[0].View(func(s *desk.State) {
		for i := range ghosts {
			name := fmt.Sprintf("ghost%d", i)
			for _, conn := range s.ConnsOf(name) {
				conns[conn] = name
			}
		}
		for _, c := range s.AllCalls() {
			for i := range c.Parties {
				if p := &c.Parties[i]; p.Pushing || p.Playing {
					silent = append(silent, &desk.Media{Call: c.ID, User: p.User})
				}
			}
		}
	})
	for _, m := range silent {
		_, _ = r.offices[0].Do(r.t.Context(), desk.System(), m) // the call may be over by now
	}
	for conn, user := range conns {
		r.offices[0].do(r.t, desk.Actor{User: user, Roles: []desk.Role{desk.Caller}}, &desk.Disconnect{Conn: conn})
	}
}

// leftovers tells what is there that should not be.
func leftovers(s *desk.State) string {
	left := map[string]any{}
	if c := s.AllCalls(); len(c) > 0 {
		left["calls"] = c
	}
	var rooms []*desk.Room
	for _, room := range s.AllRooms() {
		if room.State != desk.RoomClosed {
			rooms = append(rooms, room)
		}
	}
	if len(rooms) > 0 {
		left["rooms"] = rooms
	}
	if len(left) == 0 {
		return ""
	}
	b, err := json.Marshal(left)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// ghost is a user who does something now and then.
func (r *race) ghost(ctx context.Context, n int) {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	name := fmt.Sprintf("ghost%d", n)
	by := desk.Actor{User: name, Roles: []desk.Role{desk.Caller}}
	if n%3 == 0 {
		by.Roles = []desk.Role{desk.Agent}
	}
	if n%8 == 7 {
		by.Roles = append(by.Roles, desk.Supervisor)
	}
	for i := 0; ctx.Err() == nil; i++ {
		r.mu.RLock()
		o := r.offices[rng.IntN(2)]
		one, cancel := context.WithTimeout(ctx, time.Second)
		var call string
		o.View(func(s *desk.State) {
			if calls := s.AllCalls(); len(calls) > 0 {
				call = calls[rng.IntN(len(calls))].ID
			}
			if room := s.Room(name); room != nil && room.Call != "" {
				call = room.Call
			}
		})
		var c desk.Command
		switch rng.IntN(12) {
		case 0, 1, 2:
			c = hello(name)(o.Office)
		case 3, 4:
			c = &desk.OpenRoom{}
		case 5:
			c = &desk.AskQueue{Call: fmt.Sprintf("%s-%d", name, i), Queue: "q"}
		case 6:
			c = &desk.AskUser{Call: fmt.Sprintf("%s-%d", name, i), User: fmt.Sprintf("ghost%d", rng.IntN(ghosts))}
		case 7, 8:
			c = &desk.Accept{Call: call}
		case 9:
			c = &desk.Watch{Call: call}
		case 10:
			c, by = &desk.Media{Call: call, User: name, Pushing: rng.IntN(2) == 0, Playing: rng.IntN(2) == 0}, desk.System()
		case 11:
			c = &desk.Transfer{Call: call, Queue: "q"}
		}
		_, _ = o.Do(one, by, c) // most of it is refused
		cancel()
		r.mu.RUnlock()
		if by.User != name {
			by = desk.Actor{User: name, Roles: by.Roles}
			if by.Roles = []desk.Role{desk.Caller}; n%3 == 0 {
				by.Roles = []desk.Role{desk.Agent}
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(rng.IntN(40)) * time.Millisecond):
		}
	}
}
