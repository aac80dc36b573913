package store

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func openBox(t *testing.T, s *Store, after uint64) *Outbox {
	t.Helper()
	o, err := s.Outbox(within(t), "box", after)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func next(t *testing.T, o *Outbox, want uint64) *Delivery {
	t.Helper()
	d, err := o.Next(within(t))
	if err != nil || d.Entry.Seq != want || string(d.Entry.Data) != string(text(want)) {
		t.Fatalf("Next: %+v, %v; want entry %d", d, err, want)
	}
	return d
}

func done(t *testing.T, d *Delivery) {
	t.Helper()
	if err := d.Done(within(t)); err != nil {
		t.Fatal(err)
	}
}

func testOutboxOrder(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 30)
	boxes := []*Outbox{openBox(t, s, 10), openBox(t, s, 0)} // that the second says 0 has no effect: it is there
	if p.shared {
		boxes = append(boxes, openBox(t, p.open(t), 0))
	}
	var mu sync.Mutex
	var order []uint64
	var wg sync.WaitGroup
	ctx, enough := context.WithCancel(within(t))
	defer enough()
	for _, o := range boxes {
		wg.Go(func() {
			for {
				d, err := o.Next(ctx)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				mu.Lock()
				order = append(order, d.Entry.Seq)
				n := len(order)
				mu.Unlock()
				if err := d.Done(within(t)); err != nil {
					t.Error(err)
				}
				if n == 40 {
					enough()
				}
			}
		})
	}
	fill(t, s, 30, 20)
	wg.Wait()
	for i, seq := range order {
		if seq != uint64(11+i) {
			t.Fatalf("order: %d", order)
		}
	}
	if len(order) != 40 {
		t.Fatalf("%d entries of 40", len(order))
	}
	for _, name := range []string{"", "a.b", "a b", "x/y", string(make([]byte, 40))} {
		if _, err := s.Outbox(within(t), name, 0); err == nil {
			t.Errorf("an outbox %q", name)
		}
	}
}

func testOutboxRetry(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 2)
	o := openBox(t, s, 0)
	d := next(t, o, 1)
	if d.Attempt != 1 {
		t.Errorf("attempt %d", d.Attempt)
	}
	const pause = 100 * time.Millisecond
	begin := time.Now()
	if err := d.Retry(pause); err != nil {
		t.Fatal(err)
	}
	d = next(t, o, 1) // not 2
	if waited := time.Since(begin); waited < pause {
		t.Errorf("it came back after %v", waited)
	}
	if d.Attempt != 2 {
		t.Errorf("attempt %d", d.Attempt)
	}
	if err := d.Retry(0); err != nil {
		t.Fatal(err)
	}
	done(t, next(t, o, 1))
	done(t, next(t, o, 2))
}

// testOutboxTakeover: a process that ends in the middle, in order or not.
func testOutboxTakeover(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 3)
	o := openBox(t, s, 0)
	done(t, next(t, o, 1))
	next(t, o, 2) // in flight
	var waiting *Store
	got := make(chan *Delivery, 1)
	if p.shared {
		waiting = p.open(t)
		o := openBox(t, waiting, 0)
		go func() {
			d, err := o.Next(within(t))
			if err != nil {
				t.Error(err)
			}
			got <- d
		}()
	}
	select {
	case d := <-got:
		t.Fatalf("entry %d was handed out while it was in flight", d.Entry.Seq)
	case <-time.After(shortLease / 8):
	}
	begin := time.Now()
	closeStore(t, s)
	if p.shared {
		if d := receive(t, got, "the entry in flight"); d.Entry.Seq != 2 {
			t.Fatalf("entry %d", d.Entry.Seq)
		} else {
			done(t, d)
		}
		if waited := time.Since(begin); waited > shortLease/2 {
			t.Errorf("it was not given back: it came after %v", waited)
		}
	} else {
		waiting = p.open(t)
		done(t, next(t, openBox(t, waiting, 0), 2))
	}
	o = openBox(t, waiting, 0)
	next(t, o, 3)
	o.Close()
	done(t, next(t, openBox(t, waiting, 0), 3))
}

// testOutboxSilent: one that says nothing loses the entry when its lease ends, one that works keeps it.
func testOutboxSilent(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 2)
	first, second := openBox(t, s, 0), openBox(t, s, 0)
	d := next(t, first, 1)
	begin := time.Now()
	got := make(chan *Delivery, 1)
	go func() {
		d, err := second.Next(within(t))
		if err != nil {
			t.Error(err)
		}
		got <- d
	}()
	tick := time.NewTicker(shortLease / 8)
	defer tick.Stop()
	for time.Since(begin) < shortLease*3/2 {
		<-tick.C
		if err := d.Working(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-got:
		t.Fatal("it was taken from one that works")
	default:
	}
	if d := receive(t, got, "the entry of one that is silent"); d.Entry.Seq != 1 || d.Attempt != 2 {
		t.Fatalf("%+v", d)
	} else {
		done(t, d)
	}
	done(t, next(t, second, 2))
}

func testOutboxReset(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 10)
	o := openBox(t, s, 4)
	for i := range uint64(3) {
		done(t, next(t, o, 5+i))
	}
	inFlight := next(t, o, 8)
	if err := s.ResetOutbox(within(t), "box", 2); err != nil { // before where it began
		t.Fatal(err)
	}
	late, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := inFlight.Done(late); err == nil {
		t.Error("an entry was done after the outbox was reset")
	}
	for i := range uint64(8) {
		done(t, next(t, o, 3+i))
	}
	if err := s.ResetOutbox(within(t), "box", 8); err != nil {
		t.Fatal(err)
	}
	done(t, next(t, o, 9))
	if err := s.ResetOutbox(within(t), "box", 10); err != nil {
		t.Fatal(err)
	}
	fill(t, s, 10, 1)
	done(t, next(t, o, 11))

	ended := make(chan error, 1)
	go func() {
		_, err := o.Next(within(t))
		ended <- err
	}()
	if err := s.DeleteOutbox(within(t), "box"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteOutbox(within(t), "box"); err != nil {
		t.Errorf("deleted twice: %v", err)
	}
	if err := receive(t, ended, "Next's end"); !errors.Is(err, ErrNoOutbox) {
		t.Errorf("Next: %v", err)
	}
	done(t, next(t, openBox(t, s, 6), 7)) // a new one
}

// TestOutboxLease: another lease, as another configuration may bring it, leaves the position.
func TestOutboxLease(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range uint64(3) {
		s := mustOpen(t, Config{Dir: dir, Lease: time.Duration(round+1) * time.Second})
		fill(t, s, 2*round, 2)
		o := openBox(t, s, 0)
		done(t, next(t, o, 2*round+1))
		done(t, next(t, o, 2*round+2))
		if got := o.consumer.CachedInfo().Config.AckWait; got != s.cfg.Lease {
			t.Errorf("the lease is %v", got)
		}
		closeStore(t, s)
	}
}

// TestOutboxNames: outboxes whose names begin alike, or look like generations, are apart.
func TestOutboxNames(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir()})
	fill(t, s, 0, 10)
	names := []string{"a", "a-1", "a1", "1", "aa"}
	for i, name := range names {
		if err := s.ResetOutbox(within(t), name, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.DeleteOutbox(within(t), "a1"); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		o, err := s.Outbox(within(t), name, uint64(i))
		if err != nil {
			t.Fatal(err)
		}
		next(t, o, uint64(i)+1)
	}
}

// TestOutboxGivenUp: who stops waiting at the moment at which an entry comes does not take it along.
func TestOutboxGivenUp(t *testing.T) {
	t.Parallel()
	s := mustOpen(t, Config{Dir: t.TempDir(), Lease: time.Hour, Sync: time.Minute})
	first := openBox(t, s, 0)
	for i := range uint64(200) {
		ctx, cancel := context.WithCancel(within(t))
		ended := make(chan *Delivery, 1)
		go func() {
			d, _ := first.Next(ctx)
			ended <- d
		}()
		fill(t, s, i, 1)
		cancel()
		if d := receive(t, ended, "Next's end"); d != nil {
			done(t, d)
			continue
		}
		first.Close()
		first = openBox(t, s, 0)
		done(t, next(t, first, i+1))
	}
}
