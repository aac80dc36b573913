package hook

import (
	"maps"
	"testing"
	"time"

	"duet/signaling/desk"
	"duet/signaling/store"
	"duet/signaling/store/storetest"
)

// Of two servers over one log either tells an event, never both at one time; the other goes on when one ends.
func TestTwoServers(t *testing.T) {
	t.Parallel()
	cfg := store.Config{URL: storetest.NATS(t), Lease: 500 * time.Millisecond}
	r := newReceiver(t)
	a, b := openDesk(t, cfg, "a"), openDesk(t, cfg, "b")
	stopA, stopB := a.run(1), b.run(1)
	defer stopB()
	defer stopA()
	a.setUp(r)
	for i := range 6 {
		[]*desk1{a, b}[i%2].calls(i, 1)
	}
	r.expect(0, 6)
	stopA()
	b.calls(6, 4)
	r.expect(6, 4)
}

// A webhook that was deleted while nobody was there to forget its place, and made again, is told only of what comes after.
func TestMadeAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, d := newReceiver(t), newDesk(t, dir)
	stop := d.run(1)
	d.setUp(r)
	d.calls(0, 1)
	r.expect(0, 1)
	stop()
	d = newDesk(t, dir)
	stop = d.run(0)
	d.calls(1, 2)
	d.do(desk.System(), &desk.DeleteHook{ID: "crm"})
	d.setUp(r)
	stop()
	d = newDesk(t, dir)
	stop = d.run(1)
	defer stop()
	d.calls(3, 2)
	r.expect(3, 2)
}

// A replay begins at once, though the receiver was away and its worker waits.
func TestReplayWhileWaiting(t *testing.T) {
	t.Parallel()
	r, d := newReceiver(t), newDesk(t, t.TempDir())
	r.overlaps = true // a replay gives up what is on its way
	cfg := d.config()
	cfg.FirstWait, cfg.LongestWait = time.Hour, time.Hour
	dispatcher := New(cfg)
	stop := d.runs(dispatcher)
	defer stop()
	d.setUp(r)
	d.calls(0, 2)
	r.expect(0, 2)
	refused := make(chan struct{})
	r.refuse(refused)
	d.calls(2, 1)
	select {
	case <-refused:
	case <-time.After(10 * time.Second):
		t.Fatal("nothing came")
	}
	r.refuse(nil)
	clear(r.seen)
	if err := dispatcher.Replay(t.Context(), "crm", 0); err != nil { // from the first entry
		t.Fatal(err)
	}
	r.expect(0, 3)
	if err := dispatcher.Replay(t.Context(), "other", 1); err == nil {
		t.Error("a webhook that is not there is told again")
	}
}

// Settings that change hold from the next event on, and nothing is lost or told in another order. What was on its way at that moment is told again.
func TestChanged(t *testing.T) {
	t.Parallel()
	r, other, d := newReceiver(t), newReceiver(t), newDesk(t, t.TempDir())
	stop := d.run(1)
	defer stop()
	d.setUp(r)
	d.calls(0, 3)
	r.expect(0, 3)
	d.do(desk.System(), &desk.SetHook{Hook: desk.Hook{ID: "crm", URL: other.URL, Secret: other.secret, Private: true}})
	d.calls(3, 3)
	other.seen = maps.Clone(r.seen)
	other.expect(3, 3)
	if other.repeated > 1 {
		t.Errorf("%d events were told again", other.repeated)
	}
	d.do(desk.System(), &desk.DeleteHook{ID: "crm"})
	d.calls(6, 1)
	d.setUp(r)
	d.calls(7, 1)
	r.expect(7, 1)
	for len(other.got) > 0 { // the last ones may have been told again
		if m := <-other.got; !other.seen[m["id"]] {
			t.Errorf("at the receiver that was given up: %v", m)
		}
	}
}
