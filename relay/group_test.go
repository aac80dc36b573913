package relay_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"reflect"
	"sync"
	"testing"
	"time"

	sdk "duet/client"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// loops are those of one relay, driven by one goroutine. What comes goes to any of them, as by a system that knows nothing of sessions, and the mail of each is
// looked at late.
type loops struct {
	list []*relay.Loop
	mail []bool
	rand *rand.Rand
}

func newLoops(n int, now time.Time, cfg relay.Config) *loops {
	g := &loops{mail: make([]bool, n), rand: rand.New(rand.NewPCG(1, uint64(n)))}
	wakes := make([]func(), n)
	for i := range wakes {
		wakes[i] = func() { g.mail[i] = true }
	}
	g.list = relay.NewLoops(now, cfg, transporttest.Reader(7), wakes)
	return g
}

func (g *loops) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	if g.rand.IntN(4) == 0 {
		g.HandleTimeout(now)
	}
	g.list[g.rand.IntN(len(g.list))].HandleDatagram(now, from, b)
}

func (g *loops) HandleTimeout(now time.Time) {
	for i, l := range g.list {
		g.mail[i] = false
		l.RunMail(now)
		l.HandleTimeout(now)
	}
}

func (g *loops) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	for _, l := range g.list {
		if t, ok := l.Poll(now, buf); ok {
			return t, true
		}
	}
	return transport.Transmit{}, false
}

// Deadline is at once where there is mail: the network comes to it after what is due at the same time.
func (g *loops) Deadline() time.Time {
	var first time.Time
	for i, l := range g.list {
		at := l.Deadline()
		if g.mail[i] {
			at = transporttest.Start
		}
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

func (g *loops) stats() relay.Stats {
	sum := g.list[0].Snapshot()
	for _, l := range g.list[1:] {
		sum = relay.Sum(sum, l.Snapshot())
	}
	return sum
}

// Streams are spread over loops, and it does not matter which of them a datagram comes to: every message arrives, limits and floors hold for all.
func TestLoops(t *testing.T) {
	const streams = 12
	c := &call{t: t, net: transporttest.NewNetwork(), keys: crypto.NewTokenKeys(1, [32]byte{7}), seed: 3}
	g := newLoops(3, c.net.Now(), relay.Config{Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: c.keys, MaxSessions: 2 * streams, MaxStreams: streams})
	c.net.Add(relayAddr, g, nil)
	var pushers []*pusher
	var players []*play
	homes := make(map[int]int)
	for i := range streams {
		stream := fmt.Sprintf("live/%d", i)
		homes[g.list[0].Home(stream)]++
		push := c.pusher(fmt.Sprintf("192.0.2.10:%d", 1000+i), stream, "alice", 0, 0, uint32(100+i))
		c.join(&push.party, near, near)
		play := c.player(fmt.Sprintf("192.0.2.20:%d", 2000+i), stream, 0, 0, time.Second)
		c.join(&play.party, near, near)
		pushers, players = append(pushers, push), append(players, play)
	}
	if len(homes) != 3 {
		t.Fatalf("the streams' homes are %v", homes)
	}
	c.net.Run(time.Second)
	late := c.player("192.0.2.30:3000", "live/0", 0, 0, time.Second)
	c.join(&late.party, near, near)
	for range 3 {
		for _, p := range pushers {
			p.talk(1)
		}
		for i, p := range players {
			to := netip.AddrPortFrom(p.addr.Addr(), p.addr.Port()+100)
			c.net.Move(p.addr, to)
			players[i].addr = to
		}
	}
	if late.closed == nil || late.closed.Code != wire.CloseLimit {
		t.Errorf("one session too many: %+v", late.closed)
	}
	for _, p := range pushers {
		p.end()
	}
	c.net.Run(2 * time.Second)
	for i, p := range players {
		if len(pushers[i].sent) == 0 {
			t.Fatal("nothing was sent")
		}
		p.same(t, pushers[i].sent)
	}
	s := g.stats()
	if s.Loops != 3 || s.Sessions != 2*streams || s.Streams != streams || s.Players != streams || s.Unknown != 0 || s.HandoverDrops != 0 {
		t.Errorf("%d loops, %d sessions, %d streams, %d players, %d unknown, %d dropped between loops",
			s.Loops, s.Sessions, s.Streams, s.Players, s.Unknown, s.HandoverDrops)
	}
	if s.HandedOver < s.DatagramsIn/2 {
		t.Errorf("%d of %d datagrams were handed over, of which two in three came to a loop that they were not for", s.HandedOver, s.DatagramsIn)
	}
	for _, p := range pushers {
		p.conn.Close(p.local(c.net.Now()), wire.CloseOK, "")
		c.net.Kick(p.addr)
	}
	for _, p := range players {
		p.conn.Close(p.local(c.net.Now()), wire.CloseOK, "")
		c.net.Kick(p.addr)
	}
	c.net.Run(2 * time.Minute)
	if s := g.stats(); s.Sessions != 0 || s.Streams != 0 || s.PacketsLive != 0 {
		t.Errorf("%d sessions, %d streams and %d packets are left", s.Sessions, s.Streams, s.PacketsLive)
	}
}

// Clients change their ports again and again while media flows, under two loops: no session ends and nothing is lost, whether or not the system looks at what the
// datagrams say.
func TestLoopsRebinding(t *testing.T) {
	for name, change := range map[string]func(*relay.Config){"steered": func(*relay.Config) {}, "unsteered": relay.Unsteered} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys := crypto.NewTokenKeys(1, [32]byte{7})
			srv, stop := runServer(t, func(c *relay.Config) {
				c.Loops, c.Tokens = 2, keys
				change(c)
			})
			const calls = 5
			var wg sync.WaitGroup
			for i := range calls {
				wg.Go(func() { rebindingCall(t, srv, keys, fmt.Sprintf("live/%d", i)) })
			}
			wg.Wait()
			s, err := srv.Stats(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s.Loops == 2 && name == "unsteered" == (s.HandedOver == 0) {
				t.Errorf("%d of %d datagrams were handed over", s.HandedOver, s.DatagramsIn)
			}
			if s.Handshakes.Accepted != 2*calls || s.Migrations < 4*calls {
				t.Errorf("%d handshakes and %d migrations, want %d and %d at the least", s.Handshakes.Accepted, s.Migrations, 2*calls, 4*calls)
			}
			stop()
		})
	}
}

// rebindingCall pushes and plays a stream of 300 frames, a rebinding at each end after every sixty.
func rebindingCall(t *testing.T, srv *relay.Server, keys *crypto.TokenKeys, stream string) {
	const frames, every = 300, 60
	url := func(a crypto.Action) crypto.URL {
		token, err := keys.Mint(crypto.Token{Action: a, Stream: stream, Party: "alice", KeyID: 1, Expiry: time.Now().Add(time.Hour)})
		if err != nil {
			t.Error(err)
		}
		return crypto.URL{Host: srv.Addr().String(), Stream: stream, Key: transporttest.ServerKey().Public(), Token: token}
	}
	push, err := sdk.DialPusher(t.Context(), sdk.PusherConfig{URL: url(crypto.ActionPush)})
	if err != nil {
		t.Error(err)
		return
	}
	play, err := sdk.DialPlayer(t.Context(), sdk.PlayerConfig{URL: url(crypto.ActionPlay), MaxDelay: 10 * time.Second})
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = play.Close() }()
	written := make(chan struct{})
	go func() {
		defer close(written)
		tick := time.NewTicker(4 * time.Millisecond)
		defer tick.Stop()
		for n := range frames {
			<-tick.C
			if err := push.Write(videoFrame(n, 2000, n%30 == 0, uint32(4*n))); err != nil {
				t.Error(err)
				return
			}
			if n%every == every-1 {
				if err := errors.Join(push.Rebind(), play.Rebind()); err != nil {
					t.Error(err)
				}
			}
		}
		if err := push.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	got := 0
	for ; ; got++ {
		f, err := play.Read(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("%s after %d frames: %v", stream, got, err)
			break
		}
		if f.Message.Type != rtmpchunk.TypeVideo || int(f.Message.Timestamp) != 4*got {
			t.Errorf("%s: frame %d has the time %d", stream, got, f.Message.Timestamp)
			break
		}
	}
	<-written
	if got != frames {
		t.Errorf("%s: %d of %d frames arrived", stream, got, frames)
	}
}

// No counter is forgotten when loops are summed up.
func TestSum(t *testing.T) {
	var one relay.Stats
	set(reflect.ValueOf(&one).Elem())
	sum := relay.Sum(one, one)
	twice(t, "Stats", reflect.ValueOf(one), reflect.ValueOf(sum))
}

func set(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			set(v.Field(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			set(v.Index(i))
		}
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	default:
		v.SetUint(1)
	}
}

func twice(t *testing.T, name string, one, sum reflect.Value) {
	switch one.Kind() {
	case reflect.Struct:
		for i := range one.NumField() {
			twice(t, name+"."+one.Type().Field(i).Name, one.Field(i), sum.Field(i))
		}
	case reflect.Array:
		for i := range one.Len() {
			twice(t, fmt.Sprintf("%s[%d]", name, i), one.Index(i), sum.Index(i))
		}
	case reflect.Bool:
	case reflect.Int, reflect.Int64:
		if common := name == "Stats.Floors"; !common && sum.Int() != 2 || common && sum.Int() != 1 {
			t.Errorf("%s is %d", name, sum.Int())
		}
	default:
		if common := name == "Stats.FloorsRefused"; !common && sum.Uint() != 2 || common && sum.Uint() != 1 {
			t.Errorf("%s is %d", name, sum.Uint())
		}
	}
}
