package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	childDir  = "DUET_STORE_CHILD"
	childSync = "DUET_STORE_SYNC"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := child(dir, os.Getenv(childSync)); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// child appends as fast as it can, and saves snapshots and empties an outbox beside it, until it is killed. It tells what was acknowledged.
func child(dir, sync string) error {
	every, err := time.ParseDuration(sync)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // should nobody kill it
	defer cancel()
	s, err := Open(ctx, Config{Dir: dir, Sync: every})
	if err != nil {
		return err
	}
	last, err := s.Last(ctx)
	if err != nil {
		return err
	}
	o, err := s.Outbox(ctx, "box", 0)
	if err != nil {
		return err
	}
	failed := make(chan error, 3)
	lines := make(chan string) // so that none is mixed with another
	go func() {
		for line := range lines {
			fmt.Println(line)
		}
	}()
	saved := make(chan uint64, 1)
	go func() {
		for seq := range saved {
			if err := s.SaveSnapshot(ctx, seq, noise(seq, int(seq%3)*chunkSize+100)); err != nil {
				failed <- err
				return
			}
			lines <- fmt.Sprint("saved ", seq)
		}
	}()
	go func() {
		for {
			d, err := o.Next(ctx)
			if err == nil {
				lines <- fmt.Sprint("out ", d.Entry.Seq)
				err = d.Done(ctx)
			}
			if err != nil {
				failed <- err
				return
			}
		}
	}()
	for {
		if last, err = s.Append(ctx, last, text(last+1)); err != nil {
			return err
		}
		lines <- fmt.Sprint("acked ", last)
		if last%37 == 0 {
			select {
			case saved <- last:
			default:
			}
		}
		select {
		case err := <-failed:
			return err
		default:
		}
	}
}

// running is a child, seen from its parent.
type running struct {
	cmd   *exec.Cmd
	acked chan struct{} // closed when as many entries as asked for were acknowledged
	ended chan told
}

// told is what a child has told.
type told struct {
	acked, saved uint64
	out          []uint64
	fault        string
}

func startChild(t *testing.T, dir, sync string, acks int) *running {
	t.Helper()
	c := &running{cmd: exec.Command(os.Args[0]), acked: make(chan struct{}), ended: make(chan told, 1)}
	c.cmd.Env = append(os.Environ(), childDir+"="+dir, childSync+"="+sync)
	c.cmd.Stderr = os.Stderr
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		var is told
		in := bufio.NewReader(out)
		for {
			line, err := in.ReadString('\n')
			if err != nil { // what is cut was not told
				break
			}
			what, number, _ := strings.Cut(strings.TrimSpace(line), " ")
			n, err := strconv.ParseUint(number, 10, 64)
			switch {
			case err != nil:
				is.fault += line
			case what == "acked":
				is.acked = n
				if acks--; acks == 0 {
					close(c.acked)
				}
			case what == "saved":
				is.saved = n
			case what == "out":
				is.out = append(is.out, n)
			}
		}
		if acks > 0 {
			close(c.acked)
		}
		c.ended <- is
	}()
	return c
}

// kill is SIGKILL.
func (c *running) kill(t *testing.T) told {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	is := receive(t, c.ended, "the child's end")
	_ = c.cmd.Wait() // says that it was killed
	return is
}

// TestKill: whenever a process is killed, what it has acknowledged is there, once and in order; and so are snapshots and the outbox's order.
func TestKill(t *testing.T) {
	t.Parallel()
	for _, sync := range []string{"0s", "2m"} {
		t.Run("sync "+sync, func(t *testing.T) {
			t.Parallel()
			testKill(t, sync)
		})
	}
}

func testKill(t *testing.T, sync string) {
	kills := 10
	if long() {
		kills = 200
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	every, err := time.ParseDuration(sync)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var acked, saved, done uint64
	for round := range kills {
		var is told
		if round%5 == 0 { // any moment, the start too
			c := startChild(t, dir, sync, -1)
			<-time.After(time.Duration(rng.IntN(40)) * time.Millisecond)
			is = c.kill(t)
		} else {
			c := startChild(t, dir, sync, 1+rng.IntN(300))
			<-c.acked
			<-time.After(time.Duration(rng.IntN(3000)) * time.Microsecond)
			is = c.kill(t)
		}
		if is.fault != "" {
			t.Fatalf("round %d: %s", round, is.fault)
		}
		acked, saved = max(acked, is.acked), max(saved, is.saved)
		done = checkOut(t, is.out, done)
		if round%3 == 2 || round == kills-1 {
			checkKilled(t, Config{Dir: dir, Sync: every}, acked, saved, done)
		}
	}
	t.Logf("%d entries, snapshot of %d, %d handed out", acked, saved, done)
}

// checkOut checks that what an outbox has handed out goes on where it was, perhaps with repetitions. It returns the last.
func checkOut(t *testing.T, out []uint64, done uint64) uint64 {
	t.Helper()
	for i, seq := range out {
		if i == 0 && seq > done+1 || i > 0 && seq != out[i-1]+1 {
			t.Fatalf("entry %d was handed out after %d", seq, done)
		}
		done = max(done, seq)
	}
	return done
}

func checkKilled(t *testing.T, cfg Config, acked, saved, done uint64) {
	t.Helper()
	s, err := Open(within(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	last, err := s.Last(within(t))
	if err != nil || last < acked {
		t.Fatalf("the log ends at %d, but %d was acknowledged; %v", last, acked, err)
	}
	x := expect{t, 1}
	if err := s.Read(within(t), 1, last, x.take); err != nil || x.next != last+1 {
		t.Fatalf("Read of %d: %v", last, err)
	}
	seq, data, err := s.LoadSnapshot(within(t))
	if err != nil || seq < saved || seq > 0 && string(data) != string(noise(seq, int(seq%3)*chunkSize+100)) {
		t.Fatalf("snapshot of %d with %d bytes, %v; %d was saved", seq, len(data), err, saved)
	}
	if done == 0 {
		return
	}
	o, err := s.Outbox(within(t), "box", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	d, err := o.Next(ctx)
	if errors.Is(err, context.DeadlineExceeded) && done == last {
		return
	}
	if err != nil || d.Entry.Seq > done+1 {
		t.Fatalf("Next: %+v, %v; up to %d was handed out", d, err, done)
	}
}

// TestKillAtBirth: a process that is killed while it makes its log leaves nothing that harms a later one.
func TestKillAtBirth(t *testing.T) {
	t.Parallel()
	kills := 10
	if long() {
		kills = 200
	}
	for range kills {
		dir := t.TempDir()
		var acked uint64
		for range 2 {
			c := startChild(t, dir, "0s", -1)
			<-time.After(time.Duration(rand.IntN(30_000)) * time.Microsecond)
			is := c.kill(t)
			if is.fault != "" {
				t.Fatal(is.fault)
			}
			acked = max(acked, is.acked)
		}
		for range 2 {
			checkKilled(t, Config{Dir: dir}, acked, 0, 0)
			s := mustOpen(t, Config{Dir: dir})
			last, err := s.Last(within(t))
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, last, 2)
			acked = last + 2
			closeStore(t, s)
		}
	}
}

// TestHalfMade is what was found in that way: a server that was killed between the two files that describe a stream or a consumer.
func TestHalfMade(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir})
	fill(t, s, 0, 5)
	o := openBox(t, s, 0)
	done(t, next(t, o, 1))
	closeStore(t, s)
	remove(t, filepath.Join(dir, "log"))
	remove(t, filepath.Join(dir, logFiles, "meta.sum"))
	sums, err := filepath.Glob(filepath.Join(dir, logFiles, "obs/outbox-box=*/meta.sum"))
	if err != nil || len(sums) != 1 {
		t.Fatalf("%q, %v", sums, err)
	}
	remove(t, sums[0])
	for round := range uint64(2) {
		s := mustOpen(t, Config{Dir: dir})
		x := expect{t, 1}
		if err := s.Read(within(t), 1, 5, x.take); err != nil {
			t.Fatal(err)
		}
		done(t, next(t, openBox(t, s, 0), round+1)) // its position is lost, and kept from then on
		closeStore(t, s)
	}
}
