package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"
)

const patience = 20 * time.Second // for what should take milliseconds

// long asks for the thorough version of a test.
func long() bool { return os.Getenv("DUET_LONG") != "" }

func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// within is a context for one step of a test.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

func text(i uint64) []byte { return fmt.Appendf(nil, "entry %d", i) }

// fill appends entries behind the one numbered after.
func fill(t testing.TB, s *Store, after, n uint64) {
	t.Helper()
	for i := after + 1; i <= after+n; i++ {
		seq, err := s.Append(within(t), i-1, text(i))
		if err != nil || seq != i {
			t.Fatalf("Append %d: %d, %v", i, seq, err)
		}
	}
}

// expect checks that entries come one after the other.
type expect struct {
	t    testing.TB
	next uint64
}

func (x *expect) take(e Entry) error {
	if e.Seq != x.next || !bytes.Equal(e.Data, text(e.Seq)) {
		return fmt.Errorf("entry %d %.20q, want %d", e.Seq, e.Data, x.next)
	}
	x.next++
	return nil
}

var errEnough = errors.New("enough")

// follow follows in a goroutine: it sends each entry's number, and at the end the error.
func follow(t testing.TB, s *Store, after uint64) (entries <-chan uint64, result <-chan error, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	out, done := make(chan uint64, 10_000), make(chan error, 1)
	x := expect{t, after + 1}
	go func() {
		done <- s.Follow(ctx, after, func(e Entry) error {
			if err := x.take(e); err != nil {
				return err
			}
			out <- e.Seq
			return nil
		})
	}()
	return out, done, cancel
}

// await waits until an entry has come.
func await(t testing.TB, entries <-chan uint64, result <-chan error, seq uint64) {
	t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case got := <-entries:
			if got == seq {
				return
			}
		case err := <-result:
			t.Fatalf("Follow ended before entry %d: %v", seq, err)
		case <-timeout:
			t.Fatalf("entry %d did not come", seq)
		}
	}
}

func receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s did not come", what)
		panic("not reached")
	}
}

// eventually looks again and again.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: never", what)
		}
	}
}
