package store

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const shortLease = 600 * time.Millisecond

// place is where a log is. open opens it, as often as shared allows at a time.
type place struct {
	open   func(t testing.TB) *Store
	shared bool
}

// conformance is what every way of keeping the log has to do. at makes an empty log.
func conformance(t *testing.T, at func(t *testing.T) place) {
	tests := map[string]func(*testing.T, place){
		"append": testAppend, "sizes": testSizes, "read": testRead, "gone": testGone, "follow": testFollow, "follow ends": testFollowEnds,
		"cancellation": testCancellation, "closed": testClosed, "reopen": testReopen, "snapshots": testSnapshots, "snapshot crash": testSnapshotCrash,
		"outbox order": testOutboxOrder, "outbox retry": testOutboxRetry, "outbox takeover": testOutboxTakeover, "outbox reset": testOutboxReset,
		"outbox silent": testOutboxSilent, "bus": testBus,
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, at(t))
		})
	}
}

func testAppend(t *testing.T, p place) {
	s := p.open(t)
	if last, err := s.Last(within(t)); last != 0 || err != nil {
		t.Fatalf("Last of an empty log: %d, %v", last, err)
	}
	if _, err := s.Append(within(t), 1, text(1)); !errors.Is(err, ErrConflict) {
		t.Fatalf("Append behind what is not there: %v", err)
	}
	fill(t, s, 0, 3)
	for _, after := range []uint64{0, 2, 4, 1 << 40} {
		if _, err := s.Append(within(t), after, text(9)); !errors.Is(err, ErrConflict) {
			t.Fatalf("Append behind %d of 3: %v", after, err)
		}
	}
	if last, err := s.Last(within(t)); last != 3 || err != nil {
		t.Fatalf("Last: %d, %v", last, err)
	}

	// Many at once with the same expectation: one of them gets in.
	var won, lost atomic.Int64
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			switch _, err := s.Append(within(t), 3, text(4)); {
			case err == nil:
				won.Add(1)
			case errors.Is(err, ErrConflict):
				lost.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() != 1 || lost.Load() != 19 {
		t.Fatalf("%d appended, %d in conflict", won.Load(), lost.Load())
	}
}

func testSizes(t *testing.T, p place) {
	s := p.open(t)
	rng := rand.New(rand.NewPCG(1, 1))
	big := make([]byte, MaxEntry)
	for i := range big {
		big[i] = byte(rng.Uint32())
	}
	want := [][]byte{{}, {0}, big, []byte("NATS/1.0\r\n\r\n"), big[:MaxEntry-1]}
	for i := range 40 { // more than a reader is given at once
		want = append(want, big[:MaxEntry-i])
	}
	for i, b := range want {
		if _, err := s.Append(within(t), uint64(i), b); err != nil {
			t.Fatalf("%d bytes: %v", len(b), err)
		}
	}
	last := uint64(len(want))
	if _, err := s.Append(within(t), last, make([]byte, MaxEntry+1)); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("an entry that is too large: %v", err)
	}
	for _, span := range [][2]uint64{{1, last}, {1, 5}} {
		next := span[0]
		err := s.Read(within(t), span[0], span[1], func(e Entry) error {
			if e.Seq != next || !bytes.Equal(e.Data, want[e.Seq-1]) {
				t.Errorf("entry %d of %d bytes, want %d", e.Seq, len(e.Data), next)
			}
			next++
			return nil
		})
		if err != nil || next != span[1]+1 {
			t.Fatalf("Read: %v, up to %d", err, next-1)
		}
	}
}

func testRead(t *testing.T, p place) {
	s := p.open(t)
	begin := time.Now()
	fill(t, s, 0, 600)
	for _, span := range [][2]uint64{{1, 600}, {0, 3}, {600, 600}, {100, 107}, {100, 108}, {590, 600}, {7, 6}} {
		x := expect{t, max(1, span[0])}
		if err := s.Read(within(t), span[0], span[1], x.take); err != nil {
			t.Fatalf("Read %v: %v", span, err)
		}
		if want := max(max(1, span[0]), span[1]+1); x.next != want {
			t.Errorf("Read %v ended at %d", span, x.next-1)
		}
	}
	behind := [][2]uint64{{1, 601}, {601, 601}}
	if p.shared {
		behind = behind[:1] // there it is waited for a while whether the log becomes longer
	}
	for _, span := range behind {
		calls := 0
		err := s.Read(within(t), span[0], span[1], func(Entry) error { calls++; return nil })
		if !errors.Is(err, ErrAhead) || calls > 0 {
			t.Errorf("Read %v of 600: %v after %d entries", span, err, calls)
		}
	}
	for _, to := range []uint64{3, 600} {
		calls := 0
		err := s.Read(within(t), 1, to, func(Entry) error {
			if calls++; calls == 2 {
				return errEnough
			}
			return nil
		})
		if err != errEnough || calls != 2 { // the very error
			t.Errorf("Read to %d: %v after %d calls", to, err, calls)
		}
	}
	err := s.Read(within(t), 300, 300, func(e Entry) error {
		if e.Time.Before(begin.Add(-time.Second)) || e.Time.After(time.Now().Add(time.Second)) {
			t.Errorf("entry of %v", e.Time)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// testGone: what the operator has removed from the beginning.
func testGone(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 30)
	if err := s.log.Purge(within(t), jetstream.WithPurgeSequence(11)); err != nil {
		t.Fatal(err)
	}
	never := func(e Entry) error { t.Errorf("entry %d", e.Seq); return nil }
	if err := s.Read(within(t), 10, 12, never); !errors.Is(err, ErrGone) {
		t.Errorf("Read: %v", err)
	}
	if err := s.Read(within(t), 1, 30, never); !errors.Is(err, ErrGone) {
		t.Errorf("Read: %v", err)
	}
	if err := s.Follow(within(t), 9, never); !errors.Is(err, ErrGone) {
		t.Errorf("Follow: %v", err)
	}
	x := expect{t, 11}
	if err := s.Read(within(t), 11, 30, x.take); err != nil || x.next != 31 {
		t.Errorf("Read of what is left: %v, %d", err, x.next)
	}
	if err := s.log.Purge(within(t)); err != nil {
		t.Fatal(err)
	}
	if last, err := s.Last(within(t)); last != 30 || err != nil {
		t.Errorf("Last of a purged log: %d, %v", last, err)
	}
	fill(t, s, 30, 1)
	closeStore(t, s)
	s = p.open(t)
	x = expect{t, 31}
	if err := s.Read(within(t), 31, 31, x.take); err != nil || x.next != 32 {
		t.Errorf("Read after a purge: %v, %d", err, x.next)
	}
}

func testFollow(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 300)
	all, allEnd, stop := follow(t, s, 0)
	late, lateEnd, stopLate := follow(t, s, 300)
	await(t, all, allEnd, 300)
	for i := range uint64(50) {
		fill(t, s, 300+i, 1)
		await(t, all, allEnd, 301+i) // each as it comes
		await(t, late, lateEnd, 301+i)
	}
	stop()
	stopLate()
	if err := receive(t, allEnd, "Follow's end"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := receive(t, lateEnd, "Follow's end"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func testFollowEnds(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 5)
	calls := 0
	err := s.Follow(within(t), 0, func(e Entry) error {
		if calls++; e.Seq == 3 {
			return errEnough
		}
		return nil
	})
	if err != errEnough || calls != 3 {
		t.Errorf("%v after %d entries", err, calls)
	}
	if p.shared {
		return // there it is waited for a while whether the log becomes longer
	}
	if err := s.Follow(within(t), 6, func(Entry) error { return nil }); !errors.Is(err, ErrAhead) {
		t.Errorf("Follow behind 6 of 5: %v", err)
	}
}

func testCancellation(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 20)
	ended, end := context.WithCancel(t.Context())
	end()
	never := func(Entry) error { t.Error("called"); return nil }
	_, appended := s.Append(ended, 20, text(21))
	_, last := s.Last(ended)
	_, _, loaded := s.LoadSnapshot(ended)
	_, opened := s.Outbox(ended, "x", 0)
	_, answered := s.Request(ended, "nobody", nil)
	for name, err := range map[string]error{
		"Append": appended, "Last": last, "LoadSnapshot": loaded, "Outbox": opened, "Request": answered, "Read": s.Read(ended, 1, 20, never),
		"Read of few": s.Read(ended, 1, 2, never), "Follow": s.Follow(ended, 0, never), "SaveSnapshot": s.SaveSnapshot(ended, 1, nil),
		"DeleteOutbox": s.DeleteOutbox(ended, "x"), "ResetOutbox": s.ResetOutbox(ended, "x", 0),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if last, err := s.Last(within(t)); last != 20 || err != nil {
		t.Errorf("Last: %d, %v: a canceled Append appended", last, err)
	}

	o, err := s.Outbox(within(t), "box", 20)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := o.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Next: %v", err)
	}
	if err := s.Follow(ctx, 20, never); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Follow: %v", err)
	}
	fill(t, s, 20, 1)
	if d, err := o.Next(within(t)); err != nil || d.Entry.Seq != 21 {
		t.Errorf("Next after a canceled one: %+v, %v", d, err)
	}
}

func testClosed(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 2)
	o, err := s.Outbox(within(t), "box", 2)
	if err != nil {
		t.Fatal(err)
	}
	entries, followed, _ := follow(t, s, 0)
	await(t, entries, followed, 2)
	next := make(chan error, 1)
	go func() {
		_, err := o.Next(within(t))
		next <- err
	}()
	stop, err := s.Subscribe("x", func(string, []byte, func([]byte)) {})
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	if err := receive(t, followed, "Follow's end"); !errors.Is(err, ErrClosed) {
		t.Errorf("Follow: %v", err)
	}
	if err := receive(t, next, "Next's end"); !errors.Is(err, ErrClosed) {
		t.Errorf("Next: %v", err)
	}
	stop()
	_, appended := s.Append(within(t), 2, text(3))
	_, last := s.Last(within(t))
	_, _, loaded := s.LoadSnapshot(within(t))
	_, opened := s.Outbox(within(t), "x", 0)
	_, answered := s.Request(within(t), "nobody", nil)
	_, subscribed := s.Subscribe("x", func(string, []byte, func([]byte)) {})
	for name, err := range map[string]error{
		"Append": appended, "Last": last, "LoadSnapshot": loaded, "Outbox": opened, "Request": answered, "Subscribe": subscribed,
		"Publish": s.Publish("x", nil), "Read": s.Read(within(t), 1, 2, func(Entry) error { return nil }), "SaveSnapshot": s.SaveSnapshot(within(t), 1, nil),
	} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s after Close: %v", name, err)
		}
	}
	closeStore(t, s) // once more does nothing
}

func testReopen(t *testing.T, p place) {
	for round := range uint64(3) {
		s := p.open(t)
		if last, err := s.Last(within(t)); last != round*20 || err != nil {
			t.Fatalf("Last: %d, %v", last, err)
		}
		fill(t, s, round*20, 20)
		x := expect{t, 1}
		if err := s.Read(within(t), 1, round*20+20, x.take); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
	}
}

func testBus(t *testing.T, p place) {
	s := p.open(t)
	other := s
	if p.shared {
		other = p.open(t)
	}
	type message struct {
		subject, text string
	}
	got := make(chan message, 100)
	stop, err := s.Subscribe("relay.*.load", func(subject string, b []byte, reply func([]byte)) {
		got <- message{subject, string(b)}
		reply(append([]byte("re: "), b...))
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Publish("relay.7.load", []byte("one")); err != nil {
		t.Fatal(err)
	}
	if m := receive(t, got, "a message"); m != (message{"relay.7.load", "one"}) {
		t.Errorf("%+v", m)
	}
	b, err := other.Request(within(t), "relay.8.load", []byte("two"))
	if err != nil || string(b) != "re: two" {
		t.Errorf("Request: %q, %v", b, err)
	}
	receive(t, got, "the request")
	stop()
	eventually(t, "the end of a subscription", func() bool {
		ctx, cancel := context.WithTimeout(within(t), time.Second/4) // one that was under way when it ended is answered by nobody
		defer cancel()
		_, err := other.Request(ctx, "relay.8.load", nil)
		return errors.Is(err, ErrNoResponder)
	})
	for _, subject := range []string{"", ".", "a..b", "a.", "a b", "a\r\nb", "*", "a.>", "a*"} {
		if err := s.Publish(subject, nil); err == nil {
			t.Errorf("published on %q", subject)
		}
	}
	for _, subject := range []string{"", "a..b", ">.a", "a*", "a.>b"} {
		if _, err := s.Subscribe(subject, func(string, []byte, func([]byte)) {}); err == nil {
			t.Errorf("subscribed to %q", subject)
		}
	}
	if err := s.Publish("a", make([]byte, MaxMessage+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a message that is too large: %v", err)
	}
	if err := s.Publish("log", []byte("no entry")); err != nil {
		t.Error(err)
	}
	if last, err := s.Last(within(t)); last != 0 || err != nil {
		t.Errorf("a message became an entry: %d, %v", last, err)
	}
}
