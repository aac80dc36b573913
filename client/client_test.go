package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"duet/client"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
)

// relayHost is a relay on loopback that can be stopped and started again on its port, with the same key and secrets.
type relayHost struct {
	t    testing.TB
	cfg  relay.Config
	keys *crypto.TokenKeys
	stop context.CancelFunc
	done chan error
	host string
}

func newRelay(t testing.TB) *relayHost {
	t.Helper()
	key, err := crypto.NewStaticKey([32]byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	h := &relayHost{t: t, keys: crypto.NewTokenKeys(1, [32]byte{7})}
	h.cfg = relay.Config{Listen: "127.0.0.1:0", Key: key, Secret: [32]byte{9}, Tokens: h.keys}
	h.start()
	h.cfg.Listen = h.host
	t.Cleanup(h.halt)
	return h
}

func (h *relayHost) start() {
	h.t.Helper()
	s, err := relay.New(h.cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.host = s.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	h.stop, h.done = cancel, make(chan error, 1)
	done := h.done
	go func() { done <- s.Serve(ctx) }()
	if _, err := s.Stats(ctx); err != nil { // all its goroutines are there then
		h.t.Fatal(err)
	}
}

// halt ends the relay; it tells its clients.
func (h *relayHost) halt() {
	if h.stop == nil {
		return
	}
	h.stop()
	if err := <-h.done; err != nil {
		h.t.Error(err)
	}
	h.stop = nil
}

// url makes a URL for a party; edit may spoil the token.
func (h *relayHost) url(action crypto.Action, stream, party string, edit ...func(*crypto.Token)) crypto.URL {
	h.t.Helper()
	tok := crypto.Token{Action: action, Expiry: time.Now().Add(time.Hour), Stream: stream, Party: party}
	for _, f := range edit {
		f(&tok)
	}
	text, err := h.keys.Mint(tok)
	if err != nil {
		h.t.Fatal(err)
	}
	return crypto.URL{Host: h.host, Stream: stream, Key: h.cfg.Key.Public(), Token: text}
}

// events collects what a client tells.
type events struct {
	mu   sync.Mutex
	list []client.Event
	more chan struct{}
}

func newEvents() *events { return &events{more: make(chan struct{}, 1)} }

func (e *events) add(ev client.Event) {
	e.mu.Lock()
	e.list = append(e.list, ev)
	e.mu.Unlock()
	select {
	case e.more <- struct{}{}:
	default:
	}
}

// find waits for the n-th event that fits.
func (e *events) find(t testing.TB, what string, n int, fits func(client.Event) bool) client.Event {
	t.Helper()
	limit := time.NewTimer(8 * time.Second)
	defer limit.Stop()
	for {
		e.mu.Lock()
		left := n
		for _, ev := range e.list {
			if fits(ev) {
				if left--; left == 0 {
					e.mu.Unlock()
					return ev
				}
			}
		}
		e.mu.Unlock()
		select {
		case <-e.more:
		case <-limit.C:
			t.Fatalf("%s number %d did not come; there were %s", what, n, e)
		}
	}
}

func (e *events) wait(t testing.TB, code, n int) client.Event {
	t.Helper()
	return e.find(t, fmt.Sprint("event ", code), n, func(ev client.Event) bool { return ev.Kind == client.KindState && ev.Code == code })
}

func isNetStatus(ev client.Event) bool { return ev.Kind == client.KindNetStatus }

func (e *events) count(code int) (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, ev := range e.list {
		if ev.Code == code {
			n++
		}
	}
	return n
}

func (e *events) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var b bytes.Buffer
	for _, ev := range e.list {
		if ev.Kind == client.KindState {
			fmt.Fprintf(&b, "\n\t%s %d %s", ev.Time.Format("05.000"), ev.Code, ev.Text)
		}
	}
	return b.String()
}

func (h *relayHost) push(stream, party string, ev *events) *client.Pusher {
	h.t.Helper()
	p, err := client.DialPusher(h.t.Context(), client.PusherConfig{URL: h.url(crypto.ActionPush, stream, party), OnEvent: ev.add, Reconnect: 20 * time.Second})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = p.Close(ctx)
	})
	return p
}

func (h *relayHost) play(stream string, ev *events, edit ...func(*client.PlayerConfig)) *client.Player {
	h.t.Helper()
	cfg := client.PlayerConfig{URL: h.url(crypto.ActionPlay, stream, ""), OnEvent: ev.add, MaxDelay: 2 * time.Second, Reconnect: 20 * time.Second}
	for _, f := range edit {
		f(&cfg)
	}
	p, err := client.DialPlayer(h.t.Context(), cfg)
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = p.Close() })
	return p
}

// talk makes the messages of a call: configurations and metadata, then video with a key frame every keyEvery, and audio.
type talk struct {
	n    int
	sent []rtmpchunk.Message
}

const keyEvery = 30

func (k *talk) next() rtmpchunk.Message {
	n := k.n
	k.n++
	var m rtmpchunk.Message
	switch {
	case n == 0:
		m = rtmpchunk.Message{Type: rtmpchunk.TypeData, Payload: onMetaData(640, 360)}
	case n == 1:
		m = rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1f, 0xff}}
	case n == 2:
		m = rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 0, 0x12, 0x10}}
	case n%2 == 1:
		frame := (n - 3) / 2
		size := 2000 + frame%5*700
		head := byte(0x27)
		if frame%keyEvery == 0 {
			size, head = 20_000, 0x17
		}
		b := noise(n, size)
		copy(b, []byte{head, 1, 0, 0, 0})
		m = rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(frame * 33), Payload: b}
	default:
		b := noise(n, 150)
		copy(b, []byte{0xaf, 1})
		m = rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32((n - 3) / 2 * 33), Payload: b}
	}
	k.sent = append(k.sent, m)
	return m
}

func noise(seed, size int) []byte {
	r := rand.New(rand.NewPCG(uint64(seed), 1))
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// onMetaData is AMF0: the name, and an ECMA array with two numbers.
func onMetaData(width, height int) []byte {
	b := append([]byte{2, 0, 10}, "onMetaData"...)
	b = append(b, 8, 0, 0, 0, 2)
	for name, v := range map[string]int{"width": width, "height": height} {
		b = append(b, 0, byte(len(name)))
		b = append(b, name...)
		b = append(b, 0)
		bits := math.Float64bits(float64(v))
		for i := range 8 {
			b = append(b, byte(bits>>(56-8*i)))
		}
	}
	return append(b, 0, 0, 9)
}

func (k *talk) push(t testing.TB, p *client.Pusher, n int) {
	t.Helper()
	for range n {
		if err := p.Write(k.next()); err != nil {
			t.Fatal(err)
		}
	}
}

// pace pushes messages in real time until stop is closed. A test's only clock is the events that it waits for.
func (k *talk) pace(p *client.Pusher, stop <-chan struct{}) error {
	tick := time.NewTicker(16 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return nil
		case <-tick.C:
			if err := p.Write(k.next()); err != nil {
				return err
			}
		}
	}
}

// readAll reads up to the end of the stream.
func readAll(ctx context.Context, p *client.Player) (list []client.Frame, err error) {
	for {
		f, err := p.Read(ctx)
		if err != nil {
			return list, err
		}
		list = append(list, f)
	}
}

func same(a, b rtmpchunk.Message) bool {
	return a.Type == b.Type && a.Timestamp == b.Timestamp && bytes.Equal(a.Payload, b.Payload)
}

// identical fails unless the frames are exactly the messages.
func identical(t *testing.T, got []client.Frame, want []rtmpchunk.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %d messages, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if !same(got[i].Message, want[i]) {
			t.Fatalf("message %d: got type %d at %d ms, %d bytes; want type %d at %d ms, %d bytes", i,
				got[i].Message.Type, got[i].Message.Timestamp, len(got[i].Message.Payload), want[i].Type, want[i].Timestamp, len(want[i].Payload))
		}
	}
}

func within(t testing.TB, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

func TestPushPlay(t *testing.T) {
	before := runtime.NumGoroutine()
	h := newRelay(t)
	pushed, played := newEvents(), newEvents()
	play := h.play("live/a", played)
	played.wait(t, client.CodeLoading, 1) // before its pusher
	push := h.push("live/a", "alice", pushed)

	type result struct {
		frames []client.Frame
		err    error
	}
	read := make(chan result, 1)
	go func() {
		frames, err := readAll(within(t, 10*time.Second), play)
		read <- result{frames, err}
	}()
	var k talk
	k.push(t, push, 150)
	stop, paced := make(chan struct{}), make(chan error, 1)
	go func() { paced <- k.pace(push, stop) }()
	info := played.find(t, "netstatus", 2, isNetStatus).Info
	close(stop)
	if err := <-paced; err != nil {
		t.Fatal(err)
	}
	if info.VideoWidth != 640 || info.VideoHeight != 360 || info.VideoBitrate == 0 || info.AudioBitrate == 0 || info.VideoFPS < 10 || info.NetSpeed == 0 || info.Quality == 0 {
		t.Errorf("netstatus %+v", info)
	}
	if info := pushed.find(t, "netstatus", 1, isNetStatus).Info; info.VideoWidth != 640 || info.VideoBitrate == 0 || info.NetSpeed == 0 {
		t.Errorf("pusher's netstatus %+v", info)
	}
	if err := push.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	r := <-read
	if r.err != io.EOF {
		t.Fatalf("read ended with %v%s", r.err, played)
	}
	identical(t, r.frames, k.sent)
	for i, f := range r.frames {
		// The clocks are known soon after the pusher came, to half a round trip each, which on a busy machine is not little.
		if f.Media && (f.Captured.IsZero() && i > len(r.frames)-20 || !f.Captured.IsZero() && f.Released.Before(f.Captured.Add(-100*time.Millisecond)) || f.Released.Before(f.Complete) || f.Gap) {
			t.Errorf("frame %d: captured %v, complete %v, released %v, gap %v", i, f.Captured, f.Complete, f.Released, f.Gap)
		}
	}
	for _, code := range []int{client.CodePlayConnected, client.CodeLoading, client.CodePulling, client.CodeFirstKeyFrame, client.CodePlaying, client.CodeEnded} {
		if n := played.count(code); n != 1 {
			t.Errorf("player told %d %d times%s", code, n, played)
		}
	}
	for _, code := range []int{client.CodePushConnected, client.CodePushBegins} {
		if n := pushed.count(code); n != 1 {
			t.Errorf("pusher told %d %d times%s", code, n, pushed)
		}
	}
	sent, got := push.Stats(), play.Stats()
	if sent.VideoFrames != got.VideoFrames || sent.AudioFrames != got.AudioFrames || sent.Records != 3 || got.Records != 3 || sent.MediaBytes != got.MediaBytes {
		t.Errorf("pusher's count %+v, player's %+v", sent, got)
	}
	if got.Delay.Count == 0 || got.Delay.P99 > time.Second || got.FirstFrame == 0 || sent.Skipped != 0 || got.Skipped != 0 {
		t.Errorf("player's stats %+v", got)
	}
	if err := push.Write(k.next()); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Write after Close: %v", err)
	}
	if err := push.Err(); err != nil {
		t.Errorf("Err after Close: %v", err)
	}
	if err := push.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
	if err := play.Close(); err != nil {
		t.Error(err)
	}
	<-play.Done()
	h.halt()
	settled(t, before)
}

// settled waits until there are no more goroutines than before.
func settled(t *testing.T, before int) {
	t.Helper()
	for range 1_000_000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		runtime.Gosched()
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d goroutines before, %d now:\n%s", before, runtime.NumGoroutine(), stacks[:runtime.Stack(stacks, true)])
}

// A player that joins later begins at a key frame, with what its decoder needs.
func TestJoinLate(t *testing.T) {
	h := newRelay(t)
	push := h.push("live/a", "alice", newEvents())
	var k talk
	k.push(t, push, 3+2*keyEvery+20)
	ev := newEvents()
	play := h.play("live/a", ev)
	ctx := within(t, 8*time.Second)
	for {
		f, err := play.Read(ctx)
		if err != nil {
			t.Fatal(err, ev)
		}
		if !f.Media {
			continue
		}
		if f.Kind == rtmpchunk.Video {
			if !f.Key {
				t.Error("the first video frame is no key frame")
			}
			return
		}
	}
}

func TestReplaced(t *testing.T) {
	h := newRelay(t)
	first, second := newEvents(), newEvents()
	old := h.push("live/a", "alice", first)
	h.push("live/a", "alice", second)
	select {
	case <-old.Done():
	case <-within(t, 5*time.Second).Done():
		t.Fatal("the older pusher goes on")
	}
	var ce *client.CodeError
	if err := old.Err(); !errors.As(err, &ce) || ce.Code != client.CodeClosed || !errors.Is(err, client.ErrReplaced) {
		t.Errorf("the older pusher ended with %v", err)
	}
	if first.count(client.CodePushReconnecting) != 0 || first.count(client.CodeClosed) != 1 {
		t.Errorf("the older pusher told%s", first)
	}
	if err := old.Write(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0x2f, 1}}); !errors.As(err, &ce) {
		t.Errorf("Write then: %v", err)
	}
	if n := second.count(client.CodePushReconnecting); n != 0 {
		t.Errorf("the newer pusher told%s", second)
	}
}

func TestDialErrors(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	h.push("live/busy", "alice", newEvents())
	wrongKey := h.url(crypto.ActionPush, "live/a", "alice")
	other, err := crypto.NewStaticKey([32]byte{4})
	if err != nil {
		t.Fatal(err)
	}
	wrongKey.Key = other.Public()
	nobody := h.url(crypto.ActionPush, "live/a", "alice")
	nobody.Host = "127.0.0.1:9"
	unknown := h.url(crypto.ActionPush, "live/a", "alice")
	unknown.Host = "no-such-host.invalid:7000"
	otherStream := h.url(crypto.ActionPush, "live/b", "alice")
	otherStream.Stream = "live/a"
	var wg sync.WaitGroup // not subtests: most of the time they wait
	for _, c := range []struct {
		name string
		url  crypto.URL
		code int
	}{
		{"expired", h.url(crypto.ActionPush, "live/a", "alice", func(tok *crypto.Token) { tok.Expiry = time.Now().Add(-time.Hour) }), client.CodeClosed},
		{"play URL", h.url(crypto.ActionPlay, "live/a", "alice"), client.CodeClosed},
		{"other stream", otherStream, client.CodeClosed},
		{"busy", h.url(crypto.ActionPush, "live/busy", "bob"), client.CodeClosed},
		{"wrong key", wrongKey, client.CodeHandshake},
		{"nobody there", nobody, client.CodeHandshake},
		{"unknown name", unknown, client.CodeLookup},
	} {
		wg.Go(func() {
			ev := newEvents()
			began := time.Now()
			_, err := client.DialPusher(t.Context(), client.PusherConfig{URL: c.url, OnEvent: ev.add})
			var ce *client.CodeError
			if !errors.As(err, &ce) || ce.Code != c.code {
				t.Errorf("%s: got %v, want code %d", c.name, err, c.code)
				return
			}
			if took := time.Since(began); took > 4500*time.Millisecond {
				t.Errorf("%s: took %v", c.name, took)
			}
			if ev.count(c.code) != 1 || ev.count(client.CodePushReconnecting) != 0 {
				t.Errorf("%s: events%s", c.name, ev)
			}
		})
	}
	wg.Wait()
}

func TestDialCancelled(t *testing.T) {
	h := newRelay(t)
	u := h.url(crypto.ActionPlay, "live/a", "")
	u.Host = "127.0.0.1:9"
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := client.DialPlayer(ctx, client.PlayerConfig{URL: u}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	cancel()
	settled(t, before)
}

func TestReadCancelledAndClosed(t *testing.T) {
	h := newRelay(t)
	play := h.play("live/a", newEvents())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := play.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read: %v", err)
	}
	read := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := play.Read(context.Background())
			read <- err
		}()
	}
	if err := play.Close(); err != nil {
		t.Error(err)
	}
	for range 2 {
		if err := <-read; !errors.Is(err, client.ErrClosed) {
			t.Errorf("Read after Close: %v", err)
		}
	}
	if err := play.Rebind(); !errors.Is(err, client.ErrClosed) {
		t.Errorf("Rebind after Close: %v", err)
	}
}

// Nobody comes: the wait is bounded.
func TestNoPusher(t *testing.T) {
	h := newRelay(t)
	play := h.play("live/a", newEvents(), func(c *client.PlayerConfig) { c.Wait = 100 * time.Millisecond })
	_, err := play.Read(within(t, 5*time.Second))
	var ce *client.CodeError
	if !errors.As(err, &ce) || ce.Code != client.CodePlayGaveUp {
		t.Errorf("got %v", err)
	}
}
