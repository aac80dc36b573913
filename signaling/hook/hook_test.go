package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// receiver is a webhook's other end. answer says what the nth POST gets.
type receiver struct {
	*httptest.Server
	t      *testing.T
	secret string
	got    chan map[string]any
	seen   map[any]bool // IDs: what is told again after a restart is known by them
	// overlaps: a request that was given up may still be at its work here
	overlaps bool
	repeated int // events that came once more

	mu       sync.Mutex
	n        int
	answer   func(n int, w http.ResponseWriter, q *http.Request) bool // whether it was taken
	last     func(n int, w http.ResponseWriter, q *http.Request)      // answers an event that was taken
	refusing chan struct{}
	flight   atomic.Int32 // requests at this moment
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, secret: "s3cret", got: make(chan map[string]any, 10_000), seen: make(map[any]bool)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	defer r.flight.Add(-1)
	if r.flight.Add(1) > 1 && !r.overlaps {
		r.t.Error("two requests at one time")
	}
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.n++
	n := r.n
	refusing := r.refusing
	r.mu.Unlock()
	if refusing != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		select {
		case <-refusing:
		default:
			close(refusing)
		}
		return
	}
	if r.answer != nil && !r.answer(n, w, q) {
		return
	}
	id, stamp := q.Header.Get("Duet-Id"), q.Header.Get("Duet-Timestamp")
	if want := "v1=" + Sign(r.secret, id, stamp, b); q.Header.Get("Duet-Signature") != want {
		r.t.Errorf("signature %q", q.Header.Get("Duet-Signature"))
	}
	if agent := q.Header.Get("User-Agent"); agent != "duet/test" || q.Method != http.MethodPost {
		r.t.Errorf("%s by %q", q.Method, agent)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || m["id"] != id {
		r.t.Errorf("body %s: %v", b, err)
	}
	r.got <- m
	if r.last != nil {
		r.last(n, w, q)
	}
}

// refuse has everything refused from now on, and refused closed at the first; with nil all is taken again.
func (r *receiver) refuse(refused chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusing = refused
}

// desk1 is an office with a queue and a webhook.
type desk1 struct {
	t  *testing.T
	st *store.Store
	o  *office.Office
}

func newDesk(t *testing.T, dir string) *desk1 {
	t.Helper()
	return openDesk(t, store.Config{Dir: dir, Sync: time.Minute}, "")
}

// openDesk is one of several servers, by the name of node.
func openDesk(t *testing.T, cfg store.Config, node string) *desk1 {
	t.Helper()
	st, err := store.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	o, err := office.Open(t.Context(), office.Config{Store: st, Node: node})
	if err != nil {
		t.Fatal(err)
	}
	return &desk1{t, st, o}
}

// run works until stop, with n dispatchers.
func (d *desk1) run(n int) (stop func()) {
	var all []*Dispatcher
	for range n {
		all = append(all, New(d.config()))
	}
	return d.runs(all...)
}

func (d *desk1) runs(all ...*Dispatcher) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.o.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	for _, one := range all {
		wg.Go(func() { one.Run(ctx) })
	}
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := d.st.Close(); err != nil {
			d.t.Error(err)
		}
	})
}

func (d *desk1) config() Config {
	return Config{
		Store: d.st, Office: d.o, Version: "test", FirstWait: 5 * time.Millisecond, LongestWait: 50 * time.Millisecond, Exchange: 250 * time.Millisecond,
	}
}

func (d *desk1) do(by desk.Actor, c desk.Command) {
	d.t.Helper()
	if _, err := d.o.Do(d.t.Context(), by, c); err != nil {
		d.t.Fatalf("%T: %v", c, err)
	}
}

// calls has n callers ask and hang up.
func (d *desk1) calls(from, n int) {
	for i := range n {
		id := fmt.Sprintf("c%d", from+i)
		by := desk.Actor{User: id, Roles: []desk.Role{desk.Caller}}
		d.do(by, &desk.AskQueue{Call: id, Queue: "q"})
		d.do(by, &desk.HangUp{Call: id})
	}
}

// expect takes calls' events in order: each asked and ended. Repetitions of what was had are allowed.
func (r *receiver) expect(from, n int) {
	r.t.Helper()
	timeout := time.After(10 * time.Second)
	for i := 0; i < 2*n; {
		select {
		case m := <-r.got:
			if m["type"] != "call.asked" && m["type"] != "call.ended" {
				continue
			}
			if r.seen[m["id"]] {
				r.repeated++
				continue
			}
			r.seen[m["id"]] = true
			kind := []string{"call.asked", "call.ended"}[i%2]
			if m["call"] != fmt.Sprintf("c%d", from+i/2) || m["type"] != kind || m["callSeq"] != float64(i%2+1) {
				r.t.Fatalf("event %d is %v", i, m)
			}
			i++
		case <-timeout:
			r.t.Fatalf("only %d of %d events came", i, 2*n)
		}
	}
}

func (d *desk1) setUp(r *receiver) {
	d.do(desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q"}})
	d.do(desk.System(), &desk.SetHook{Hook: desk.Hook{ID: "crm", URL: r.URL, Secret: r.secret, Private: true}})
}

func TestInOrder(t *testing.T) {
	r, d := newReceiver(t), newDesk(t, t.TempDir())
	stop := d.run(1)
	defer stop()
	d.setUp(r)
	d.calls(0, 20)
	r.expect(0, 20)
}

// A receiver that hangs, redirects or says no is told again, in order, until it takes it.
func TestBadReceivers(t *testing.T) {
	type answer = func(n int, w http.ResponseWriter, q *http.Request) bool
	for name, c := range map[string]struct {
		answer   answer
		overlaps bool
		repeated int // events that came once more
	}{
		"says 500": {answer: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			return n%3 == 0 || status(w, http.StatusInternalServerError)
		}},
		"redirects": {answer: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Location", "/else")
			return n%2 == 0 || status(w, http.StatusTemporaryRedirect)
		}},
		"gone": {answer: func(n int, w http.ResponseWriter, _ *http.Request) bool { return n > 5 || status(w, http.StatusGone) }},
		"cuts off": {answer: func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n%2 == 1 {
				panic(http.ErrAbortHandler)
			}
			return true
		}},
		"hangs": {overlaps: true, answer: func(n int, _ http.ResponseWriter, q *http.Request) bool {
			if n <= 3 {
				<-q.Context().Done()
				return false
			}
			return true
		}},
		"begins to answer and hangs": {overlaps: true, answer: func(n int, w http.ResponseWriter, q *http.Request) bool {
			if n <= 3 {
				w.WriteHeader(http.StatusInternalServerError)
				_ = http.NewResponseController(w).Flush()
				<-q.Context().Done()
				return false
			}
			return true
		}},
		"has long headers": {answer: func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%2 == 0 {
				return true
			}
			w.Header().Set("X", strings.Repeat("x", 2*maxReply))
			return status(w, http.StatusOK)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newReceiver(t), newDesk(t, t.TempDir())
			r.answer, r.overlaps = c.answer, c.overlaps
			stop := d.run(1)
			defer stop()
			d.setUp(r)
			d.calls(0, 6)
			r.expect(0, 6)
		})
	}
}

// A receiver that takes an event has taken it, though its answer has no end or is far too long.
func TestOddAnswers(t *testing.T) {
	for name, last := range map[string]func(n int, w http.ResponseWriter, q *http.Request){
		"endless": func(n int, w http.ResponseWriter, q *http.Request) {
			if n%3 == 0 {
				w.WriteHeader(http.StatusOK)
				_ = http.NewResponseController(w).Flush()
				<-q.Context().Done()
			}
		},
		"slow": func(n int, w http.ResponseWriter, q *http.Request) {
			tick := time.NewTicker(20 * time.Millisecond)
			defer tick.Stop()
			for n%3 == 0 && q.Context().Err() == nil {
				_, _ = w.Write([]byte("."))
				_ = http.NewResponseController(w).Flush()
				<-tick.C
			}
		},
		"far too long": func(_ int, w http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := w.Write(make([]byte, maxReply)); err != nil {
					break
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, d := newReceiver(t), newDesk(t, t.TempDir())
			r.overlaps, r.last = true, last
			stop := d.run(1)
			defer stop()
			d.setUp(r)
			d.calls(0, 6)
			r.expect(0, 6)
			if r.repeated > 0 {
				t.Errorf("%d events were told again", r.repeated)
			}
		})
	}
}

// What happens while nobody listens at the receiver's port is told when somebody does.
func TestDown(t *testing.T) {
	t.Parallel()
	r, d := newReceiver(t), newDesk(t, t.TempDir())
	at := r.Listener.Addr().String()
	r.Close()
	stop := d.run(1)
	defer stop()
	d.setUp(r)
	d.calls(0, 10)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", at)
	if err != nil {
		t.Skip("the port was taken meanwhile: ", err)
	}
	srv := &http.Server{Handler: r, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(l) }() // until Close
	defer func() { _ = srv.Close() }()
	r.expect(0, 10)
}

func status(w http.ResponseWriter, code int) bool {
	w.WriteHeader(code)
	return false
}

// What happens while the dispatcher is away is told when it is back; two of them tell it once.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	r, d := newReceiver(t), newDesk(t, dir)
	stop := d.run(1)
	d.setUp(r)
	d.calls(0, 3)
	r.expect(0, 3)
	stop()
	d = newDesk(t, dir)
	stop = d.run(0)
	d.calls(3, 3) // nobody tells
	stop()
	d = newDesk(t, dir)
	stop = d.run(2)
	defer stop()
	d.calls(6, 3)
	r.expect(3, 6)
	clear(r.seen)
	var from uint64
	d.o.View(func(s *desk.State) { from = s.Summary("c4").First + 1 })
	if err := New(Config{Store: d.st, Office: d.o}).Replay(t.Context(), "crm", from); err != nil {
		t.Fatal(err)
	}
	r.expect(4, 5)
}
