package signaling_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"duet/signaling/desk"
)

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

func TestEndings(t *testing.T) {
	t.Parallel()
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
	large := `{"id":2,"type":"message.send","body":"` + strings.Repeat("x", 500<<10) + `"}`
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
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, s.url: http.StatusSwitchingProtocols, "": http.StatusSwitchingProtocols} {
		h := http.Header{"Origin": {origin}}
		if origin == "" { // no browser
			h = nil
		}
		conn, r, err := websocket.Dial(t.Context(), s.url, &websocket.DialOptions{HTTPHeader: h})
		if r == nil || r.StatusCode != want {
			t.Errorf("from %s: %v, %v", origin, r, err)
		}
		if err == nil {
			_ = conn.CloseNow()
		}
	}
	for _, offer := range [][]string{nil, {"duet.v9"}} {
		if got := s.dialWith(&websocket.DialOptions{Subprotocols: offer}).closedWith(); got != websocket.StatusProtocolError {
			t.Errorf("subprotocols %v: %d", offer, got)
		}
	}
}

// Who comes without a valid token again and again has to wait; others do not, and who has one does not count.
func TestStrangers(t *testing.T) {
	s := newSite(t)
	for i := range 100 {
		p := s.dialFrom("192.0.2.1")
		p.ask("hello", object{"token": fmt.Sprintf("u%d caller", i)})
		_ = p.conn.CloseNow()
	}
	var refused int
	for range 100 {
		conn, r, err := websocket.Dial(t.Context(), s.url, &websocket.DialOptions{Subprotocols: []string{"duet.v1"}, HTTPHeader: http.Header{"X-Forwarded-For": {"192.0.2.1"}}})
		if err != nil {
			if r == nil || r.StatusCode != http.StatusTooManyRequests || r.Header.Get("Retry-After") == "" {
				t.Fatalf("refused with %v, %v", r, err)
			}
			refused++
			continue
		}
		p := &party{t: t, conn: conn}
		p.send(object{"id": 1, "type": "hello", "token": "x"})
		if got := p.closedWith(); got != 4401 {
			t.Fatalf("a bad token: %d", got)
		}
	}
	if refused == 0 {
		t.Error("strangers may come without end")
	}
	s.dialFrom("192.0.2.2").ask("hello", object{"token": "carl caller"})
}
