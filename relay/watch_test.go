package relay_test

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/crypto"
	"duet/relay"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// watchedCall is a relay in virtual time whose changes are noted.
type watchedCall struct {
	*call
	changes []time.Time
	cut     netip.AddrPort // nothing passes from there or to there
}

func newWatchedCall(t *testing.T, change func(*relay.Config)) *watchedCall {
	w := &watchedCall{call: &call{t: t, net: transporttest.NewNetwork(), keys: crypto.NewTokenKeys(1, [32]byte{7}), seed: 5}}
	cfg := relay.Config{Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: w.keys, OnChange: func() { w.changes = append(w.changes, w.net.Now()) }}
	if change != nil {
		change(&cfg)
	}
	w.loop = relay.NewLoop(w.net.Now(), cfg, transporttest.Reader(5), func() {})
	w.net.Add(relayAddr, w.loop, nil)
	w.net.Tap = func(from, to netip.AddrPort, b []byte) [][]byte {
		if from == w.cut || to == w.cut {
			return nil
		}
		return [][]byte{b}
	}
	return w
}

// client joins a party of call c1; an empty name is one of no call.
func (w *watchedCall) client(role wire.Role, addr, stream, name string, hop netem.Config) *party {
	w.t.Helper()
	tok := crypto.Token{Action: crypto.ActionPlay, Stream: stream, Party: name, Expiry: transporttest.Start.Add(time.Hour)}
	if role == wire.RolePush {
		tok.Action = crypto.ActionPush
	}
	if name != "" {
		tok.Call = "c1"
	}
	text, err := w.keys.Mint(tok)
	if err != nil {
		w.t.Fatal(err)
	}
	p := w.party(role, addr, stream, text, 0, 0, time.Second)
	p.out = func(time.Time) {
		for e, ok := p.conn.PollEvent(); ok; e, ok = p.conn.PollEvent() {
			if e.Kind == transport.EventClosed {
				p.closed = &e
			}
		}
	}
	w.join(p, hop, hop)
	return p
}

// A client that says nothing is still heard at least once a second; one whose network is lost is silent after SilentAfter, which is told,
// and is heard again.
func TestSessionsAndSilence(t *testing.T) {
	w := newWatchedCall(t, nil)
	hop := lossy(30*time.Millisecond, 0.1, 9)
	w.client(wire.RolePlay, "192.0.2.20:2000", "live/idle", "bob", hop) // nobody pushes the stream
	w.client(wire.RolePush, "192.0.2.10:1000", "live/mute", "alice", hop)
	w.client(wire.RolePlay, "192.0.2.30:3000", "live/idle", "", near)
	w.net.Run(time.Second)
	list := w.loop.Sessions(w.net.Now())
	if len(list) != 2 || list[0].ID == list[1].ID {
		t.Fatalf("sessions %+v, want the two of the call", list)
	}
	for _, s := range list {
		want := relay.SessionInfo{ID: s.ID, Stream: "live/idle", Call: "c1", Party: "bob", Since: s.Since, Heard: s.Heard}
		if s.Push {
			want.Stream, want.Party, want.Push = "live/mute", "alice", true
		}
		if s != want || s.Since.Before(transporttest.Start) || s.Since.After(w.net.Now()) {
			t.Errorf("session %+v, want %+v", s, want)
		}
	}
	told := len(w.changes)
	var longest time.Duration
	for range 6000 {
		w.net.Run(10 * time.Millisecond)
		for _, s := range w.loop.Sessions(w.net.Now()) {
			longest = max(longest, w.net.Now().Sub(s.Heard))
		}
	}
	t.Logf("at a loss of 10 %% an idle client was not heard for %v at the most, in a minute", longest)
	if longest > relay.SilentAfter*2/3 || len(w.changes) != told {
		t.Errorf("an idle client was not heard for %v; told %d times of a change", longest, len(w.changes)-told)
	}

	w.cut = netip.MustParseAddrPort("192.0.2.20:2000")
	cut := w.net.Now()
	w.net.Run(3 * time.Second)
	if len(w.changes) != told+1 || w.changes[told].Sub(cut) > relay.SilentAfter+300*time.Millisecond || w.changes[told].Sub(cut) < relay.SilentAfter-time.Second/2 {
		t.Fatalf("cut at %v, told at %v", cut, w.changes[told:])
	}
	for _, s := range w.loop.Sessions(w.net.Now()) {
		if s.Silent != (s.Party == "bob") {
			t.Errorf("%s: silent %v", s.Party, s.Silent)
		}
	}
	w.cut = netip.AddrPort{}
	w.net.Run(time.Second)
	for _, s := range w.loop.Sessions(w.net.Now()) {
		if s.Silent {
			t.Errorf("%s is silent though heard again", s.Party)
		}
	}
	if len(w.changes) != told+2 {
		t.Errorf("told at %v", w.changes[told:])
	}
}

// Many changes at a time are told once, and the last one is not forgotten.
func TestSessionsChangeTogether(t *testing.T) {
	w := newWatchedCall(t, nil)
	var all []*party
	for i := range 30 {
		hop := netem.Config{Delay: 5*time.Millisecond + time.Duration(i)*300*time.Microsecond}
		all = append(all, w.client(wire.RolePlay, fmt.Sprintf("192.0.2.20:%d", 2000+i), "live/a", fmt.Sprint(i), hop))
	}
	w.net.Run(time.Second)
	if n := len(w.loop.Sessions(w.net.Now())); n != 30 {
		t.Fatalf("%d sessions", n)
	}
	for _, p := range all {
		p.conn.Close(w.net.Now(), wire.CloseOK, "")
		w.net.Kick(p.addr)
	}
	left := w.net.RunUntil(time.Second, func() bool { return len(w.loop.Sessions(w.net.Now())) == 0 })
	gone := w.net.Now()
	w.net.Run(time.Second)
	if !left || w.changes[len(w.changes)-1].Before(gone) {
		t.Errorf("the last left at %v, told at %v", gone, w.changes)
	}
	for i := range w.changes[1:] {
		if d := w.changes[i+1].Sub(w.changes[i]); d < 5*time.Millisecond {
			t.Errorf("told again after %v", d)
		}
	}
	if len(w.changes) > 20 {
		t.Errorf("told %d times", len(w.changes))
	}
}

// A revoked pusher that can't be reached gives its stream free at once, and what it still sends is not taken.
func TestFloorFreesTheStream(t *testing.T) {
	w := newWatchedCall(t, nil)
	old := w.client(wire.RolePush, "192.0.2.10:1000", "live/a", "alice", near)
	half := w.client(wire.RolePlay, "192.0.2.40:4000", "live/a", "bob", netem.Config{Delay: 300 * time.Millisecond})
	w.net.Run(500 * time.Millisecond) // bob has an INIT at the relay and not yet an ACCEPT
	w.cut = old.addr
	if err := w.loop.Apply(w.net.Now(), relay.Floor{Call: "c1", Epoch: 1, Members: []string{"carl"}, Expires: transporttest.Start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	w.net.Kick(relayAddr)
	if list := w.loop.Sessions(w.net.Now()); len(list) != 0 {
		t.Fatalf("after Apply: %+v", list)
	}
	w.client(wire.RolePush, "192.0.2.30:3000", "live/a", "carl", near) // an older token, of a member
	w.net.Run(200 * time.Millisecond)
	if list := w.loop.Sessions(w.net.Now()); len(list) != 1 || list[0].Party != "carl" {
		t.Errorf("carl does not push: %+v", list)
	}
	w.cut = netip.AddrPort{}
	w.net.Run(2 * time.Second)
	if half.closed == nil {
		t.Error("bob, who was not confirmed yet, came in or was told nothing")
	}
	if list := w.loop.Sessions(w.net.Now()); len(list) != 1 || list[0].Party != "carl" {
		t.Errorf("in the end there are %+v", list)
	}
	if s := w.loop.Snapshot(); s.Revoked != 2 || s.Sessions != 1 {
		t.Errorf("%d revoked, %d sessions; want 2 and 1", s.Revoked, s.Sessions)
	}
}

// Floors only rise; those that have run out make room for others.
func TestFloorRules(t *testing.T) {
	w := newWatchedCall(t, func(c *relay.Config) { c.MaxFloors = 2 })
	apply := func(call string, epoch uint64, life time.Duration, members ...string) error {
		return w.loop.Apply(w.net.Now(), relay.Floor{Call: call, Epoch: epoch, Members: members, Expires: w.net.Now().Add(life)})
	}
	// comes reports whether a party of call c1, with a token of epoch 0, is let in.
	n := 0
	comes := func(name string) bool {
		n++
		p := w.client(wire.RolePlay, fmt.Sprintf("192.0.2.50:%d", 1000+n), "live/a", name, near)
		w.net.Run(100 * time.Millisecond)
		in := p.closed == nil
		if !in && p.closed.Code != wire.CloseRevoked {
			t.Errorf("%s is refused with %v", name, p.closed.Code)
		}
		p.conn.Close(w.net.Now(), wire.CloseOK, "")
		w.net.Kick(p.addr)
		w.net.Run(100 * time.Millisecond)
		return in
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(apply("c1", 2, time.Hour, "alice"))
	if !comes("alice") || comes("bob") {
		t.Error("floor 2 with alice")
	}
	must(apply("c1", 1, time.Hour, "bob")) // lower: came late
	if !comes("alice") || comes("bob") {
		t.Error("a lower floor changed something")
	}
	must(apply("c1", 2, time.Minute, "bob")) // the same: the later statement counts, but the older tokens live on
	if comes("alice") || !comes("bob") {
		t.Error("floor 2 with bob")
	}
	w.net.Run(2 * time.Minute)
	if comes("alice") {
		t.Error("a shorter life took the floor away from tokens that are still valid")
	}
	must(apply("c2", 1, time.Minute))
	if err := apply("c3", 1, time.Minute); !errors.Is(err, relay.ErrFloors) {
		t.Errorf("a third floor: %v", err)
	}
	must(apply("c1", 3, time.Minute, "bob")) // one that is there can still be raised
	must(apply("c4", 3, -time.Second))       // run out: ends sessions, and is not kept
	w.net.Run(2 * time.Minute)
	must(apply("c3", 1, time.Minute))
	if s := w.loop.Snapshot(); s.Floors != 2 || s.FloorsRefused != 1 {
		t.Errorf("%d floors, %d refused; want 2 and 1", s.Floors, s.FloorsRefused)
	}
	for _, f := range []relay.Floor{{}, {Call: strings.Repeat("x", 256)}, {Call: "a\xff"}, {Call: "c5", Members: make([]string, 65)}} {
		if err := w.loop.Apply(w.net.Now(), f); !errors.Is(err, relay.ErrFloor) {
			t.Errorf("%+v: %v", f, err)
		}
	}
}
