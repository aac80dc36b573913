package signaling_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"duet/signaling"
	"duet/signaling/desk"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 takes a new one")

// cutConn is a connection that breaks after so many bytes, in the middle of whatever they are.
type cutConn struct {
	net.Conn
	left *atomic.Int64
}

var errCut = errors.New("cut")

func (c cutConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if left := c.left.Add(-int64(n)); left < 0 {
		_ = c.Close()
		return 0, errCut
	}
	return n, err
}

func (c cutConn) Write(b []byte) (int, error) {
	if left := c.left.Add(-int64(len(b))); left < 0 {
		n, _ := c.Conn.Write(b[:max(0, int64(len(b))+left)])
		_ = c.Close()
		return n, errCut
	}
	return c.Conn.Write(b)
}

// talker is a party that says what it has to over connections that break, and notes what it hears.
type talker struct {
	s     *site
	user  string
	token string
	call  string
	rng   *rand.Rand
	after uint64
	next  int // message to be said, of count
	count int
	heard []string // bodies
	cuts  int
}

// cut is how many bytes a connection of the test lives for: some break in the hello, all in time.
func (k *talker) cut() int64 { return 300 + k.rng.Int64N(6_000) }

// talk connects again and again until all is said and heard.
func (k *talker) talk(ctx context.Context, all int) error {
	for k.next < k.count || len(k.heard) < all {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%s: %d said, %d heard: %w", k.user, k.next, len(k.heard), err)
		}
		if err := k.once(ctx, all); err != nil {
			return fmt.Errorf("%s: %w", k.user, err)
		}
		k.cuts++
	}
	return nil
}

// once speaks over one connection until it breaks, which is no error, or until all is done.
func (k *talker) once(ctx context.Context, all int) error {
	var left atomic.Int64
	left.Store(k.cut())
	transport := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		return cutConn{c, &left}, err
	}}
	defer transport.CloseIdleConnections()
	conn, _, err := websocket.Dial(ctx, k.s.url, &websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}, HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		return nil
	}
	defer func() { _ = conn.CloseNow() }()
	write := func(o object) bool {
		b, err := json.Marshal(o)
		return err == nil && conn.Write(ctx, websocket.MessageText, b) == nil
	}
	say := func() bool {
		if k.next >= k.count {
			return true
		}
		mid := fmt.Sprintf("%s-%d", k.user, k.next)
		return write(object{"id": k.next + 1, "type": "message.send", "call": k.call, "mid": mid, "body": mid})
	}
	if !write(object{"id": 0, "type": "hello", "token": k.token, "after": k.after}) {
		return nil
	}
	for greeted := false; k.next < k.count || len(k.heard) < all; {
		_, b, err := conn.Read(ctx)
		if err != nil {
			return nil
		}
		var o object
		if err := json.Unmarshal(b, &o); err != nil {
			return fmt.Errorf("%q: %w", b, err)
		}
		switch {
		case !greeted:
			if ok, _ := o["ok"].(map[string]any); ok["resumed"] != true {
				return fmt.Errorf("not resumed: %v", o)
			}
			if greeted = true; !say() {
				return nil
			}
		case o["reply"] != nil:
			ok, _ := o["ok"].(map[string]any)
			if ok["message"] == nil {
				return fmt.Errorf("got %v", o)
			}
			if k.next++; !say() {
				return nil
			}
		case o["seq"] != nil:
			seq := uint64(o["seq"].(float64))
			if seq <= k.after {
				return fmt.Errorf("event %d after %d", seq, k.after)
			}
			k.after = seq
			if m, is := o["message"].(map[string]any); is {
				if n := int(m["n"].(float64)); n != len(k.heard)+1 {
					return fmt.Errorf("message %d after %d", n, len(k.heard))
				}
				k.heard = append(k.heard, object(m).text("body"))
			}
		}
	}
	return nil
}

// Two parties whose sockets break at any byte, in both directions, say and hear everything once, in one order.
func TestResume(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = rand.Uint64()
	}
	defer func() {
		if t.Failed() {
			t.Logf("go test -run TestResume -seed=%d", seed)
		}
	}()
	s := newSite(t)
	anna, carl, call := s.connected()
	const each = 100
	parties := []*talker{
		{s: s, user: "anna", token: "anna agent", call: call, rng: rand.New(rand.NewPCG(seed, 1)), after: anna.seq, count: each},
		{s: s, user: "carl", token: "carl caller", call: call, rng: rand.New(rand.NewPCG(seed, 2)), after: carl.seq, count: each},
	}
	_, _ = anna.conn.CloseNow(), carl.conn.CloseNow()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for _, k := range parties {
		wg.Go(func() {
			if err := k.talk(ctx, len(parties)*each); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		return
	}
	next := map[string]int{}
	for i, body := range parties[0].heard {
		if parties[1].heard[i] != body {
			t.Fatalf("message %d is %s for one and %s for the other", i+1, body, parties[1].heard[i])
		}
		for _, k := range parties {
			if body == fmt.Sprintf("%s-%d", k.user, next[k.user]) {
				next[k.user]++
				break
			}
		}
	}
	for _, k := range parties {
		if next[k.user] != each {
			t.Errorf("of %s %d messages came in order, not %d", k.user, next[k.user], each)
		}
		if k.cuts < 5 {
			t.Errorf("%s was cut %d times only", k.user, k.cuts)
		}
	}
	begun := s.join("carl caller", 0)
	state, _ := begun.hello["state"].(map[string]any)
	calls, _ := state["calls"].([]any)
	if len(calls) != 1 || len(calls[0].(map[string]any)["messages"].([]any)) != 2*each || len(state["urls"].([]any)) != 2 {
		t.Errorf("the state of one who begins anew: %.300v", state)
	}
	s.until(func(state *desk.State) bool { return !state.Here("anna") }) // nothing is left of what broke
}

// Who does not read is cut off, does not hold up the others, and goes on later where it was.
func TestSlowReader(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	s.sockets.SetWriteTime(200 * time.Millisecond)
	_ = carl.conn.CloseNow()
	small := &http.Transport{DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := (&net.Dialer{}).DialContext(ctx, network, addr)
		if err == nil {
			err = c.(*net.TCPConn).SetReadBuffer(4 << 10)
		}
		return c, err
	}}
	defer small.CloseIdleConnections()
	slow := s.dialWith(&websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}, HTTPClient: &http.Client{Transport: small}})
	slow.ask("hello", object{"token": "carl caller", "after": carl.seq})
	s.until(func(state *desk.State) bool { return state.Here("carl") })
	const n = 100
	body := make([]byte, 60<<10)
	for i := range body {
		body[i] = 'x'
	}
	for i := range n {
		anna.ask("message.send", object{"call": call, "mid": fmt.Sprint(i), "body": string(body)})
	}
	s.until(func(state *desk.State) bool { return !state.Here("carl") })
	s.sockets.SetWriteTime(time.Minute)
	again := s.join("carl caller", carl.seq)
	if again.hello["resumed"] != true {
		t.Fatalf("not resumed: %.200v", again.hello)
	}
	for i := range n {
		if m := again.until("message")["message"].(map[string]any); m["n"] != float64(i+1) {
			t.Fatalf("message %v, want %d", m["n"], i+1)
		}
	}
}
