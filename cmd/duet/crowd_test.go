//go:build unix

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"duet/bench/laws"
	"duet/signaling/auth"
	party "duet/signaling/client"
	"duet/signaling/desk"
	"duet/signaling/store"
	"duet/signaling/store/storetest"
)

// crowd is what a process of TestCrowd's clients does: callers who want an agent, each through a server, and agents. It stands in the environment as
// JSON under asCrowd.
type crowd struct {
	Servers []string // of HTTP
	Data    string   // where the key for users' tokens is
	Callers []string
	Agents  []string
}

// TestCrowd has callers from four processes race for agents through two servers that share a log and are killed at random. All are served once, in
// order, and nobody gets two; the log shows it.
func TestCrowd(t *testing.T) {
	t.Parallel()
	const clients, servers = 4, 2
	callers, agents, every := 200, 10, 500*time.Millisecond
	if n, err := strconv.Atoi(os.Getenv("DUET_CALLERS")); err == nil {
		callers, agents, every = n, 50, 2*time.Second
	}
	nats := storetest.NATS(t)
	media := startServer(t, func(c *serverConfig) { c.role, c.calls.nats, c.rtmp, c.http = roleRelay, nats, "", "" })
	var data string
	var list []*crowdServer
	for i := range servers {
		s := &crowdServer{killable{t: t, data: t.TempDir(), http: freePort(t, "tcp")}, fmt.Sprintf("s%d", i), nats}
		copyFile(t, filepath.Join(media.data, tokenFile), filepath.Join(s.data, tokenFile))
		if i > 0 {
			copyFile(t, filepath.Join(data, jwtFile), filepath.Join(s.data, jwtFile))
		}
		s.start()
		defer s.kill()
		if i == 0 {
			data = s.data
		}
		s.ready()
		list = append(list, s)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	token, err := party.Dev(ctx, list[0].url(), "root", "", "admin")
	if err != nil {
		t.Fatal(err)
	}
	queue := desk.Queue{Capacity: callers, Grace: desk.Duration(2 * time.Minute)} // on a busy machine a client's turn to dial again comes late
	if err := party.Ask(ctx, list[0].url(), http.MethodPut, "/v1/queues/"+firstQueue, token.Token, queue, nil); err != nil {
		t.Fatal(err)
	}

	began := time.Now()
	served := make(chan string, callers)
	for n := range clients {
		job := crowd{Servers: []string{list[0].url(), list[1].url()}, Data: data}
		for i := n; i < callers; i += clients {
			job.Callers = append(job.Callers, fmt.Sprintf("caller%d", i))
		}
		for i := n; i < agents; i += clients {
			job.Agents = append(job.Agents, fmt.Sprintf("agent%d", i))
		}
		startCrowd(t, job, served)
	}
	kills := 0
	kill := time.NewTimer(every)
	defer kill.Stop()
	for n := 0; n < callers; {
		select {
		case line := <-served:
			if !strings.HasPrefix(line, "served ") {
				t.Fatalf("a client says %s", line)
			}
			n++
		case <-kill.C:
			s := list[kills%servers]
			s.kill()
			s.start()
			kills++
			kill.Reset(every/2 + rand.N(every))
		case <-ctx.Done():
			t.Fatalf("only %d of %d were served", n, callers)
		}
	}
	took := time.Since(began)
	st, err := store.Open(ctx, store.Config{URL: nats})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	end, err := st.Last(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c := laws.NewChecker(t.Errorf)
	if err := st.Read(ctx, 1, end, func(e store.Entry) error { return c.Entry(e.Seq, e.Data) }); err != nil {
		t.Fatal(err)
	}
	if len(c.Served) != callers || len(c.Line) > 0 || len(c.Gone) > 0 {
		t.Errorf("of %d callers %d were served, %d are still in line; ended without: %v", callers, len(c.Served), len(c.Line), c.Gone)
	}
	if kills == 0 {
		t.Error("no server was killed")
	}
	t.Logf("%d callers, %d agents, %d client processes, %d servers, %d kills, %d entries, %v", callers, agents, clients, servers, kills, end, took)
}

// crowdServer is a signaling server in a process of its own.
type crowdServer struct {
	killable
	node, nats string
}

func (s *crowdServer) url() string { return "http://" + s.address() }

func (s *crowdServer) start() {
	s.run("--data", s.data, "--role", roleSignaling, "--nats", s.nats, "--node", s.node, "--http", s.address())
}

func (s *crowdServer) ready() {
	waitFor(s.t, "the server", func() bool {
		_, err := party.Dev(s.t.Context(), s.url(), "root", "", "admin")
		return err == nil
	})
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// startCrowd starts a process of clients. What it prints comes line by line.
func startCrowd(t *testing.T, job crowd, served chan<- string) {
	t.Helper()
	text, err := json.Marshal(job)
	if err != nil {
		t.Fatal(err)
	}
	cmd := program(t)
	cmd.Env = append(os.Environ(), asCrowd+"="+string(text))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			served <- lines.Text()
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // its agents would wait for ever
		<-done
		_ = cmd.Wait()
	})
}

// run is the process of clients.
func (j *crowd) run() error {
	tokens, err := openTokens(j.Data)
	if err != nil {
		return err
	}
	ctx := context.Background()
	dial := func(i int, name string, role desk.Role) (c *party.Client, err error) {
		for range 600 { // the server may have been killed
			c, err = party.Dial(ctx, party.Config{URL: j.Servers[i%len(j.Servers)], Token: func(context.Context) (string, error) {
				now := time.Now()
				return tokens.Sign(now, auth.Claims{User: name, Roles: []desk.Role{role}, Expires: now.Add(time.Hour)})
			}})
			if err == nil {
				return c, nil
			}
			pause(ctx, 100*time.Millisecond)
		}
		return nil, err
	}
	var wg sync.WaitGroup
	failed := make(chan error, len(j.Agents)+len(j.Callers))
	for i, name := range j.Agents {
		wg.Go(func() {
			c, err := dial(i, name, desk.Agent)
			if err == nil {
				err = serveCallers(ctx, c)
			}
			failed <- fmt.Errorf("%s: %w", name, err)
		})
	}
	for i, name := range j.Callers {
		wg.Go(func() {
			c, err := dial(i, name, desk.Caller)
			if err == nil {
				err = beServed(ctx, c)
			}
			if err != nil {
				failed <- fmt.Errorf("%s: %w", name, err)
				return
			}
			fmt.Println("served", name)
		})
	}
	return <-failed // agents go on until they are killed
}

// serveCallers accepts whatever is offered.
func serveCallers(ctx context.Context, c *party.Client) error {
	for {
		if err := c.OpenRoom(ctx); err != nil && party.CodeOf(err) != "conflict" {
			return err
		}
		for open := true; open; {
			e, err := c.Next(ctx)
			if err != nil {
				return err
			}
			switch {
			case e.Type == "call.offered":
				_ = c.Accept(ctx, e.Call) // it may have been taken back
			case e.Type == party.TypeState && e.Begin.Room != nil && e.Begin.Room.State == string(desk.RoomRinging):
				_ = c.Accept(ctx, e.Begin.Room.Call)
			case e.Type == party.TypeState:
				open = e.Begin.Room != nil && e.Begin.Room.State != string(desk.RoomClosed)
			case e.Type == "room.state" && e.State == string(desk.RoomClosed):
				open = false
			}
		}
	}
}

const talk = 200 * time.Millisecond // at most

// beServed waits for an agent, talks, and hangs up.
func beServed(ctx context.Context, c *party.Client) error {
	defer c.Close()
	if _, err := c.Next(ctx); err != nil { // the state before the call
		return err
	}
	call, err := c.JoinQueue(ctx, firstQueue, "")
	if err != nil {
		return err
	}
	for {
		e, err := c.Next(ctx)
		if err != nil {
			return err
		}
		through := e.Type == "call.accepted"
		if e.Type == party.TypeState {
			i := slices.IndexFunc(e.Begin.Calls, func(have party.Call) bool { return have.ID == call })
			if i < 0 {
				return fmt.Errorf("%s is not there any more", call)
			}
			through = len(e.Begin.Calls[i].Parties) > 1
		}
		if e.Type == "call.ended" {
			return fmt.Errorf("%s ended: %s", call, e.Reason)
		}
		if through {
			pause(ctx, rand.N(talk))
			return c.HangUp(ctx, call)
		}
	}
}
