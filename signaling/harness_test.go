package signaling_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"duet/signaling"
	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// tokens of the tests say who their bearer is: "USER ROLE,ROLE [SECONDS]".
type tokens struct{}

func (tokens) Verify(token string) (signaling.Identity, error) {
	f := strings.Fields(token)
	if len(f) < 2 {
		return signaling.Identity{}, &desk.Error{Code: desk.Denied, Text: "no"}
	}
	id := signaling.Identity{Actor: desk.Actor{User: f[0], Name: strings.ToUpper(f[0])}, Expires: time.Now().Add(time.Hour)}
	for _, r := range strings.Split(f[1], ",") {
		id.Actor.Roles = append(id.Actor.Roles, desk.Role(r))
	}
	if len(f) > 2 {
		d, _ := time.ParseDuration(f[2])
		if id.Expires = time.Now().Add(d); d <= 0 {
			return signaling.Identity{}, &desk.Error{Code: desk.Denied, Text: "too old"}
		}
	}
	return id, nil
}

// site is a server with sockets.
type site struct {
	t       *testing.T
	office  *office.Office
	sockets *signaling.Sockets
	url     string
	store   *store.Store
}

func newSite(t *testing.T) *site {
	t.Helper()
	st, err := store.Open(t.Context(), store.Config{Dir: t.TempDir(), Sync: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	o, err := office.Open(t.Context(), office.Config{Store: st})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, office: o, store: st}
	s.sockets = signaling.NewSockets(signaling.SocketConfig{
		Office: o, Auth: tokens{}, Proxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
		URLs: func(g desk.Grant) (string, error) {
			return fmt.Sprintf("duet://test/%s?push=%v&party=%s", g.Stream, g.Push, g.Party), nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		if err := o.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() { s.sockets.Run(ctx) })
	srv := httptest.NewServer(s.sockets)
	s.url = srv.URL
	t.Cleanup(func() {
		s.sockets.Close()
		srv.Close()
		cancel()
		wg.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	s.do(desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "q"}})
	return s
}

// readLog hands out entries of the log.
func (s *site) readLog(ctx context.Context, from, to uint64, f func(uint64, []byte) error) error {
	return s.store.Read(ctx, from, to, func(e store.Entry) error { return f(e.Seq, e.Data) })
}

// last is the last entry of the log.
func (s *site) last() uint64 {
	s.t.Helper()
	seq, err := s.store.Last(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return seq
}

// until waits until the state is so.
func (s *site) until(is func(*desk.State) bool) {
	s.t.Helper()
	changes, stop := s.office.Changes()
	defer stop()
	late := time.After(10 * time.Second)
	for {
		var ok bool
		s.office.View(func(state *desk.State) { ok = is(state) })
		if ok {
			return
		}
		select {
		case <-changes:
		case <-late:
			s.t.Fatal("the state does not come to be so")
		}
	}
}

func (s *site) do(by desk.Actor, c desk.Command) {
	s.t.Helper()
	if _, err := s.office.Do(s.t.Context(), by, c); err != nil {
		s.t.Fatalf("%T: %v", c, err)
	}
}

func (s *site) media(call, user string, push, play bool) {
	s.t.Helper()
	s.do(desk.System(), &desk.Media{Call: call, User: user, Pushing: push, Playing: play})
}

type object map[string]any

func (o object) text(k string) string { s, _ := o[k].(string); return s }

// party is a client of the socket.
type party struct {
	t     *testing.T
	conn  *websocket.Conn
	id    int
	seq   uint64
	queue []object // events that were not asked for yet
	hello object
	place object // that was told last
}

func (s *site) dial() *party {
	s.t.Helper()
	return s.dialWith(&websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
}

// dialFrom says that it is a proxy that speaks for an address.
func (s *site) dialFrom(addr string) *party {
	s.t.Helper()
	return s.dialWith(&websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}, HTTPHeader: http.Header{"X-Forwarded-For": {addr}}})
}

func (s *site) dialWith(o *websocket.DialOptions) *party {
	s.t.Helper()
	conn, _, err := websocket.Dial(s.t.Context(), s.url, o)
	if err != nil {
		s.t.Fatal(err)
	}
	conn.SetReadLimit(1 << 20)
	s.t.Cleanup(func() { _ = conn.CloseNow() })
	return &party{t: s.t, conn: conn}
}

// join says hello.
func (s *site) join(token string, after uint64) *party {
	s.t.Helper()
	p := s.dial()
	p.hello = p.ask("hello", object{"token": token, "after": after})
	if seq, _ := p.hello["seq"].(float64); after == 0 {
		p.seq = uint64(seq)
	} else {
		p.seq = after
	}
	return p
}

func (p *party) send(o object) {
	p.t.Helper()
	b, err := json.Marshal(o)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.conn.Write(p.t.Context(), websocket.MessageText, b); err != nil {
		p.t.Fatal(err)
	}
}

func (p *party) read() (object, error) {
	ctx, cancel := context.WithTimeout(p.t.Context(), 10*time.Second)
	defer cancel()
	_, b, err := p.conn.Read(ctx)
	if err != nil {
		return nil, err
	}
	var o object
	if err := json.Unmarshal(b, &o); err != nil {
		return nil, err
	}
	if seq, ok := o["seq"].(float64); ok && o["reply"] == nil {
		if uint64(seq) <= p.seq {
			return nil, fmt.Errorf("event %v after %d", o, p.seq)
		}
		p.seq = uint64(seq)
	}
	return o, nil
}

// try asks and gives the answer: ok, or the error's code.
func (p *party) try(kind string, fields object) (object, string) {
	p.t.Helper()
	p.id++
	o := object{"id": p.id, "type": kind}
	for k, v := range fields {
		o[k] = v
	}
	p.send(o)
	for {
		o, err := p.read()
		if err != nil {
			p.t.Fatalf("%s: %v", kind, err)
		}
		if n, _ := o["reply"].(float64); int(n) != p.id {
			p.queue = append(p.queue, o)
			continue
		}
		if e, _ := o["error"].(map[string]any); e != nil {
			return nil, object(e).text("code")
		}
		ok, _ := o["ok"].(map[string]any)
		return ok, ""
	}
}

// ask asks for what has to be given, or refused with a code.
func (p *party) ask(kind string, fields object, code ...string) object {
	p.t.Helper()
	ok, got := p.try(kind, fields)
	if want := strings.Join(code, ""); got != want {
		p.t.Fatalf("%s %v: %q, want %q", kind, fields, got, want)
	}
	return ok
}

// until waits for an event.
func (p *party) until(kind string) object {
	p.t.Helper()
	all := p.upto(kind)
	return all[len(all)-1]
}

// upto gives all events until one of a kind has come.
func (p *party) upto(kind string) (all []object) {
	p.t.Helper()
	for {
		var o object
		if len(p.queue) > 0 {
			o, p.queue = p.queue[0], p.queue[1:]
		} else {
			var err error
			if o, err = p.read(); err != nil {
				p.t.Fatalf("waiting for %s: %v", kind, err)
			}
		}
		all = append(all, o)
		if o.text("type") == kind {
			return all
		}
	}
}

// closedWith waits for the end and gives its code.
func (p *party) closedWith() websocket.StatusCode {
	for {
		if _, err := p.read(); err != nil {
			return websocket.CloseStatus(err)
		}
	}
}

// connected makes a call of carl and anna.
func (s *site) connected() (anna, carl *party, call string) {
	s.t.Helper()
	anna, carl = s.join("anna agent", 0), s.join("carl caller", 0)
	anna.ask("room.open", nil)
	call = carl.ask("queue.join", object{"queue": "q"}).text("call")
	if got := anna.until("call.offered").text("call"); got != call {
		s.t.Fatalf("offered %s, not %s", got, call)
	}
	anna.ask("call.accept", object{"call": call})
	push := carl.until("call.push")
	if push["step"] != 1.0 || !strings.HasPrefix(push.text("url"), "duet://test/live/"+call+".1?push=true") {
		s.t.Fatalf("step 1: %v", push)
	}
	s.media(call, "carl", true, false)
	if play := anna.until("call.play"); play["step"] != 4.0 || !strings.Contains(play.text("url"), "push=false&party=anna") || play.text("user") != "carl" {
		s.t.Fatalf("step 4: %v", play)
	}
	if push := anna.until("call.push"); push["step"] != 5.0 {
		s.t.Fatalf("step 5: %v", push)
	}
	s.media(call, "anna", true, true)
	if play := carl.until("call.play"); play["step"] != 7.0 || play.text("user") != "anna" {
		s.t.Fatalf("step 7: %v", play)
	}
	s.media(call, "carl", true, true)
	anna.until("call.connected")
	carl.until("call.connected")
	return anna, carl, call
}
