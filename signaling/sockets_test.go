package signaling_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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
	s.sockets = signaling.NewSockets(signaling.SocketConfig{Office: o, Auth: tokens{}, URLs: func(g desk.Grant) (string, error) {
		return fmt.Sprintf("duet://test/%s?push=%v&party=%s", g.Stream, g.Push, g.Party), nil
	}})
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
}

func (s *site) dial() *party {
	s.t.Helper()
	conn, _, err := websocket.Dial(s.t.Context(), s.url, &websocket.DialOptions{Subprotocols: []string{signaling.Subprotocol}})
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

func (p *party) ask(kind string, fields object) object {
	p.t.Helper()
	ok, code := p.try(kind, fields)
	if code != "" {
		p.t.Fatalf("%s %v: %s", kind, fields, code)
	}
	return ok
}

// until waits for an event.
func (p *party) until(kind string) object {
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
		if o.text("type") == kind {
			return o
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

func TestSevenSteps(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	carl.ask("message.send", object{"call": call, "mid": "1", "body": "hello"})
	if m := anna.until("message"); m["message"].(map[string]any)["body"] != "hello" {
		t.Errorf("got %v", m)
	}
	anna.ask("message.seen", object{"call": call, "read": 1})
	if e := carl.until("message.read"); e["upto"] != 1.0 {
		t.Errorf("got %v", e)
	}
	if list := carl.ask("message.list", object{"call": call})["messages"].([]any); len(list) != 1 {
		t.Errorf("messages %v", list)
	}
	if urls := carl.ask("call.urls", object{"call": call})["urls"].([]any); len(urls) != 2 {
		t.Errorf("URLs %v", urls)
	}
	anna.ask("report", object{"call": call, "code": 1002})
	carl.ask("call.hangup", object{"call": call})
	if e := anna.until("call.ended"); e.text("reason") != "hangup" || e.text("by") != "carl" {
		t.Errorf("got %v", e)
	}
}

func TestRefusals(t *testing.T) {
	s := newSite(t)
	_, _, call := s.connected()
	other, agent, boss := s.join("eve caller", 0), s.join("bert agent", 0), s.join("boss admin", 0)
	for _, c := range []struct {
		who  *party
		kind string
		with object
		code string
	}{
		{other, "call.urls", object{"call": call}, "not-member"},
		{other, "message.list", object{"call": call}, "not-member"},
		{other, "message.send", object{"call": call, "mid": "1", "body": "x"}, "not-member"},
		{other, "message.seen", object{"call": call, "read": 1}, "not-member"},
		{other, "call.hangup", object{"call": call}, "not-member"},
		{other, "call.accept", object{"call": call}, "not-member"},
		{other, "call.decline", object{"call": call}, "not-member"},
		{other, "call.transfer", object{"call": call, "queue": "q"}, "not-member"},
		{other, "call.transfer-cancel", object{"call": call}, "not-member"},
		{other, "report", object{"call": call, "code": 1002}, "not-member"},
		{other, "call.watch", object{"call": call}, "forbidden"},
		{other, "call.join", object{"call": call}, "forbidden"},
		{other, "call.leave", object{"call": call}, "not-member"},
		{other, "call.remove", object{"call": call, "user": "anna"}, "not-member"},
		{other, "call.end", object{"call": call}, "forbidden"},
		{other, "room.open", nil, "forbidden"},
		{other, "room.close", object{"agent": "anna"}, "forbidden"},
		{other, "room.ready", object{"call": call}, "forbidden"},
		{other, "list.rooms", nil, "forbidden"},
		{other, "list.calls", nil, "forbidden"},
		{other, "list.queues", nil, "forbidden"},
		{other, "queue.join", object{"queue": "nowhere"}, "not-found"},
		{other, "queue.join", object{"queue": 7}, "malformed"},
		{other, "call.dial", object{"user": "nobody"}, "unreachable"},
		{other, "call.dial", object{"user": "eve"}, "malformed"},
		{other, "renew", object{"token": "anna agent"}, "unauthorized"},
		{other, "renew", object{"token": ""}, "unauthorized"},
		{other, "hello", object{"token": "eve admin"}, "conflict"},
		{other, "root.me", nil, "unknown-type"},
		{agent, "queue.join", object{"queue": "q"}, "forbidden"},
		{agent, "call.end", object{"call": call}, "forbidden"},
		{boss, "call.urls", object{"call": call}, "not-member"},
		{boss, "room.open", nil, "forbidden"},
	} {
		if _, code := c.who.try(c.kind, c.with); code != c.code {
			t.Errorf("%s %v: %q, want %q", c.kind, c.with, code, c.code)
		}
	}
	if calls := boss.ask("list.calls", nil); strings.Contains(fmt.Sprint(calls), "duet://") {
		t.Errorf("a list has URLs: %v", calls)
	}
	other.send(object{"type": 7})
	if o, err := other.read(); err != nil || !strings.Contains(fmt.Sprint(o), "malformed") {
		t.Errorf("got %v, %v", o, err)
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

func TestEndings(t *testing.T) {
	s := newSite(t)
	bad := s.dial()
	bad.send(object{"id": 1, "type": "hello", "token": "x"})
	if got := bad.closedWith(); got != 4401 {
		t.Errorf("a bad token: %d", got)
	}
	old := s.dial()
	old.send(object{"id": 1, "type": "hello", "token": "x caller -1s"})
	if got := old.closedWith(); got != 4401 {
		t.Errorf("an old token: %d", got)
	}
	first := s.dial()
	first.send(object{"id": 1, "type": "queue.join", "queue": "q"})
	if got := first.closedWith(); got != 4408 {
		t.Errorf("no hello: %d", got)
	}
	short := s.join("short caller 1500ms", 0)
	if got := short.closedWith(); got != 4401 {
		t.Errorf("a token that ran out: %d", got)
	}
	off := s.join("off caller", 0)
	s.do(desk.System(), &desk.DisableUser{ID: "off"})
	if got := off.closedWith(); got != 4403 {
		t.Errorf("disabled: %d", got)
	}
	again := s.dial()
	again.send(object{"id": 1, "type": "hello", "token": "off caller"})
	if got := again.closedWith(); got != 4403 {
		t.Errorf("disabled before: %d", got)
	}
	long := s.join("long caller", 0)
	large := `{"id":2,"type":"message.send","body":"` + strings.Repeat("x", 200<<10) + `"}`
	if long.conn.Write(t.Context(), websocket.MessageText, []byte(large)) == nil { // else it was closed in the middle
		if got := long.closedWith(); got != websocket.StatusMessageTooBig {
			t.Errorf("too long: %d", got)
		}
	}
	fast := s.join("fast caller", 0)
	for i := range 300 {
		b := fmt.Sprintf(`{"id":%d,"type":"list.rooms"}`, i)
		if fast.conn.Write(t.Context(), websocket.MessageText, []byte(b)) != nil {
			break
		}
	}
	if got := fast.closedWith(); got != 4429 {
		t.Errorf("too fast: %d", got)
	}
	var many []*party
	for range desk.MaxConns {
		many = append(many, s.join("many caller", 0))
	}
	more := s.dial()
	more.send(object{"id": 1, "type": "hello", "token": "many caller"})
	if got := more.closedWith(); got != 4409 {
		t.Errorf("too many: %d", got)
	}
	down := make(chan websocket.StatusCode, 1)
	go func() { down <- many[0].closedWith() }()
	for _, p := range many[1:] {
		_ = p.conn.CloseNow()
	}
	s.sockets.Close()
	if got := <-down; got != websocket.StatusServiceRestart {
		t.Errorf("the server goes down: %d", got)
	}
}

func TestOrigin(t *testing.T) {
	s := newSite(t)
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, s.url: http.StatusSwitchingProtocols} {
		conn, r, err := websocket.Dial(t.Context(), s.url, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}})
		if r == nil || r.StatusCode != want {
			t.Errorf("from %s: %v, %v", origin, r, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
}

// A socket that is cut at any moment goes on where it was: every message once, in order.
func TestResume(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	const n = 200
	rng := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := range n {
			_, err := s.office.Do(t.Context(), desk.Actor{User: "carl", Roles: []desk.Role{desk.Caller}}, &desk.Say{Call: call, ID: fmt.Sprint(i), Body: fmt.Sprint(i)})
			if err != nil {
				t.Error(err)
			}
		}
	})
	got, cuts := 0, 0
	for got < n {
		o, err := anna.read()
		if err != nil {
			t.Fatal(err)
		}
		if o.text("type") == "message" {
			if body := o["message"].(map[string]any)["body"]; body != fmt.Sprint(got) {
				t.Fatalf("message %v, want %d", body, got)
			}
			got++
		}
		if rng.IntN(10) == 0 {
			_ = anna.conn.CloseNow()
			anna = s.join("anna agent", anna.seq)
			for _, o := range anna.queue { // events never come before the answer to hello
				t.Fatalf("before the answer: %v", o)
			}
			if anna.hello["resumed"] != true {
				t.Fatalf("not resumed: %v", anna.hello)
			}
			cuts++
		}
	}
	wg.Wait()
	if cuts < 5 {
		t.Errorf("only %d cuts", cuts)
	}
	begun := s.join("carl caller", 0)
	state, _ := begun.hello["state"].(map[string]any)
	calls, _ := state["calls"].([]any)
	if len(calls) != 1 || len(calls[0].(map[string]any)["messages"].([]any)) != n || len(state["urls"].([]any)) != 2 {
		t.Errorf("the state of one who begins anew: %.300v", state)
	}
	_ = carl
}

func TestPlaces(t *testing.T) {
	s := newSite(t)
	var callers []*party
	for i := range 25 {
		p := s.join(fmt.Sprintf("c%d caller", i), 0)
		p.ask("queue.join", object{"queue": "q"})
		if v := p.until("queue.position"); v["position"] != float64(i+1) || v["estimate"] != nil {
			t.Fatalf("caller %d: %v", i, v)
		}
		callers = append(callers, p)
	}
	anna := s.join("anna agent", 0)
	anna.ask("room.open", nil)
	call := anna.until("call.offered").text("call")
	if v := callers[3].until("queue.position"); v["estimate"] == nil || v["agents"] != 1.0 {
		t.Errorf("with an agent: %v", v)
	}
	anna.ask("call.accept", object{"call": call})
	for i, p := range callers[1:] {
		for {
			v := p.until("queue.position")
			if v["position"] == float64(i+1) {
				break
			}
		}
	}
}
