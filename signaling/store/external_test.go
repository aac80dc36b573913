package store

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// natsServer is a server as an operator would run it, on a port of the loopback.
type natsServer struct {
	options server.Options
	srv     *server.Server
}

func startNATS(t testing.TB, change func(*server.Options)) *natsServer {
	t.Helper()
	n := &natsServer{options: server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	if change != nil {
		change(&n.options)
	}
	n.start(t)
	t.Cleanup(n.stop)
	return n
}

func (n *natsServer) start(t testing.TB) {
	t.Helper()
	options := n.options
	srv, err := server.NewServer(&options)
	if err != nil {
		t.Fatal(err)
	}
	n.srv = srv
	srv.Start()
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		n.options.Port = addr.Port // the same after a restart
	}
}

func (n *natsServer) stop() {
	n.srv.Shutdown()
	n.srv.WaitForShutdown()
}

func (n *natsServer) url() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.options.Port) }

func TestExternal(t *testing.T) {
	t.Parallel()
	n := startNATS(t, nil)
	var mu sync.Mutex
	names := 0
	t.Run("conformance", func(t *testing.T) { // ends when all that is parallel in it has ended
		conformance(t, func(*testing.T) place {
			mu.Lock()
			names++
			name := fmt.Sprint("log", names)
			mu.Unlock()
			return place{shared: true, open: func(t testing.TB) *Store {
				return mustOpen(t, Config{URL: n.url(), Name: name, Lease: shortLease})
			}}
		})
	})
}

// TestTwoWriters: processes that append to one log are told of each other; nothing is lost or doubled, and all see one order.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	n := startNATS(t, nil)
	const writers, each = 3, 150
	var wg sync.WaitGroup
	conflicts := make([]int, writers)
	orders := make([][]string, writers)
	for i := range writers {
		s := mustOpen(t, Config{URL: n.url()})
		ctx := within(t)
		wg.Go(func() {
			err := s.Follow(ctx, 0, func(e Entry) error {
				orders[i] = append(orders[i], string(e.Data))
				if e.Seq == writers*each {
					return errEnough
				}
				return nil
			})
			if !errors.Is(err, errEnough) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			last := uint64(0)
			for k := 0; k < each; {
				seq, err := s.Append(ctx, last, fmt.Appendf(nil, "%d of %d", k, i))
				switch {
				case err == nil:
					last = seq
					k++
				case errors.Is(err, ErrConflict):
					conflicts[i]++
					if last, err = s.Last(ctx); err != nil {
						t.Error(err)
						return
					}
				default:
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	count := make(map[string]int)
	for k, text := range orders[0] {
		count[text]++
		for i := range writers {
			if orders[i][k] != text {
				t.Fatalf("entry %d is %q or %q", k+1, text, orders[i][k])
			}
		}
	}
	for i := range writers {
		for k := range each {
			if text := fmt.Sprintf("%d of %d", k, i); count[text] != 1 {
				t.Errorf("%q is there %d times", text, count[text])
			}
		}
	}
	t.Logf("conflicts: %d", conflicts)
}

// TestServerRestart: whoever follows, reads, waits at an outbox or listens goes on when the server is back.
func TestServerRestart(t *testing.T) {
	t.Parallel()
	n := startNATS(t, nil)
	s := mustOpen(t, Config{URL: n.url(), Lease: shortLease})
	fill(t, s, 0, 50)
	entries, result, _ := follow(t, s, 0)
	await(t, entries, result, 50)
	o, err := s.Outbox(within(t), "box", 50)
	if err != nil {
		t.Fatal(err)
	}
	got := make(chan uint64, 100)
	go func() {
		for {
			d, err := o.Next(within(t))
			if err != nil {
				return // at Close
			}
			got <- d.Entry.Seq
			_ = d.Done(within(t)) // comes again if it fails
		}
	}()
	heard := make(chan string, 100)
	if _, err := s.Subscribe("x", func(_ string, b []byte, _ func([]byte)) { heard <- string(b) }); err != nil {
		t.Fatal(err)
	}

	last := uint64(50)
	for round := range 3 {
		n.stop()
		eventually(t, "the loss of the connection", func() bool { return !s.nc.IsConnected() })
		begin := time.Now()
		if _, err := s.Append(within(t), last, text(last+1)); err == nil {
			t.Fatal("appended without a server")
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("without a server, Append took %v", took)
		}
		read := make(chan error, 1)
		x := expect{t, 1}
		go func() { read <- s.Read(within(t), 1, last, x.take) }()
		n.start(t)
		begin = time.Now()
		eventually(t, "an append after the restart", func() bool {
			_, err := s.Append(within(t), last, text(last+1))
			if errors.Is(err, ErrConflict) { // the try before got there although it failed; what it is, Follow checks
				now, err := s.Last(within(t))
				return err == nil && now == last+1
			}
			return err == nil
		})
		last++
		await(t, entries, result, last)
		t.Logf("round %d: followed again after %v", round, time.Since(begin))
		fill(t, s, last, 20)
		last += 20
		await(t, entries, result, last)
		for want := last - 20; want <= last; {
			switch seq := receive(t, got, "an entry of the outbox"); {
			case seq == want:
				want++
			case seq > want:
				t.Fatalf("the outbox handed out %d instead of %d", seq, want)
			}
		}
		if err := receive(t, read, "Read's end"); err != nil {
			t.Errorf("Read over a restart: %v", err)
		}
		if err := s.Publish("x", []byte("again")); err != nil {
			t.Error(err)
		}
		receive(t, heard, "a message")
	}
}

// TestLogShorter: a server that comes back with less than was there is not followed.
func TestLogShorter(t *testing.T) {
	t.Parallel()
	n := startNATS(t, nil)
	s := mustOpen(t, Config{URL: n.url()})
	fill(t, s, 0, 10)
	entries, result, _ := follow(t, s, 0)
	await(t, entries, result, 10)
	n.stop()
	n.options.StoreDir = t.TempDir()
	n.start(t)
	mustOpen(t, Config{URL: n.url()}) // makes a new log
	if err := receive(t, result, "Follow's end"); !errors.Is(err, ErrAhead) {
		t.Error(err)
	}
}

// TestUnfit: streams that would lose entries, and servers that can't hold any.
func TestUnfit(t *testing.T) {
	t.Parallel()
	n := startNATS(t, nil)
	nc, err := nats.Connect(n.url())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for i, cfg := range []jetstream.StreamConfig{
		{MaxAge: time.Hour}, {Storage: jetstream.MemoryStorage}, {MaxMsgs: 10}, {Retention: jetstream.WorkQueuePolicy}, {MaxMsgSize: 1000}, {Subjects: []string{"a", "b"}},
		{NoAck: true}, {MaxMsgsPerSubject: 5},
	} {
		name := fmt.Sprint("unfit", i)
		cfg.Name = name + logStream
		if cfg.Subjects == nil {
			cfg.Subjects = []string{name + logSubject}
		}
		if _, err := js.CreateStream(within(t), cfg); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(within(t), Config{URL: n.url(), Name: name}); err == nil || !strings.Contains(err.Error(), "not fit") {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
	small := startNATS(t, func(o *server.Options) { o.MaxPayload = 100_000 })
	if _, err := Open(within(t), Config{URL: small.url()}); err == nil || !strings.Contains(err.Error(), "max_payload") {
		t.Errorf("small messages: %v", err)
	}
	without := startNATS(t, func(o *server.Options) { o.JetStream = false })
	if _, err := Open(within(t), Config{URL: without.url()}); err == nil || !strings.Contains(err.Error(), "JetStream does not answer") {
		t.Errorf("no JetStream: %v", err)
	}
	closed := startNATS(t, func(o *server.Options) { o.Username, o.Password = "duet", "hunter2" })
	address := strings.TrimPrefix(closed.url(), "nats://")
	if _, err := Open(within(t), Config{URL: "nats://duet:wrong-secret@" + address}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("wrong password: %v", err)
	}
	log, out := captured()
	fill(t, mustOpen(t, Config{URL: "nats://duet:hunter2@" + address, Logger: log}), 0, 1)
	closed.stop()
	if strings.Contains(out(), "hunter2") {
		t.Errorf("it logs a password: %s", out())
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := Open(ended, Config{URL: n.url()}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}
