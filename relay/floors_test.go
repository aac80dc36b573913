package relay_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	sdk "duet/client"
	"duet/crypto"
	"duet/relay"
)

// callRelay is a relay over sockets with a client for each party of a call.
type callRelay struct {
	t       *testing.T
	srv     *relay.Server
	key     *crypto.StaticKey
	tokens  *crypto.TokenKeys
	changed chan struct{}
	stop    func()
}

func newCallRelay(t *testing.T, file string) *callRelay {
	t.Helper()
	key, err := crypto.NewStaticKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	r := &callRelay{t: t, key: key, tokens: crypto.NewTokenKeys(1, [32]byte{2}), changed: make(chan struct{}, 1)}
	r.srv, err = relay.New(relay.Config{Listen: "127.0.0.1:0", Key: key, Secret: [32]byte{3}, Tokens: r.tokens, FloorFile: file, OnChange: func() {
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
	<-ended // bob is told, and does not come again
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

func TestFloorFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "floors")
	good := `{"call":"c1","epoch":3,"expires":"2999-01-01T00:00:00Z"}` + "\n"
	config := func() relay.Config {
		key, err := crypto.NewStaticKey([32]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		return relay.Config{Listen: "127.0.0.1:0", Key: key, Tokens: crypto.NewTokenKeys(1, [32]byte{2}), FloorFile: file}
	}
	for text, ok := range map[string]bool{good + `{"call":"c`: true, good + "x\n" + good: false, "": true} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := relay.New(config())
		if (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if err := s.Serve(ctx); err != nil {
				t.Error(err)
			}
			continue
		}
		if !strings.Contains(err.Error(), "line 2") {
			t.Errorf("says %v", err)
		}
	}
}

// A client that is not heard any more is silent before its session is over.
func TestSilence(t *testing.T) {
	r := newCallRelay(t, "")
	cable, pull := cableTo(t, r.srv.Addr())
	u := r.url(crypto.ActionPlay, "bob", 0)
	u.Host = cable
	p, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: u})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	r.sessions("bob play")
	pull()
	r.sessions("bob play silent")
}

// cableTo forwards one client's datagrams to a relay until pull.
func cableTo(t *testing.T, relay netip.AddrPort) (addr string, pull func()) {
	t.Helper()
	near, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(relay))
	if err != nil {
		t.Fatal(err)
	}
	var who atomic.Pointer[netip.AddrPort]
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := near.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			who.Store(&from)
			_, _ = far.Write(b[:n])
		}
	}()
	go func() {
		b := make([]byte, 2048)
		for {
			n, err := far.Read(b)
			if err != nil {
				return
			}
			if to := who.Load(); to != nil {
				_, _ = near.WriteToUDPAddrPort(b[:n], *to)
			}
		}
	}()
	pull = sync.OnceFunc(func() { _, _ = near.Close(), far.Close() })
	t.Cleanup(pull)
	return near.LocalAddr().String(), pull
}
