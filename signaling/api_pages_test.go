package signaling_test

import (
	"fmt"
	"strings"
	"testing"

	"duet/signaling/desk"
)

// TestLobby: strangers are told of public queues alone; where nobody is set up, of all.
func TestLobby(t *testing.T) {
	b := newBackend(t, false)
	b.do(desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "open", Name: "Anybody", Public: true}})
	anna := b.join("anna agent", 0)
	anna.ask("room.open", object{})
	v := b.must("GET", "/v1/lobby", "", "")
	list := v["queues"].([]any)
	if len(list) != 1 {
		t.Fatalf("a stranger sees %v", v)
	}
	q := object(list[0].(map[string]any))
	if q.text("id") != "open" || q.text("name") != "Anybody" || q["agents"] != 1.0 || q["waiting"] != 0.0 {
		t.Errorf("the queue is shown as %v", q)
	}
	b.do(desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "open", Public: true, Skills: []string{"loans"}}})
	if v := b.must("GET", "/v1/lobby", "", ""); !strings.Contains(fmt.Sprint(v), "agents:0") {
		t.Errorf("an agent without the skill counts: %v", v)
	}
	dev := newBackend(t, true)
	if v := dev.must("GET", "/v1/lobby", "", ""); v["dev"] != true || len(v["queues"].([]any)) != 1 {
		t.Errorf("where nobody is set up: %v", v)
	}
}

// TestDesk: an agent sees who waits in the lines that the desk serves, and the other open desks; no calls, no URLs.
func TestDesk(t *testing.T) {
	b := newBackend(t, false)
	b.do(desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: "other"}})
	anna, _, call := b.connected()
	_ = anna
	bert := b.join("bert agent", 0)
	bert.ask("room.open", object{"queues": []string{"q"}})
	eve, fred := b.join("eve caller", 0), b.join("fred caller", 0)
	waits := eve.ask("queue.join", object{"queue": "q", "note": "about a loan"}).text("call")
	fred.ask("queue.join", object{"queue": "other"})
	v := b.must("GET", "/v1/desk", b.token("bert", desk.Agent), "")
	text := fmt.Sprint(v)
	for _, want := range []string{"about a loan", "EVE", "agent:anna", "queue:other", "state:BUSY"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in %s", want, text)
		}
	}
	for _, not := range []string{"FRED", call, waits, "duet://", "agent:bert"} {
		if strings.Contains(text, not) {
			t.Errorf("%q is in %s", not, text)
		}
	}
}

// TestRating: who called says how it was, once it is over; nobody else does, and not too often.
func TestRating(t *testing.T) {
	b := newBackend(t, false)
	_, carl, call := b.connected()
	own := b.token("carl", desk.Caller)
	rate := func(token, body string) int {
		code, _ := b.ask("POST", "/v1/calls/"+call+"/rating", token, body)
		return code
	}
	if code := rate(own, `{"stars":5}`); code != 403 {
		t.Errorf("a call that goes on is rated: %d", code)
	}
	carl.ask("call.hangup", object{"call": call})
	carl.until("call.ended")
	for what, c := range map[string]struct {
		token, body string
		want        int
	}{
		"no stars": {own, `{}`, 400}, "six stars": {own, `{"stars":6}`, 400}, "a book": {own, `{"stars":5,"text":"` + strings.Repeat("x", 1001) + `"}`, 400},
		"somebody else": {b.token("eve", desk.Caller), `{"stars":1}`, 403},
	} {
		if code := rate(c.token, c.body); code != c.want {
			t.Errorf("%s: %d, want %d", what, code, c.want)
		}
	}
	from := b.last()
	if code := rate(own, `{"stars":4,"text":"quick"}`); code != 204 {
		t.Fatalf("a rating: %d", code)
	}
	log := fmt.Sprint(b.must("GET", fmt.Sprintf("/v1/audit?after=%d", from), b.token("al", desk.Auditor), ""))
	if !strings.Contains(log, "rating") || !strings.Contains(log, "4/5 quick") || !strings.Contains(log, call) {
		t.Errorf("the log has %s", log)
	}
	many := 0
	for range 10 {
		if rate(own, `{"stars":1}`) == 429 {
			many++
		}
	}
	if many == 0 {
		t.Error("nothing limits ratings")
	}
}
