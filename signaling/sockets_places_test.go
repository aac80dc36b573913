package signaling_test

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// position waits until a caller is told one place, and holds what comes before to the rules: no place twice in a row, and never further back.
func (p *party) position(want int) {
	p.t.Helper()
	last := 1 << 20
	if p.place != nil {
		last = int(p.place["position"].(float64))
	}
	for last != want {
		o := p.until("queue.position")
		if o["seq"] != nil {
			p.t.Errorf("a place with a number: %v", o)
		}
		if fmt.Sprint(o) == fmt.Sprint(p.place) {
			p.t.Errorf("twice: %v", o)
		}
		n := int(o["position"].(float64))
		if n > last {
			p.t.Errorf("place %d after %d", n, last)
		}
		p.place, last = o, n
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	var callers []*party
	for i := range 30 {
		p := s.join(fmt.Sprintf("c%d caller", i), 0)
		p.ask("queue.join", object{"queue": "q"})
		p.position(i + 1)
		if p.place["estimate"] != nil || p.place["agents"] != 0.0 {
			t.Fatalf("caller %d with nobody to answer: %v", i, p.place)
		}
		callers = append(callers, p)
	}
	anna := s.join("anna agent", 0)
	anna.ask("room.open", nil)
	call := anna.until("call.offered").text("call")
	for _, i := range []int{3, 25} {
		v := callers[i].until("queue.position")
		for v["estimate"] == nil { // how many came behind is told before
			v = callers[i].until("queue.position")
		}
		if v["agents"] != 1.0 {
			t.Errorf("with an agent: %v", v)
		}
	}
	begun := time.Now()
	anna.ask("call.accept", object{"call": call})
	for i, p := range callers[1:20] {
		p.position(i + 1)
	}
	if took := time.Since(begun); took > time.Second {
		t.Errorf("the first 20 were told after %v", took)
	}
	for i, p := range callers[1:] {
		p.position(i + 1)
	}
	callers[7].ask("call.hangup", object{"call": callers[7].place.text("call")})
	for i, p := range slices.Concat(callers[1:7], callers[8:]) {
		p.position(i + 1)
	}

	// A caller who comes again, or with another socket, is told at once.
	again := s.join("c5 caller", 0)
	if state, _ := again.hello["state"].(map[string]any); state["place"].(map[string]any)["position"] != 5.0 {
		t.Errorf("the state has the place %v", state["place"])
	}
	again.position(5)
	resumed := s.join("c6 caller", callers[6].seq)
	if resumed.hello["resumed"] != true || resumed.hello["state"] != nil {
		t.Errorf("not resumed: %v", resumed.hello)
	}
	resumed.position(6)
}

// A call that a transfer brings into line again has a place again, the same as before too.
func TestPlaceAfterTransfer(t *testing.T) {
	s := newSite(t)
	anna, carl, call := s.connected()
	for range 2 {
		anna.ask("call.transfer", object{"call": call, "queue": "q"})
		if v := carl.until("queue.position"); v["position"] != 1.0 {
			t.Errorf("got %v", v)
		}
		anna.ask("call.transfer-cancel", object{"call": call})
		carl.until("call.transfer")
	}
}

// Who is first in line sees how many wait behind, also where nothing else changes.
func TestPlacesBehind(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	first, second := s.join("ann caller", 0), s.join("bob caller", 0)
	of := func(want float64) {
		t.Helper()
		for v := first.until("queue.position"); v["of"] != want; v = first.until("queue.position") {
			if v["position"] != 1.0 {
				t.Fatalf("got %v", v)
			}
		}
	}
	first.ask("queue.join", object{"queue": "q"})
	of(1)
	second.ask("queue.join", object{"queue": "q"})
	of(2)
	second.ask("call.hangup", object{"call": second.until("queue.position").text("call")})
	of(1)
}
