package relay_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport/transporttest"
)

// A running relay on a real socket, for what is local to its process.
func runServer(t *testing.T, change func(*relay.Config)) (*relay.Server, func()) {
	t.Helper()
	cfg := relay.Config{
		Listen: "127.0.0.1:0", Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: crypto.NewTokenKeys(1, [32]byte{7}),
	}
	if change != nil {
		change(&cfg)
	}
	s, err := relay.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	stop := func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	}
	return s, stop
}

func read(t *testing.T, s *relay.Subscription) (rtmpchunk.Message, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.Read(ctx)
}

// What a local publisher writes is what local subscribers read, one that came before and one that joined midway, up to the end.
func TestPublishAndSubscribe(t *testing.T) {
	before := runtime.NumGoroutine()
	s, stop := runServer(t, nil)
	ctx := context.Background()
	early, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"})
	if err != nil {
		t.Fatal(err)
	}
	pub, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	sent := []rtmpchunk.Message{videoConfig, audioConfig}
	for i := range 90 {
		sent = append(sent, videoFrame(i, 4000+i, i%30 == 0, uint32(i*33)), audioFrame(i, 100, uint32(i*33)))
	}
	for _, m := range sent {
		if err := pub.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	late, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	for i, want := range sent {
		m, err := read(t, early)
		if err != nil {
			t.Fatalf("message %d: %v", i, err)
		}
		if m.Type != want.Type || m.Timestamp != want.Timestamp || string(m.Payload) != string(want.Payload) {
			t.Fatalf("message %d differs", i)
		}
	}
	if _, err := read(t, early); !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %v, want EOF", err)
	}
	n := 0
	for {
		m, err := read(t, late)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if n == 2 && m.Payload[0] != 0x17 {
			t.Error("the late subscriber does not begin with a key frame behind the configurations")
		}
		n++
	}
	if want := 2 + 2*30; n != want {
		t.Errorf("the late subscriber got %d messages, want %d: the configurations and the last GOP", n, want)
	}
	st, err := s.Stats(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if st.PacketsLive != 0 || st.Streams != 0 {
		t.Errorf("%d packets and %d streams are left", st.PacketsLive, st.Streams)
	}
	stop()
	for i := 0; runtime.NumGoroutine() > before && i < 1000; i++ {
		runtime.Gosched()
	}
	if _, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"}); !errors.Is(err, relay.ErrStopped) {
		t.Errorf("Publish on a stopped relay: %v", err)
	}
}

// A newer publication of the same party takes over; another party is busy; limits refuse.
func TestPublicationRights(t *testing.T) {
	s, stop := runServer(t, func(c *relay.Config) { c.MaxStreams, c.MaxPlayers = 1, 1 })
	defer stop()
	ctx := context.Background()
	first, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "bob"}); !errors.Is(err, relay.ErrBusy) {
		t.Errorf("another party: %v, want busy", err)
	}
	if _, err := s.Publish(ctx, crypto.Token{Stream: "live/b", Party: "bob"}); !errors.Is(err, relay.ErrLimit) {
		t.Errorf("a second stream: %v, want the limit", err)
	}
	second, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	<-first.Done()
	if !errors.Is(first.Err(), relay.ErrReplaced) || !errors.Is(first.Write(audioConfig), relay.ErrReplaced) {
		t.Errorf("the older publication: %v, want replaced", first.Err())
	}
	if err := second.Write(audioConfig); err != nil {
		t.Error(err)
	}
	sub, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"}); !errors.Is(err, relay.ErrLimit) {
		t.Errorf("a second player: %v, want the limit", err)
	}
	if err := sub.Close(); err != nil {
		t.Error(err)
	}
	if _, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"}); err != nil {
		t.Errorf("after the first left: %v", err)
	}
}

// A reader that takes nothing loses frames up to a key frame, and holds nobody up.
func TestSlowSubscriber(t *testing.T) {
	s, stop := runServer(t, nil)
	defer stop()
	ctx := context.Background()
	slow, err := s.Subscribe(ctx, crypto.Token{Stream: "live/a"})
	if err != nil {
		t.Fatal(err)
	}
	pub, err := s.Publish(ctx, crypto.Token{Stream: "live/a", Party: "alice"})
	if err != nil {
		t.Fatal(err)
	}
	if err := pub.Write(videoConfig); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, 200_000)
	for i := range 150 { // 30 MB
		m := rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(i), Payload: body}
		copy(body, []byte{0x27, 1, 0, 0, 0})
		if i%10 == 0 {
			body[0] = 0x17
		}
		if err := pub.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := pub.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 { // once for the loop to have handled all of it, once more for it to have handed it on
		if _, err := s.Stats(ctx); err != nil {
			t.Fatal(err)
		}
	}
	for {
		if _, err := read(t, slow); err != nil {
			if !errors.Is(err, io.EOF) {
				t.Fatal(err)
			}
			break
		}
	}
	if slow.Dropped() == 0 {
		t.Error("nothing was dropped for a reader that took nothing")
	}
}

func TestBadListen(t *testing.T) {
	s, stop := runServer(t, nil)
	defer stop()
	_, err := relay.New(relay.Config{Listen: s.Addr().String(), Key: transporttest.ServerKey(), Tokens: crypto.NewTokenKeys(1, [32]byte{7})})
	if err == nil {
		t.Error("a second relay on the same port came up")
	}
}
