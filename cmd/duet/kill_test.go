//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	party "duet/signaling/client"
)

// TestServerKilled kills a server at random moments of a call, with media and text both ways and somebody in line, and starts it again: every
// message that was acknowledged is there once and in order, the call goes on, the place in line is kept, and all are back within 3 s.
func TestServerKilled(t *testing.T) {
	t.Parallel()
	kills := 4
	if n, err := strconv.Atoi(os.Getenv("DUET_KILLS")); err == nil {
		kills = n
	}
	s := killable{t: t, data: t.TempDir(), udp: freePort(t, "udp"), http: freePort(t, "tcp")}
	s.start()
	defer func() { s.kill() }()
	anna, carl, dora := s.join("anna", "agent"), s.join("carl", "caller"), s.join("dora", "caller")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	if err := anna.c.OpenRoom(ctx); err != nil {
		t.Fatal(err)
	}
	call, err := carl.c.JoinQueue(ctx, firstQueue, "")
	if err != nil {
		t.Fatal(err)
	}
	anna.await(ctx, "call.offered")
	if err := anna.c.Accept(ctx, call); err != nil {
		t.Fatal(err)
	}
	carl.await(ctx, "call.connected")
	waiting, err := dora.c.JoinQueue(ctx, firstQueue, "")
	if err != nil {
		t.Fatal(err)
	}

	talking, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	said := make(map[string][]string) // acknowledged, by sender
	var mu sync.Mutex
	for _, p := range []*demoParty{anna, carl} {
		wg.Go(func() {
			for i := 0; talking.Err() == nil; i++ {
				text := fmt.Sprintf("%s %d", p.h.name, i)
				if _, err := p.c.Say(ctx, call, text, text); err != nil {
					t.Errorf("%s: %v", text, err)
					return
				}
				mu.Lock()
				said[p.h.name] = append(said[p.h.name], text)
				mu.Unlock()
				pause(talking, time.Duration(20+2*kills)*time.Millisecond) // a call has at most 2000 messages
			}
		})
	}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	worst := time.Duration(0)
	for range kills {
		pause(ctx, time.Duration(200+rng.IntN(600))*time.Millisecond)
		s.kill()
		s.start()
		at := time.Now()
		for _, p := range []*demoParty{anna, carl, dora} {
			if err := p.c.Report(ctx, map[bool]string{true: waiting, false: call}[p == dora], 2005, ""); err != nil { // an answer from the server that is back
				t.Fatalf("%s is not back: %v", p.h.name, err)
			}
		}
		worst = max(worst, time.Since(at))
	}
	stop()
	wg.Wait()
	if worst > 3*time.Second {
		t.Errorf("all were back after %v", worst)
	}
	dora.await(ctx, "queue.position")
	if again, err := dora.c.JoinQueue(ctx, firstQueue, ""); err != nil || again != waiting {
		t.Errorf("the caller in line has call %s, not %s: %v", again, waiting, err)
	}
	s.inOrder(ctx, carl, call, said)
	if err := carl.c.HangUp(ctx, call); err != nil {
		t.Fatal(err)
	}
	for { // the next in line is put through
		if e := anna.await(ctx, "call.offered"); e.Call == waiting {
			break
		}
	}
	t.Logf("%d kills, %d messages, back after at most %v", kills, len(said["anna"])+len(said["carl"]), worst)
}

// inOrder compares what the server has with what was acknowledged.
func (s *killable) inOrder(ctx context.Context, p *demoParty, call string, said map[string][]string) {
	s.t.Helper()
	list, err := p.c.Messages(ctx, call, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	have := make(map[string][]string)
	for i, m := range list {
		if m.N != uint64(i+1) {
			s.t.Errorf("message %d has number %d", i+1, m.N)
		}
		have[m.From] = append(have[m.From], m.Body)
	}
	for who, want := range said {
		if fmt.Sprint(have[who]) != fmt.Sprint(want) {
			s.t.Errorf("of %s the server has %d messages, acknowledged were %d", who, len(have[who]), len(want))
		}
	}
}

// killable is a server in a process of its own.
type killable struct {
	t         *testing.T
	data      string
	udp, http int
	wait      func() error
	die       func() error
}

func (s *killable) start() {
	s.run("--data", s.data, "--rtmp", "", "--udp", fmt.Sprintf("127.0.0.1:%d", s.udp), "--http", s.address())
}

// run starts it with options.
func (s *killable) run(options ...string) {
	s.t.Helper()
	cmd := program(s.t, append([]string{"serve", "--webtransport", ""}, options...)...)
	var out output
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.wait, s.die = cmd.Wait, cmd.Process.Kill
}

// address is where it speaks HTTP.
func (s *killable) address() string { return fmt.Sprintf("127.0.0.1:%d", s.http) }

func (s *killable) kill() {
	_ = s.die()
	_ = s.wait() // it was killed
}

// join connects a party with media, as soon as the server is there.
func (s *killable) join(name, role string) *demoParty {
	s.t.Helper()
	d := demoRun{server: "http://" + s.address(), rep: newReporter(streams{out: &output{}, err: &output{}}, false, false)}
	var p *demoParty
	waitFor(s.t, "the server", func() bool {
		var err error
		p, err = d.join(s.t.Context(), name, role)
		return err == nil
	})
	s.t.Cleanup(d.end)
	p.h.loop = true
	return p
}

// await waits for an event of a kind.
func (p *demoParty) await(ctx context.Context, kind string) *party.Event {
	e, err := p.until(ctx, func(e *party.Event) bool { return e.Type == kind })
	if err != nil {
		panic(fmt.Sprintf("%s waits for %s: %v", p.h.name, kind, err))
	}
	return &e.Event
}

func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func freePort(t *testing.T, network string) int {
	t.Helper()
	if network == "udp" {
		c, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		return c.LocalAddr().(*net.UDPAddr).Port
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
