package office_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// running is an office at work.
type running struct {
	*office.Office
	store *store.Store
	stop  func() // ends it and lets go of the store
}

// start runs an office over the store in a directory.
func start(t *testing.T, dir string, cfg office.Config) *running {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return run(t, st, cfg)
}

func run(t *testing.T, st *store.Store, cfg office.Config) *running {
	t.Helper()
	cfg.Store = st
	o, err := office.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.Run(ctx) }()
	r := &running{Office: o, store: st}
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *running) do(t *testing.T, by desk.Actor, c desk.Command) desk.Result {
	t.Helper()
	result, err := r.Do(t.Context(), by, c)
	if err != nil {
		t.Fatalf("%T: %v", c, err)
	}
	return result
}

func (r *running) text() (text string) {
	r.View(func(s *desk.State) {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		text = string(b)
	})
	return text
}

func caller(id string) desk.Actor { return desk.Actor{User: id, Roles: []desk.Role{desk.Caller}} }
func agent(id string) desk.Actor  { return desk.Actor{User: id, Roles: []desk.Role{desk.Agent}} }

func connect(o *office.Office, user string) *desk.Connect {
	return &desk.Connect{Conn: user + "-1", Node: o.NodeName(), Life: o.Life()}
}

// until waits for an event of a kind.
func until(t *testing.T, s *office.Subscription, kind string) office.Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		e, err := s.Next(ctx)
		if err != nil {
			t.Fatalf("waiting for %s: %v", kind, err)
		}
		if e.Notice.Kind == kind {
			return e
		}
	}
}

func TestCallOverRestarts(t *testing.T) {
	dir := t.TempDir()
	o := start(t, dir, office.Config{})
	o.do(t, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q"}})
	anna, carl := agent("anna"), caller("carl")
	told, resumed := o.Subscribe("carl", false, 0)
	if resumed {
		t.Error("resumed from nothing")
	}
	o.do(t, anna, connect(o.Office, "anna"))
	o.do(t, anna, &desk.OpenRoom{})
	o.do(t, carl, connect(o.Office, "carl"))
	o.do(t, carl, &desk.AskQueue{Call: "c1", Queue: "q"})
	o.do(t, anna, &desk.Accept{Call: "c1"})
	push := until(t, told, desk.NoticePush)
	if g := push.Notice.Grant; g == nil || !g.Push || g.Call != "c1" || g.Party != "carl" {
		t.Fatalf("granted %+v", g)
	}
	o.do(t, carl, &desk.Say{Call: "c1", ID: "m1", Body: "hello"})
	first := until(t, told, desk.NoticeMessage)
	o.do(t, anna, &desk.Say{Call: "c1", ID: "m2", Body: "good morning"})
	before := o.text()
	o.stop()
	if _, err := told.Next(t.Context()); err != nil {
		t.Errorf("what was there before the end: %v", err)
	}
	if _, err := told.Next(t.Context()); err == nil {
		t.Error("the subscription goes on after the end")
	}

	var floors []desk.Floor
	o = start(t, dir, office.Config{OnFloor: func(f desk.Floor) { floors = append(floors, f) }})
	o.View(func(s *desk.State) {
		if c := s.Call("c1"); c == nil || len(c.Messages) != 2 || c.State != desk.CallSetup {
			t.Errorf("after the restart the call is %+v; before: %s", c, before)
		}
		if r := s.Room("anna"); r.State != desk.RoomBusy {
			t.Errorf("after the restart the room is %s", r.State)
		}
	})
	again, resumed := o.Subscribe("carl", false, first.Seq)
	if !resumed {
		t.Fatal("not resumed after a restart")
	}
	if e := until(t, again, desk.NoticeMessage); e.Notice.Body.Message.Body != "good morning" || e.Seq <= first.Seq {
		t.Errorf("resumed with %+v", e)
	}
	o.do(t, carl, connect(o.Office, "carl"))
	o.do(t, carl, &desk.HangUp{Call: "c1"})
	until(t, again, desk.NoticeEnded)
	o.stop()
	if len(floors) != 1 || floors[0].Call != "c1" || floors[0].Epoch != 1 {
		t.Errorf("floors %+v", floors)
	}
	start(t, dir, office.Config{OnFloor: func(f desk.Floor) { floors = append(floors, f) }})
	if len(floors) != 2 {
		t.Errorf("after another restart the relay is not told of the floor: %+v", floors)
	}
}

// What comes in while an entry is written makes one entry.
func TestGroupCommit(t *testing.T) {
	o := start(t, t.TempDir(), office.Config{})
	before, err := o.store.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const n = 2000
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			if _, err := o.Do(t.Context(), desk.System(), &desk.Audit{Action: "test", Object: fmt.Sprint(i)}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	after, err := o.store.Last(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if after-before > n/4 {
		t.Errorf("%d commands at once made %d entries", n, after-before)
	}
}

func TestRefusals(t *testing.T) {
	o := start(t, t.TempDir(), office.Config{})
	var refused *desk.Error
	if _, err := o.Do(t.Context(), caller("x"), &desk.AskQueue{Call: "c1", Queue: "nowhere"}); !errors.As(err, &refused) || refused.Code != desk.NotFound {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := o.Do(ctx, caller("x"), &desk.AskQueue{Call: "c1", Queue: "nowhere"}); err == nil {
		t.Error("done for nobody")
	}
	o.stop()
	if _, err := o.Do(t.Context(), caller("x"), &desk.AskQueue{Call: "c1", Queue: "nowhere"}); !errors.As(err, &refused) || refused.Code != desk.Unavailable {
		t.Errorf("after the end: %v", err)
	}
}

// A snapshot in the middle changes nothing, and makes the start short.
func TestSnapshot(t *testing.T) {
	dir := t.TempDir()
	o := start(t, dir, office.Config{})
	o.do(t, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q"}})
	for i := range 300 {
		o.do(t, desk.System(), &desk.Audit{Action: "test", Object: fmt.Sprint(i)})
	}
	text := o.text()
	o.stop()
	st, err := store.Open(t.Context(), store.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if seq, _, err := st.LoadSnapshot(t.Context()); err != nil || seq < 300 {
		t.Errorf("snapshot of entry %d: %v", seq, err)
	}
	o = run(t, st, office.Config{})
	var queues int
	o.View(func(s *desk.State) { queues = len(s.AllQueues()) })
	if queues != 1 {
		t.Errorf("%d queues; before: %s", queues, text)
	}
}

func TestSlowSubscriber(t *testing.T) {
	o := start(t, t.TempDir(), office.Config{})
	s, _ := o.Subscribe("boss", true, 0)
	o.do(t, agent("anna"), connect(o.Office, "anna"))
	for range 2100 {
		o.do(t, agent("anna"), &desk.OpenRoom{})
		o.do(t, agent("anna"), &desk.CloseRoom{})
	}
	for {
		if _, err := s.Next(t.Context()); err != nil {
			if !errors.Is(err, office.ErrLagged) {
				t.Errorf("got %v", err)
			}
			return
		}
	}
}
