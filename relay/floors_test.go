package relay_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "duet/client"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// callRelay is a relay over sockets with a client for each party of a call.
type callRelay struct {
	t       *testing.T
	srv     *relay.Server
	key     *crypto.StaticKey
	tokens  *crypto.TokenKeys
	changed chan struct{}
	stop    func()

	last [2]atomic.Int64 // when the last datagram of a session went in and out, in ns
}

func newCallRelay(t *testing.T, file string) *callRelay {
	t.Helper()
	key, err := crypto.NewStaticKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	r := &callRelay{t: t, key: key, tokens: crypto.NewTokenKeys(1, [32]byte{2}), changed: make(chan struct{}, 1)}
	r.srv, err = relay.New(relay.Config{Listen: "127.0.0.1:0", Key: key, Secret: [32]byte{3}, Tokens: r.tokens, FloorFile: file, Tap: r.tap, OnChange: func() {
		select {
		case r.changed <- struct{}{}:
		default:
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.srv.Serve(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(r.stop)
	return r
}

func (r *callRelay) tap(in bool, b []byte) {
	if wire.KindOf(b) != wire.KindData {
		return
	}
	way := 0
	if in {
		way = 1
	}
	r.last[way].Store(time.Now().UnixNano())
}

func (r *callRelay) url(action crypto.Action, party string, epoch uint64) crypto.URL {
	r.t.Helper()
	token, err := r.tokens.Mint(crypto.Token{Action: action, Stream: "live/c1.1", Call: "c1", Party: party, Epoch: epoch, Expiry: time.Now().Add(time.Hour)})
	if err != nil {
		r.t.Fatal(err)
	}
	return crypto.URL{Host: r.srv.Addr().String(), Stream: "live/c1.1", Key: r.key.Public(), Token: token}
}

// sessions waits until the list is as wanted: "alice push, bob play", in any order.
func (r *callRelay) sessions(want ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 5*time.Second)
	defer cancel()
	for {
		list, err := r.srv.Sessions(ctx)
		if err != nil {
			r.t.Fatalf("waiting for %v: %v", want, err)
		}
		have := make(map[string]bool)
		for _, s := range list {
			what := " play"
			if s.Push {
				what = " push"
			}
			if s.Silent {
				what += " silent"
			}
			have[s.Party+what] = true
		}
		ok := len(have) == len(want)
		for _, w := range want {
			ok = ok && have[w]
		}
		if ok {
			return
		}
		select {
		case <-r.changed:
		case <-ctx.Done():
			r.t.Fatalf("sessions %v, want %v", have, want)
		}
	}
}

func TestFloors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "floors")
	r := newCallRelay(t, file)
	ended := make(chan sdk.Event, 100)
	note := func(e sdk.Event) {
		if e.Code == sdk.CodeClosed {
			ended <- e
		}
	}
	alice, err := sdk.DialPusher(t.Context(), sdk.PusherConfig{URL: r.url(crypto.ActionPush, "alice", 0), OnEvent: note})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: r.url(crypto.ActionPlay, "bob", 0), OnEvent: note})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = bob.Close() }()
	r.sessions("alice push", "bob play")

	floor := relay.Floor{Call: "c1", Epoch: 1, Members: []string{"alice"}, Expires: time.Now().Add(time.Hour)}
	began := time.Now()
	if err := r.srv.Apply(t.Context(), floor); err != nil {
		t.Fatal(err)
	}
	r.sessions("alice push")
	select {
	case <-ended: // bob is told, and does not come again
	case <-time.After(5 * time.Second):
		t.Fatal("bob is not told")
	}
	if took := time.Since(began); took > 200*time.Millisecond {
		t.Errorf("bob was there for %v", took)
	}
	var refused *sdk.CodeError
	if _, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: r.url(crypto.ActionPlay, "bob", 0)}); !errors.As(err, &refused) || refused.Code != sdk.CodeClosed {
		t.Errorf("an old token: %v", err)
	}
	for _, u := range []crypto.URL{r.url(crypto.ActionPlay, "alice", 0), r.url(crypto.ActionPlay, "carl", 1)} {
		p, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: u})
		if err != nil {
			t.Errorf("a token that is good: %v", err)
			continue
		}
		_ = p.Close()
	}
	if err := r.srv.Apply(t.Context(), relay.Floor{Call: "c1", Epoch: 0, Expires: floor.Expires}); err != nil { // came late
		t.Fatal(err)
	}
	r.sessions("alice push")
	_ = alice.Close(t.Context())
	r.stop()

	r = newCallRelay(t, file)
	if _, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: r.url(crypto.ActionPlay, "bob", 0)}); !errors.As(err, &refused) || refused.Code != sdk.CodeClosed {
		t.Errorf("an old token after a restart: %v", err)
	}
	if err := r.srv.Apply(t.Context(), relay.Floor{Call: "c1", Epoch: 2, Expires: floor.Expires}); err != nil {
		t.Fatal(err)
	}
	if _, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: r.url(crypto.ActionPlay, "alice", 1)}); !errors.As(err, &refused) {
		t.Errorf("a token of a call that is over: %v", err)
	}
}

// Nothing is taken from a revoked pusher or sent to a revoked player any more within 200 ms, though the one goes on pushing.
func TestFloorsAreQuick(t *testing.T) {
	r := newCallRelay(t, filepath.Join(t.TempDir(), "floors"))
	alice, err := sdk.DialPusher(t.Context(), sdk.PusherConfig{URL: r.url(crypto.ActionPush, "alice", 0)})
	if err != nil {
		t.Fatal(err)
	}
	bob, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: r.url(crypto.ActionPlay, "bob", 0)})
	if err != nil {
		t.Fatal(err)
	}
	r.sessions("alice push", "bob play")
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		for n := 0; ; n++ {
			if _, err := bob.Read(t.Context()); err != nil {
				return
			}
			if n == 10 {
				watched <- struct{}{}
			}
		}
	}()
	pushed := make(chan struct{})
	go func() {
		defer close(pushed)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			<-tick.C
			if err := alice.Write(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32(5 * n), Payload: []byte{0xaf, 1, 2, 3}}); err != nil {
				return
			}
		}
	}()
	<-watched

	began := time.Now()
	if err := r.srv.Apply(t.Context(), relay.Floor{Call: "c1", Epoch: 1, Expires: began.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	applied := time.Since(began)
	if list, err := r.srv.Sessions(t.Context()); err != nil || len(list) != 0 {
		t.Errorf("after Apply there are %v (%v)", list, err)
	}
	limit := time.After(5 * time.Second)
	for _, over := range []<-chan struct{}{pushed, watched, alice.Done(), bob.Done()} {
		select {
		case <-over:
		case <-limit:
			t.Fatal("somebody still pushes or plays")
		}
	}
	st, err := r.srv.Stats(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.stop()
	for way, name := range []string{"sent to", "taken from"} {
		if last := time.Unix(0, r.last[way].Load()).Sub(began); last > 200*time.Millisecond {
			t.Errorf("the last datagram was %s them %v after Apply was called", name, last)
		} else {
			t.Logf("Apply took %v; the last datagram was %s them after %v", applied, name, last)
		}
	}
	if st.Revoked != 2 || st.Floors != 1 {
		t.Errorf("%d revoked and %d floors, want 2 and 1", st.Revoked, st.Floors)
	}
}

// Floors hold for publications and subscriptions, and end them whatever is still to be read.
func TestFloorsOfGateways(t *testing.T) {
	r := newCallRelay(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	token := func(stream, party string, epoch uint64) crypto.Token {
		return crypto.Token{Stream: "live/" + stream, Call: "c1", Party: party, Epoch: epoch}
	}
	var pubs []*relay.Publication
	var subs []*relay.Subscription
	for _, party := range []string{"alice", "bob"} {
		p, err := r.srv.Publish(ctx, token(party, party, 0))
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.srv.Subscribe(ctx, token("alice", party, 0))
		if err != nil {
			t.Fatal(err)
		}
		pubs, subs = append(pubs, p), append(subs, s)
	}
	other, err := r.srv.Subscribe(ctx, crypto.Token{Stream: "live/alice", Party: "bob"}) // of no call
	if err != nil {
		t.Fatal(err)
	}
	r.sessions("alice push", "alice play", "bob push", "bob play")
	for ts := range uint32(10) {
		if err := pubs[0].Write(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: []byte{0xaf, 1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := subs[1].Read(ctx); err != nil { // the rest is queued
		t.Fatal(err)
	}
	if err := r.srv.Apply(ctx, relay.Floor{Call: "c1", Epoch: 1, Members: []string{"alice"}, Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	r.sessions("alice push", "alice play")
	select {
	case <-pubs[1].Done():
	case <-ctx.Done():
		t.Fatal("bob's publication goes on")
	}
	if err := pubs[1].Err(); !errors.Is(err, relay.ErrRevoked) {
		t.Errorf("bob's publication ended with %v", err)
	}
	if _, err := subs[1].Read(ctx); !errors.Is(err, relay.ErrRevoked) {
		t.Errorf("bob reads: %v", err)
	}
	for _, s := range []*relay.Subscription{subs[0], other} {
		for ts := range uint32(10) {
			if m, err := s.Read(ctx); err != nil || m.Timestamp != ts {
				t.Fatalf("somebody else reads %d (%v), want %d", m.Timestamp, err, ts)
			}
		}
	}
	if _, err := r.srv.Publish(ctx, token("bob", "bob", 0)); !errors.Is(err, relay.ErrRevoked) {
		t.Errorf("bob publishes again: %v", err)
	}
	if _, err := r.srv.Subscribe(ctx, token("alice", "bob", 0)); !errors.Is(err, relay.ErrRevoked) {
		t.Errorf("bob subscribes again: %v", err)
	}
	again, err := r.srv.Publish(ctx, token("bob", "bob", 1)) // invited anew; and the stream is free
	if err != nil {
		t.Fatal(err)
	}
	r.sessions("alice push", "alice play", "bob push")
	for _, c := range []interface{ Close() error }{pubs[0], again, subs[0], subs[1], other} {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	r.sessions()
}

// What is queued for a reader at the end of a stream is not read any more once the token is taken back.
func TestFloorAfterTheEnd(t *testing.T) {
	r := newCallRelay(t, "")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	bob := crypto.Token{Stream: "live/a", Call: "c1", Party: "bob"}
	sub, err := r.srv.Subscribe(ctx, bob)
	if err != nil {
		t.Fatal(err)
	}
	pub, err := r.srv.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	for ts := range uint32(10) {
		if err := pub.Write(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: []byte{0xaf, 1, 2, 3}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	r.sessions() // the end has come to bob's place
	if err := r.srv.Apply(ctx, relay.Floor{Call: "c1", Epoch: 1, Expires: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if _, err := sub.Read(ctx); !errors.Is(err, relay.ErrRevoked) {
		t.Errorf("bob reads: %v", err)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
}

// A relay whose file of floors is damaged does not start.
func TestDamagedFloors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "floors")
	if err := os.WriteFile(file, []byte("x\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	key, err := crypto.NewStaticKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	_, err = relay.New(relay.Config{Listen: "127.0.0.1:0", Key: key, Tokens: crypto.NewTokenKeys(1, [32]byte{2}), FloorFile: file})
	if !errors.Is(err, relay.ErrFloorFile) {
		t.Errorf("New: %v", err)
	}
}
