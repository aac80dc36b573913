package signaling_test

import (
	"fmt"
	"strings"
	"testing"

	"duet/signaling/desk"
)

// mentions reports whether any of what came has a text in it.
func mentions(all []object, text string) bool { return strings.Contains(fmt.Sprint(all), text) }

// Who is not in a call gets no URL of it: not by events, not by lists, not when asking, not afterwards.
func TestURLsAreForMembers(t *testing.T) {
	s := newSite(t)
	boss, eve := s.join("boss supervisor", 0), s.join("eve caller", 0)
	anna, carl, call := s.connected()
	bert := s.join("bert agent", 0)
	bert.ask("room.open", nil)
	anna.ask("call.transfer", object{"call": call, "agent": "bert"})
	bert.until("call.offered")
	bert.ask("call.urls", object{"call": call}, "not-member") // asked, but not in it yet
	bert.ask("message.list", object{"call": call}, "not-member")
	begun := s.join("bert agent", 0)
	if state := fmt.Sprint(begun.hello["state"]); strings.Contains(state, "duet://") || !strings.Contains(state, call) {
		t.Errorf("who is being asked begins with %s", state)
	}
	bert.ask("call.accept", object{"call": call})
	bert.until("call.push")
	s.media(call, "bert", true, true)
	if left := anna.until("call.party-left"); left.text("user") != "anna" {
		t.Errorf("got %v", left)
	}
	anna.ask("call.urls", object{"call": call}, "not-member")
	anna.ask("message.send", object{"call": call, "mid": "late", "body": "x"}, "not-member")
	if play := carl.until("call.play"); play.text("user") != "bert" {
		t.Errorf("got %v", play)
	}
	for _, kind := range []string{"list.rooms", "list.queues", "list.calls"} {
		if ok := boss.ask(kind, nil); strings.Contains(fmt.Sprint(ok), "duet://") {
			t.Errorf("%s has URLs: %v", kind, ok)
		}
	}
	boss.ask("call.urls", object{"call": call}, "not-member")
	eve.ask("call.urls", object{"call": call}, "not-member")
	carl.ask("call.hangup", object{"call": call})
	if all := boss.upto("call.ended"); mentions(all, "duet://") || !mentions(all, "call.accepted") {
		t.Errorf("a supervisor got %v", all)
	}
	carl.ask("call.urls", object{"call": call}, "not-member")
	eve.ask("queue.join", object{"queue": "q"})
	if all := eve.upto("call.waiting"); mentions(all, "duet://") {
		t.Errorf("a stranger got %v", all)
	}
}

// A supervisor who watches is seen by no party, plays and does not push; who joins is seen, and who has left has nothing any more.
func TestWatching(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	boss := s.join("boss supervisor", 0)
	boss.ask("call.watch", object{"call": call})
	for range 2 {
		if play := boss.until("call.play"); !strings.Contains(play.text("url"), "push=false&party=boss") {
			t.Errorf("got %v", play)
		}
	}
	for _, u := range boss.ask("call.urls", object{"call": call})["urls"].([]any) {
		if object(u.(map[string]any)).text("type") != "call.play" {
			t.Errorf("who watches may %v", u)
		}
	}
	boss.ask("message.send", object{"call": call, "mid": "1", "body": "psst"}, "not-member")
	if list := boss.ask("call.watch", object{"call": call}); list["again"] != true {
		t.Errorf("watching twice: %v", list)
	}
	for _, token := range []string{"anna agent", "carl caller"} {
		if begun := s.join(token, 0); strings.Contains(fmt.Sprint(begun.hello), "boss") {
			t.Errorf("%s sees who watches: %v", token, begun.hello)
		}
	}
	if urls := carl.ask("call.urls", object{"call": call}); strings.Contains(fmt.Sprint(urls), "boss") {
		t.Errorf("a party sees who watches: %v", urls)
	}
	boss.ask("call.leave", object{"call": call})
	boss.ask("call.urls", object{"call": call}, "not-member")
	boss.ask("call.join", object{"call": call})
	if all := carl.upto("call.party-joined"); mentions(all[:len(all)-1], "boss") {
		t.Errorf("before boss joined carl got %v", all)
	}
	anna.ask("call.remove", object{"call": call, "user": "boss"})
	if left := carl.until("call.party-left"); left.text("user") != "boss" || left.text("reason") != "removed" {
		t.Errorf("got %v", left)
	}
	boss.ask("call.urls", object{"call": call}, "not-member")
}

// Two sockets of one user hear the same, and the user is there as long as one is open.
func TestTwoSockets(t *testing.T) {
	s := newSite(t)
	anna, first, call := s.connected()
	second := s.join("carl caller", 0)
	first.ask("message.send", object{"call": call, "mid": "1", "body": "from the first"})
	second.ask("message.send", object{"call": call, "mid": "1", "body": "the same again"}) // by the same user: it is there
	second.ask("message.send", object{"call": call, "mid": "2", "body": "from the second"})
	for _, p := range []*party{anna, first, second} {
		for _, want := range []string{"from the first", "from the second"} {
			if m := p.until("message")["message"].(map[string]any); m["body"] != want {
				t.Errorf("got %v, want %s", m, want)
			}
		}
	}
	_ = first.conn.CloseNow()
	s.until(func(state *desk.State) bool { return len(state.ConnsOf("carl")) == 1 })
	anna.ask("message.send", object{"call": call, "mid": "3", "body": "still there?"})
	second.until("message")
	_ = second.conn.CloseNow()
	s.until(func(state *desk.State) bool { return !state.Here("carl") })
}

// What a renewed token takes away is gone at once.
func TestRenew(t *testing.T) {
	s := newSite(t)
	boss, anna := s.join("boss supervisor,agent", 0), s.join("anna agent", 0)
	anna.ask("room.open", nil)
	boss.until("room.state")
	if ok := boss.ask("renew", object{"token": "boss agent"}); ok["expires"] == nil {
		t.Errorf("got %v", ok)
	}
	boss.ask("list.rooms", nil, "forbidden")
	anna.ask("room.close", nil)
	boss.ask("room.open", nil)
	if v := boss.until("room.state"); v.text("user") != "boss" {
		t.Errorf("who supervises no more got %v", v)
	}
	boss.ask("renew", object{"token": "anna agent"}, "unauthorized")
	boss.ask("renew", object{"token": "boss agent 1ms"})
	if got := boss.closedWith(); got != 4401 {
		t.Errorf("with a token for a millisecond: %d", got)
	}
}

// Who was kept out and is let in again is not thrown out by what is told of before.
func TestDisabledAndEnabled(t *testing.T) {
	s := newSite(t)
	carl := s.join("carl caller", 0)
	_ = carl.conn.CloseNow()
	s.until(func(state *desk.State) bool { return !state.Here("carl") })
	s.do(desk.System(), &desk.DisableUser{ID: "carl"})
	s.do(desk.System(), &desk.DisableUser{ID: "carl", Enable: true})
	again := s.join("carl caller", carl.seq)
	if again.hello["resumed"] != true {
		t.Fatalf("not resumed: %v", again.hello)
	}
	again.until("user.disabled")
	again.ask("queue.join", object{"queue": "q"})
}

// Reports are kept in the log, but not more than there may be of them.
func TestReports(t *testing.T) {
	s := newSite(t)
	_, carl, call := s.connected()
	var kept, refused int
	for range 30 {
		switch _, code := carl.try("report", object{"call": call, "code": 1002, "text": "published"}); code {
		case "":
			kept++
		case "limit":
			refused++
		default:
			t.Fatal(code)
		}
	}
	if kept < 10 || refused == 0 {
		t.Errorf("%d kept, %d refused", kept, refused)
	}
}

// Every request may be repeated: the second time changes nothing.
func TestReplay(t *testing.T) {
	s := newSite(t)
	anna, carl, bert, boss := s.join("anna agent", 0), s.join("carl caller", 0), s.join("bert agent", 0), s.join("boss supervisor", 0)
	twice := func(p *party, kind string, fields object) object {
		t.Helper()
		first := p.ask(kind, fields)
		kept := s.last()
		second, code := p.try(kind, fields)
		if now := s.last(); now != kept {
			t.Errorf("%s again: the log grew", kind)
		}
		if code != "" && code != "not-member" && code != "conflict" && code != "forbidden" || code == "" && second["again"] != true {
			t.Errorf("%s again: %v %s", kind, second, code)
		}
		if code == "" && first["call"] != nil && (second["call"] != first["call"] || second["message"] != first["message"]) {
			t.Errorf("%s: %v, again %v", kind, first, second)
		}
		return first
	}
	twice(anna, "room.open", nil)
	call := twice(carl, "queue.join", object{"queue": "q"}).text("call")
	anna.until("call.offered")
	twice(anna, "call.decline", object{"call": call})
	twice(bert, "room.open", nil)
	bert.until("call.offered")
	twice(bert, "call.accept", object{"call": call})
	s.media(call, "carl", true, false)
	bert.until("call.push")
	s.media(call, "bert", true, true)
	s.media(call, "carl", true, true)
	carl.until("call.connected")
	twice(carl, "message.send", object{"call": call, "mid": "1", "body": "x"})
	twice(bert, "message.seen", object{"call": call, "read": 1})
	twice(boss, "call.watch", object{"call": call})
	twice(boss, "call.join", object{"call": call})
	twice(boss, "call.leave", object{"call": call})
	boss.ask("call.join", object{"call": call})
	boss.until("call.push")
	bert.ask("call.remove", object{"call": call, "user": "boss"})
	bert.ask("call.remove", object{"call": call, "user": "boss"}, "not-found")
	twice(bert, "call.transfer", object{"call": call, "agent": "anna"})
	twice(bert, "call.transfer-cancel", object{"call": call})
	twice(carl, "call.hangup", object{"call": call})
	bert.until("call.ended")
	bert.ask("room.ready", object{"call": call})
	kept := s.last()
	bert.ask("room.ready", object{"call": call})
	if now := s.last(); now != kept {
		t.Error("room.ready again: the log grew")
	}
	call = twice(carl, "call.dial", object{"user": "boss"}).text("call")
	twice(boss, "call.end", object{"call": call})
	twice(bert, "room.close", nil)
}
