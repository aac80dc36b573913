package hook

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
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

	mu     sync.Mutex
	n      int
	answer func(n int, w http.ResponseWriter) bool // whether it was taken
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{t: t, secret: "s3cret", got: make(chan map[string]any, 10_000), seen: make(map[any]bool)}
	r.Server = httptest.NewServer(r)
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	b, err := io.ReadAll(q.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	r.n++
	n := r.n
	r.mu.Unlock()
	if r.answer != nil && !r.answer(n, w) {
		return
	}
	id, stamp := q.Header.Get("Duet-Id"), q.Header.Get("Duet-Timestamp")
	if want := "v1=" + Sign(r.secret, id, stamp, b); q.Header.Get("Duet-Signature") != want {
		r.t.Errorf("signature %q", q.Header.Get("Duet-Signature"))
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || m["id"] != id {
		r.t.Errorf("body %s: %v", b, err)
	}
	r.got <- m
}

// desk1 is an office with a queue and a webhook.
type desk1 struct {
	t  *testing.T
	st *store.Store
	o  *office.Office
}

func newDesk(t *testing.T, dir string) *desk1 {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: dir, Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o, err := office.Open(t.Context(), office.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	return &desk1{t, st, o}
}

// run works until stop, with n dispatchers.
func (d *desk1) run(n int) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := d.o.Run(ctx); err != nil {
			d.t.Error(err)
		}
	})
	for range n {
		wg.Go(func() {
			New(Config{Store: d.st, Office: d.o, FirstWait: 5 * time.Millisecond}).Run(ctx)
		})
	}
	return sync.OnceFunc(func() {
		cancel()
		wg.Wait()
		if err := d.st.Close(); err != nil {
			d.t.Error(err)
		}
	})
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
			if m["type"] != "call.asked" && m["type"] != "call.ended" || r.seen[m["id"]] {
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

// A receiver that is down, hangs, redirects or says no is told again, in order, until it takes it.
func TestBadReceivers(t *testing.T) {
	for name, answer := range map[string]func(n int, w http.ResponseWriter) bool{
		"says 500": func(n int, w http.ResponseWriter) bool { return n%3 == 0 || status(w, http.StatusInternalServerError) },
		"redirects": func(n int, w http.ResponseWriter) bool {
			w.Header().Set("Location", "/else")
			return n%2 == 0 || status(w, http.StatusFound)
		},
		"gone": func(n int, w http.ResponseWriter) bool { return n > 5 || status(w, http.StatusGone) },
		"cuts off": func(n int, _ http.ResponseWriter) bool {
			if n%2 == 1 {
				panic(http.ErrAbortHandler)
			}
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, d := newReceiver(t), newDesk(t, t.TempDir())
			r.answer = answer
			r.Config.ErrorLog = nil
			stop := d.run(1)
			defer stop()
			d.setUp(r)
			d.calls(0, 6)
			r.expect(0, 6)
		})
	}
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

func TestAllowed(t *testing.T) {
	for text, want := range map[string][2]bool{ // public hook, private hook
		"93.184.216.34": {true, true}, "2606:2800:220:1::1": {true, true},
		"10.0.0.1": {false, true}, "192.168.1.1": {false, true}, "172.16.0.1": {false, true}, "127.0.0.1": {false, true}, "::1": {false, true},
		"fd12::1": {false, true}, "100.64.0.1": {false, true}, "::ffff:10.0.0.1": {false, true}, "::ffff:127.0.0.1": {false, true},
		"169.254.169.254": {}, "::ffff:169.254.169.254": {}, "fe80::1": {}, "fd00:ec2::254": {}, "0.0.0.0": {}, "::": {}, "224.0.0.1": {}, "ff02::1": {},
		"255.255.255.255": {}, "0.1.2.3": {}, "64:ff9b::a00:1": {}, "2002:a00:1::1": {},
	} {
		a := netip.MustParseAddr(text)
		if got := [2]bool{allowed(a, false), allowed(a, true)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
}

// A webhook that is not private does not reach this machine, whatever its name resolves to.
func TestForbidden(t *testing.T) {
	r := newReceiver(t)
	p := poster{hook: desk.Hook{URL: r.URL, Secret: r.secret}, client: &http.Client{Transport: &http.Transport{DialContext: dialer(false)}}}
	if err := p.post(t.Context(), 1, 0, &desk.Public{Kind: "x"}); err == nil {
		t.Error("it was reached")
	}
	p.client.Transport = &http.Transport{DialContext: dialer(true)}
	if err := p.post(t.Context(), 1, 0, &desk.Public{Kind: "x"}); err != nil {
		t.Errorf("a private one: %v", err)
	}
}
