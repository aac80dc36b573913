package client_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"duet/bench"
	"duet/bench/netem"
	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
)

// callParties is a paced stream with its reader.
type callParties struct {
	push   *client.Pusher
	play   *client.Player
	talk   talk
	stop   chan struct{}
	paced  chan error
	frames []client.Frame
	read   chan error
}

func startCall(t *testing.T, push *client.Pusher, play *client.Player) *callParties {
	c := &callParties{push: push, play: play, stop: make(chan struct{}), paced: make(chan error, 1), read: make(chan error, 1)}
	go func() { c.paced <- c.talk.pace(push, c.stop) }()
	go func() {
		var err error
		c.frames, err = readAll(context.Background(), play)
		c.read <- err
	}()
	return c
}

// end stops the pace and closes the pusher; the reader must see the stream's end.
func (c *callParties) end(t *testing.T) {
	t.Helper()
	close(c.stop)
	if err := <-c.paced; err != nil {
		t.Fatal(err)
	}
	if err := c.push.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-c.read:
		if err != io.EOF {
			t.Fatalf("read ended with %v", err)
		}
	case <-within(t, 5*time.Second).Done():
		t.Fatal("the reader saw no end")
	}
}

// ordered fails unless the frames are messages of the stream in their order, each once, and says how many are missing.
func ordered(t *testing.T, got []client.Frame, want []rtmpchunk.Message) (missing int) {
	t.Helper()
	i := 0
	for n, f := range got {
		from := i
		for i < len(want) && !same(f.Message, want[i]) {
			i++
		}
		if i == len(want) {
			t.Fatalf("frame %d is not in the stream after message %d", n, from)
		}
		missing += i - from
		i++
	}
	return missing + len(want) - i
}

// The relay goes away without a word and comes back: both go on within two seconds, with every frame.
func TestRelayRestart(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	push := h.push("live/a", "alice", pushed)
	c := startCall(t, push, play)
	played.wait(t, client.CodePlaying, 1)
	h.halt()
	pushed.wait(t, client.CodePushReconnecting, 1)
	played.wait(t, client.CodePlayReconnecting, 1)
	h.start()
	back := time.Now()
	pushed.wait(t, client.CodePushBegins, 2)
	again := played.wait(t, client.CodePlaying, 2)
	if took := again.Time.Sub(back); took > 2*time.Second {
		t.Errorf("playback went on %v after the relay's return%s", took, played)
	}
	c.end(t)
	// A player that is back much later than the pusher, as on a busy machine, begins at a key frame that came meanwhile.
	if missing := ordered(t, c.frames, c.talk.sent); missing > 0 && again.Time.Sub(back) < 500*time.Millisecond {
		t.Errorf("%d of %d messages are missing; pusher %+v%s%s", missing, len(c.talk.sent), push.Stats(), pushed, played)
	}
	if n := push.Stats().Reconnects + play.Stats().Reconnects; n != 2 {
		t.Errorf("%d reconnects", n)
	}
}

// The relay is killed: nobody is told, and what comes back knows no session.
func TestRelayKilled(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	proxy, err := bench.StartProxy(t.Context(), bench.ProxyConfig{Target: h.host})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	direct := h.host
	h.host = proxy.Addr().String()
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	push := h.push("live/a", "alice", pushed)
	c := startCall(t, push, play)
	played.wait(t, client.CodePlaying, 1)
	proxy.Blackhole(true, true)
	h.halt() // its goodbye is lost
	h.host = direct
	h.start()
	proxy.Blackhole(false, false)
	back := time.Now()
	again := played.wait(t, client.CodePlaying, 2)
	if took := again.Time.Sub(back); took > 2*time.Second {
		t.Errorf("playback went on %v after the relay's return%s", took, played)
	}
	c.end(t)
	if missing := ordered(t, c.frames, c.talk.sent); missing > 0 {
		t.Errorf("%d of %d messages are missing; pusher %+v%s%s", missing, len(c.talk.sent), push.Stats(), pushed, played)
	}
}

// The network is gone for longer than the silence that is put up with, and comes back: the sessions go on.
func TestOutage(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	proxy, err := bench.StartProxy(t.Context(), bench.ProxyConfig{Target: h.host})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	h.host = proxy.Addr().String()
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	push := h.push("live/a", "alice", pushed)
	c := startCall(t, push, play)
	played.wait(t, client.CodePlaying, 1)
	proxy.Blackhole(true, true)
	pushed.wait(t, client.CodePushReconnecting, 1)
	played.wait(t, client.CodePlayReconnecting, 1)
	proxy.Blackhole(false, false)
	pushed.wait(t, client.CodePushConnected, 2)
	played.wait(t, client.CodePlayConnected, 2)
	played.wait(t, client.CodePlaying, 2)
	c.end(t)
	ordered(t, c.frames, c.talk.sent)
}

// Other ports, at both ends, without a new session.
func TestRebind(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	push := h.push("live/a", "alice", pushed)
	c := startCall(t, push, play)
	played.wait(t, client.CodePlaying, 1)
	for range 3 {
		if err := push.Rebind(); err != nil {
			t.Fatal(err)
		}
		if err := play.Rebind(); err != nil {
			t.Fatal(err)
		}
		n := play.Stats().VideoFrames + 10
		for deadline := within(t, 5*time.Second); play.Stats().VideoFrames < n; {
			if deadline.Err() != nil {
				t.Fatalf("nothing more comes%s%s", pushed, played)
			}
		}
	}
	c.end(t)
	identical(t, c.frames, c.talk.sent)
	if push.Stats().Reconnects+play.Stats().Reconnects != 0 {
		t.Errorf("new sessions%s%s", pushed, played)
	}
}

// Five percent of everything is lost on both hops, both ways, at a round trip of 50 ms each, for ten seconds: every frame arrives.
func TestLossy(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	link := netem.Config{Delay: 25 * time.Millisecond, Loss: 0.05, Seed: 5}
	proxy, err := bench.StartProxy(t.Context(), bench.ProxyConfig{Target: h.host, Up: link, Down: link})
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	h.host = proxy.Addr().String()
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	push := h.push("live/a", "alice", pushed)
	c := startCall(t, push, play)
	played.find(t, "netstatus", 5, isNetStatus)
	played.find(t, "netstatus", 10, isNetStatus)
	c.end(t)
	identical(t, c.frames, c.talk.sent)
	if s := push.Stats(); s.Retransmits+s.RepairsSent == 0 {
		t.Errorf("nothing was repaired: %+v", s)
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	short := 1500 * time.Millisecond
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played, func(c *client.PlayerConfig) { c.Reconnect = short })
	push, err := client.DialPusher(t.Context(), client.PusherConfig{URL: h.url(crypto.ActionPush, "live/a", "alice"), OnEvent: pushed.add, Reconnect: short})
	if err != nil {
		t.Fatal(err)
	}
	h.halt()
	var ce *client.CodeError
	if _, err := play.Read(within(t, 5*time.Second)); !errors.As(err, &ce) || ce.Code != client.CodePlayGaveUp {
		t.Errorf("player: %v", err)
	}
	select {
	case <-push.Done():
	case <-within(t, 5*time.Second).Done():
		t.Fatal("the pusher does not give up")
	}
	if err := push.Err(); !errors.As(err, &ce) || ce.Code != client.CodePushGaveUp {
		t.Errorf("pusher: %v", err)
	}
	if err := push.Close(t.Context()); !errors.As(err, &ce) {
		t.Errorf("Close: %v", err)
	}
	pushed.wait(t, client.CodePushGaveUp, 1)
	played.wait(t, client.CodePlayGaveUp, 1)
}

// Close ends with its context, also while the network is away.
func TestCloseCancelled(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	ev := newEvents()
	push := h.push("live/a", "alice", ev)
	h.halt()
	ev.wait(t, client.CodePushReconnecting, 1)
	var k talk
	k.push(t, push, 5)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := push.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if err := push.Write(k.next()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
}

// A writer that is held up is let go by Close.
func TestWriteBlocked(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	ev := newEvents()
	push := h.push("live/a", "alice", ev)
	h.halt()
	ev.wait(t, client.CodePushReconnecting, 1)
	wrote := make(chan error, 1)
	go func() {
		big := rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: make([]byte, 1<<20)}
		for {
			if err := push.Write(big); err != nil {
				wrote <- err
				return
			}
		}
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_ = push.Close(ctx)
	if err := <-wrote; !errors.Is(err, client.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
}

func TestKeyFrameRequest(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	asked := make(chan struct{}, 8)
	push, err := client.DialPusher(t.Context(), client.PusherConfig{
		URL: h.url(crypto.ActionPush, "live/a", "alice"), OnKeyFrame: func() { asked <- struct{}{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer push.Close(t.Context())
	ev := newEvents()
	play := h.play("live/a", ev)
	play.RequestKeyFrame()
	select {
	case <-asked:
	case <-within(t, 5*time.Second).Done():
		t.Errorf("the request did not come%s", ev)
	}
}
