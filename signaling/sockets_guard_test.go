package signaling_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"duet/signaling"
	"duet/signaling/desk"
)

// wrong is how a request of one type is refused.
type wrong struct {
	fields   object // that are right, but for "call"
	call     string // the code for a call that is another's; "": it names none
	role     string // who may not ask for it, if anybody
	roleCode string
	kinds    []string // fields of which another kind is malformed
	over     object   // one field too long
	overCode string
}

// guards has every type of request.
func guards() map[string]wrong {
	long := func(n int) string { return strings.Repeat("x", n+1) }
	call := func(code string) wrong { return wrong{call: code, kinds: []string{"call"}} }
	boss := wrong{call: "forbidden", role: "carl caller", roleCode: "forbidden", kinds: []string{"call"}}
	none := wrong{role: "carl caller", roleCode: "forbidden"}
	return map[string]wrong{
		"renew":                {fields: object{"token": "eve caller"}, kinds: []string{"token"}, over: object{"token": long(10_000)}, overCode: "unauthorized"},
		"queue.join":           {fields: object{"queue": "q"}, role: "bert agent", roleCode: "forbidden", kinds: []string{"queue", "skills", "note"}, over: object{"note": long(desk.MaxNote)}, overCode: "malformed"},
		"call.dial":            {fields: object{"user": "anna"}, role: "otto auditor", roleCode: "forbidden", kinds: []string{"user", "note"}, over: object{"user": long(desk.MaxID)}, overCode: "malformed"},
		"call.hangup":          call("not-member"),
		"room.open":            {role: "carl caller", roleCode: "forbidden", kinds: []string{"queues", "skills"}, over: object{"skills": make([]string, desk.MaxSkills+1)}, overCode: "forbidden"},
		"room.close":           {fields: object{"agent": "anna"}, role: "carl caller", roleCode: "forbidden", kinds: []string{"agent"}},
		"call.accept":          call("not-member"),
		"call.decline":         call("not-member"),
		"room.ready":           {call: "forbidden", role: "carl caller", roleCode: "forbidden", kinds: []string{"call", "disposition", "note"}, over: object{"note": long(desk.MaxNote)}, overCode: "forbidden"},
		"call.transfer":        {fields: object{"queue": "q"}, call: "not-member", role: "carl caller", roleCode: "forbidden", kinds: []string{"call", "agent", "queue", "note"}},
		"call.transfer-cancel": {call: "not-member", role: "carl caller", roleCode: "conflict", kinds: []string{"call"}},
		"call.watch":           boss,
		"call.join":            boss,
		"call.leave":           {call: "not-member", role: "carl caller", roleCode: "conflict", kinds: []string{"call"}},
		"call.remove":          {fields: object{"user": "anna"}, call: "not-member", role: "carl caller", roleCode: "forbidden", kinds: []string{"call", "user"}},
		"call.end":             boss,
		"call.urls":            call("not-member"),
		"message.send":         {fields: object{"mid": "1", "body": "x"}, call: "not-member", kinds: []string{"call", "mid", "body", "cmd"}, over: object{"body": long(desk.MaxMessage)}, overCode: "too-large"},
		"message.seen":         {fields: object{"read": 1}, call: "not-member", kinds: []string{"call", "delivered", "read"}},
		"message.list":         call("not-member"),
		"record.consent":       {fields: object{"agree": true}, call: "not-member", role: "anna agent", roleCode: "forbidden", kinds: []string{"call", "agree"}},
		"record.start":         {call: "not-member", role: "carl caller", roleCode: "forbidden", kinds: []string{"call"}},
		"record.stop":          {call: "not-member", role: "carl caller", roleCode: "forbidden", kinds: []string{"call"}},
		"record.snapshot":      {call: "not-member", role: "carl caller", roleCode: "forbidden", kinds: []string{"call"}},
		"report":               {fields: object{"code": 1002}, call: "not-member", kinds: []string{"call", "code", "text"}, over: object{"text": long(200)}, overCode: "malformed"},
		"list.rooms":           none,
		"list.queues":          none,
		"list.calls":           none,
	}
}

// fieldsOf is a request for a call.
func (w *wrong) fieldsOf(call string) object {
	o := object{"call": call}
	maps.Copy(o, w.fields)
	return o
}

// There is no type of request that the tests or the page do not have.
func TestTypesAreKnown(t *testing.T) {
	b, err := os.ReadFile("../docs/signaling.md")
	if err != nil {
		t.Fatal(err)
	}
	_, page, _ := strings.Cut(string(b), "## Requests")
	page, _, _ = strings.Cut(page, "## Events")
	var told []string
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\|").FindAllStringSubmatch(page, -1) {
		for _, m := range regexp.MustCompile("`([^`]*)`").FindAllStringSubmatch(row[1], -1) {
			told = append(told, m[1])
		}
	}
	slices.Sort(told)
	types := signaling.RequestTypes()
	if !slices.Equal(told, types) {
		t.Errorf("docs/signaling.md has the requests\n%v, the server\n%v", told, types)
	}
	if have := slices.Sorted(maps.Keys(guards())); !slices.Equal(have, types) {
		t.Errorf("tested are the requests\n%v, the server has\n%v", have, types)
	}
}

// Every request is refused to those who may not ask for it, and when its fields are wrong; and nothing comes of it.
func TestGuards(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	eve, otto := s.join("eve caller", 0), s.join("otto auditor", 0)
	carl.ask("message.send", object{"call": call, "mid": "before", "body": "x"})
	who := map[string]*party{"anna agent": anna, "carl caller": carl, "bert agent": s.join("bert agent", 0), "otto auditor": otto}
	kept := s.last()
	for kind, w := range guards() {
		if w.call != "" {
			eve.ask(kind, w.fieldsOf(call), w.call)
			eve.ask(kind, w.fieldsOf("nosuchcall"), w.call) // the two look the same
		}
		if w.role != "" {
			who[w.role].ask(kind, w.fieldsOf(call), w.roleCode)
		}
		for _, field := range w.kinds {
			o := w.fieldsOf(call)
			o[field] = object{"no": "such kind"}
			anna.ask(kind, o, "malformed")
		}
		if w.over != nil {
			o := w.fieldsOf(call)
			maps.Copy(o, w.over)
			by := carl
			if w.call == "" { // who is in a call may not ask for one
				by = eve
			}
			by.ask(kind, o, w.overCode)
		}
	}
	for kind, code := range map[string]string{"hello": "conflict", "root.me": "unknown-type", "": "unknown-type", "Call.Hangup": "unknown-type"} {
		eve.ask(kind, object{"token": "eve admin", "call": call}, code)
	}
	for _, text := range []string{
		`{`, `null`, `[]`, `7`, `"hello"`, ``, "\xff\xfe", `{"type":"list.rooms"}`, `{"id":"1","type":"list.rooms"}`, `{"id":{},"type":"list.rooms"}`,
		`{"id":1,"type":7}`, `{"id":1111111111111111111111111,"type":"list.rooms"}`, strings.Repeat("[", 100_000),
	} {
		if err := otto.conn.Write(t.Context(), websocket.MessageText, []byte(text)); err != nil {
			t.Fatal(err)
		}
		o, err := otto.read()
		if err != nil {
			t.Fatalf("%.20q: %v", text, err)
		}
		if e, _ := o["error"].(map[string]any); object(e).text("code") != "malformed" {
			t.Errorf("%.20q: %v", text, o)
		}
	}
	if now := s.last(); now != kept {
		t.Errorf("the log grew from %d to %d", kept, now)
	}
}

// No request is answered before the hello, with an old token, or if it is too long.
func TestGuardsOfSockets(t *testing.T) {
	s := newSite(t)
	_, _, call := s.connected()
	kept := s.last()
	for i, kind := range signaling.RequestTypes() {
		w := guards()[kind]
		o := w.fieldsOf(call)
		o["id"], o["type"] = 2, kind
		p := s.dialFrom(fmt.Sprintf("192.0.2.%d", i))
		p.send(o)
		if got := p.closedWith(); got != 4408 {
			t.Errorf("%s without hello: %d", kind, got)
		}
		p = s.dialFrom(fmt.Sprintf("192.0.2.%d", i))
		p.send(object{"id": 1, "type": "hello", "token": "carl caller -1s"})
		p.send(o)
		if got := p.closedWith(); got != 4401 {
			t.Errorf("%s with an old token: %d", kind, got)
		}
	}
	if now := s.last(); now != kept {
		t.Errorf("the log grew from %d to %d", kept, now)
	}
	for i, kind := range signaling.RequestTypes() {
		p := s.join(fmt.Sprintf("u%d caller", i), 0)
		b, err := json.Marshal(object{"id": 2, "type": kind, "call": call, "more": strings.Repeat("x", 420<<10)})
		if err != nil {
			t.Fatal(err)
		}
		if p.conn.Write(t.Context(), websocket.MessageText, b) != nil {
			continue // it was closed in the middle
		}
		if got := p.closedWith(); got != websocket.StatusMessageTooBig && got != -1 {
			t.Errorf("%s too long: %d", kind, got)
		}
	}
	hello := s.dial()
	hello.send(object{"id": 1, "type": "hello", "token": strings.Repeat("x", 20<<10)})
	if got := hello.closedWith(); got != websocket.StatusMessageTooBig {
		t.Errorf("a hello that is too long: %d", got)
	}
}

// The longest message comes through however its sender writes it.
func TestLongestMessage(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	for i, one := range []string{`\u0000`, `\u044f`, `"`, `<`} {
		n := desk.MaxMessage
		want := strings.Repeat("\x00", n)
		text := strings.Repeat(one, n)
		switch one {
		case `\u044f`:
			n /= 2
			want, text = strings.Repeat("я", n), strings.Repeat(one, n)
		case `"`:
			want, text = strings.Repeat(`"`, n), strings.Repeat(`\"`, n)
		case `<`:
			want = text
		}
		b := fmt.Sprintf(`{"id":%d,"type":"message.send","call":%q,"mid":"m%d","body":"%s"}`, 1000+i, call, i, text)
		if err := carl.conn.Write(t.Context(), websocket.MessageText, []byte(b)); err != nil {
			t.Fatal(err)
		}
		if m := anna.until("message")["message"].(map[string]any); m["body"] != want {
			t.Errorf("%s: got %.20q", one, m["body"])
		}
	}
}
