//go:build unix

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"duet/record"
)

// TestRecordingsKilled kills a server that records calls, again and again: every part of every recording plays and holds up to its last
// fragment, and at most 2 s are missing of each.
func TestRecordingsKilled(t *testing.T) {
	t.Parallel()
	calls, kills := 3, 1
	if n, err := strconv.Atoi(os.Getenv("DUET_RECORD_KILLS")); err == nil {
		calls, kills = 10, n
	}
	s := &recordingServer{killable{t: t, data: t.TempDir(), udp: freePort(t, "udp"), http: freePort(t, "tcp")}}
	s.start()
	defer func() { s.kill() }()
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(30+10*kills)*time.Second)
	defer cancel()
	var names []string
	var callers []*demoParty
	for i := range calls {
		agent, caller := s.join(fmt.Sprintf("agent%d", i), "agent"), s.join(fmt.Sprintf("caller%d", i), "caller")
		if err := agent.c.OpenRoom(ctx); err != nil {
			t.Fatal(err)
		}
		call, err := caller.c.JoinQueue(ctx, firstQueue, "")
		if err != nil {
			t.Fatal(err)
		}
		agent.await(ctx, "call.offered")
		if err := agent.c.Accept(ctx, call); err != nil {
			t.Fatal(err)
		}
		caller.await(ctx, "call.connected")
		names, callers = append(names, call), append(callers, caller)
	}
	var killed []time.Time
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for range kills {
		pause(ctx, time.Duration(1500+rng.IntN(2000))*time.Millisecond)
		killed = append(killed, time.Now())
		s.kill()
		s.start()
		for _, call := range names { // it goes on, in a new part
			waitFor(t, "the next part of "+call, func() bool {
				r, err := record.Find(filepath.Join(s.data, recordDir), call)
				return err == nil && r.Parts == len(killed)+1
			})
		}
	}
	for i, caller := range callers {
		if err := caller.c.HangUp(ctx, names[i]); err != nil {
			t.Fatal(err)
		}
		s.ended(ctx, names[i])
	}
	key, err := openRecordKey(s.data, false)
	if err != nil {
		t.Fatal(err)
	}
	most, parts := time.Duration(0), 0
	for _, call := range names {
		folder := filepath.Join(s.data, recordDir, call)
		report, err := record.Verify(folder, record.VerifyOptions{Key: publicKey(key)})
		if err != nil {
			t.Fatal(err)
		}
		if report.Verdict != record.Genuine || len(report.Parts) != kills+1 {
			t.Fatalf("%s: %s, %d parts: %v", call, report.Verdict, len(report.Parts), report.Findings)
		}
		for i, p := range report.Parts[:kills] {
			if !p.Complete || !p.Interrupted {
				t.Errorf("%s: %+v", p.Recording, p)
			}
			began, err := time.Parse(time.RFC3339, p.Began)
			if err != nil {
				t.Fatal(err)
			}
			if p.Length > 0 { // else nobody's media was back before the next kill
				most = max(most, killed[i].Sub(began)-p.Length)
			}
			name := "media.mp4"
			if i > 0 {
				name = fmt.Sprintf("media.%d.mp4", i+1)
			}
			if p.Length > 0 { // who was not back in time has no track
				if tracks := bodies(t, filepath.Join(folder, name)); len(tracks) == 0 || i == 0 && len(tracks) != 4 {
					t.Errorf("%s plays %d tracks", p.Recording, len(tracks))
				}
			}
			parts++
		}
	}
	if most > 2*time.Second {
		t.Errorf("%v are missing", most)
	}
	t.Logf("%d kills, %d recordings open each time, %d parts, at most %v missing", kills, calls, parts, most)
}

// ended waits for the end of a recording that was interrupted and went on.
func (s *recordingServer) ended(ctx context.Context, call string) {
	s.t.Helper()
	for {
		r, err := record.Find(filepath.Join(s.data, recordDir), call)
		if err == nil && r.State == record.Interrupted && r.Reason != "interrupted" {
			return
		}
		if ctx.Err() != nil {
			s.t.Fatalf("the recording of %s does not end: %+v, %v", call, r, err)
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// recordingServer records every call.
type recordingServer struct{ killable }

func (s *recordingServer) start() {
	s.run("--data", s.data, "--rtmp", "", "--record", "always", "--udp", fmt.Sprintf("127.0.0.1:%d", s.udp), "--http", s.address())
}
