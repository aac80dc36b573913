package load

import (
	"context"
	"strings"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
)

// serve runs a relay and gives the configuration of a load for it.
func serve(t *testing.T) (*relay.Server, Config) {
	t.Helper()
	key, err := crypto.NewStaticKey([32]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	tokens := crypto.NewTokenKeys(1, [32]byte{2})
	srv, err := relay.New(relay.Config{Listen: "127.0.0.1:0", Key: key, Tokens: tokens})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return srv, Config{Server: srv.Addr(), Key: key.Public(), Mint: tokens.Mint, Shape: Shape{Bitrate: 300_000, FPS: 30, Audio: 32_000}, Duration: time.Second, Late: 5 * time.Second}
}

// Everything that is pushed within the window is counted at every player, once.
func TestCallsAndFanout(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ calls, fanout, workers int }{{2, 0, 1}, {0, 3, 2}} {
		srv, cfg := serve(t)
		cfg.Calls, cfg.Fanout, cfg.Workers = c.calls, c.fanout, c.workers
		marks, wakeups := 0, uint64(0)
		cfg.Measure = func(ctx context.Context) error {
			marks++
			st, err := srv.Stats(ctx)
			wakeups = st.Wakeups - wakeups
			return err
		}
		res, err := Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if rate := float64(wakeups) / res.Seconds; rate > 1500 {
			t.Errorf("%+v: the relay woke up %.0f times a second", c, rate)
		}
		perStream := 30 + 50
		if want := uint64(cfg.Outgoing() * perStream); res.Frames < want*9/10 || res.Frames > want*2 {
			t.Errorf("%+v: %d frames in a second, want about %d", c, res.Frames, want)
		}
		if res.Lost != 0 || res.Late != 0 || res.Gone != 0 || marks != 2 {
			t.Errorf("%+v: lost %d, late %d, sessions lost %d %s, measured %d times", c, res.Lost, res.Late, res.Gone, res.Reason, marks)
		}
		if res.Delay.Count != res.Frames {
			t.Errorf("%+v: %d delays of %d frames", c, res.Delay.Count, res.Frames)
		}
		st, err := srv.Stats(t.Context())
		if err != nil || st.Delay.Count == 0 || st.MediaIn == 0 || st.Wakeups == 0 {
			t.Errorf("%+v: the relay counted no delay: %v", c, err)
		}
	}
}

// A relay that lets nobody in is an error with its reason.
func TestRefused(t *testing.T) {
	t.Parallel()
	_, cfg := serve(t)
	cfg.Calls = 1
	cfg.Mint = crypto.NewTokenKeys(1, [32]byte{9}).Mint
	if _, err := Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), crypto.ErrTokenForged.Error()) {
		t.Errorf("a load that nobody let in: %v", err)
	}
}

func TestBadConfig(t *testing.T) {
	good := Shape{Bitrate: 100_000, FPS: 30}
	for _, cfg := range []Config{
		{Shape: good}, {Shape: good, Calls: 1, Fanout: 1}, {Shape: good, Calls: MaxStreams}, {Shape: Shape{Bitrate: 100_000}, Calls: 1}, {Shape: Shape{FPS: 30}, Calls: 1},
	} {
		if _, err := Run(t.Context(), cfg); err == nil {
			t.Errorf("%+v was taken", cfg)
		}
	}
}

// The ideal relay forwards everything to everybody.
func TestIdeal(t *testing.T) {
	t.Parallel()
	d, err := NewIdeal(1, 4)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	cfg := Config{Fanout: 4, Shape: Shape{Bitrate: 300_000, FPS: 30}, Duration: time.Second}
	packets, took, err := RunIdeal(ctx, cfg, d.Addr())
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if rate := float64(packets) / took.Seconds(); rate < 4*30 || rate > 4*30*3 {
		t.Errorf("%.0f packets a second for 30 frames a second to four players", rate)
	}
}

// A stream has its bitrate, whatever the frame rate.
func TestShape(t *testing.T) {
	for _, shape := range []Shape{{Bitrate: 1_000_000, FPS: 30}, {Bitrate: 1_500_000, FPS: 60, Audio: 48_000}, {Bitrate: 8_000, FPS: 1}} {
		s := source{shape: shape, buf: make([]byte, shape.largest())}
		bytes := 0
		for {
			if at, _ := s.next(); at >= 20*time.Second {
				break
			}
			bytes += len(s.frame().Payload)
		}
		want := float64(shape.Bitrate+shape.Audio) * 20 / 8
		if got := float64(bytes); got < want*.95 || got > want*1.05 {
			t.Errorf("%+v: %.0f bytes in 20 s, want %.0f", shape, got, want)
		}
	}
}

// A client is rung once, at its latest deadline given, late by a slot at most.
func TestWheel(t *testing.T) {
	w := wheel{origin: time.Unix(100, 0)}
	at := func(d time.Duration) time.Time { return w.origin.Add(d) }
	rung := make(map[*client]time.Duration)
	soon, later, far := &client{}, &client{}, &client{}
	w.set(soon, at(5*time.Millisecond))
	w.set(later, at(50*time.Millisecond))
	w.set(later, at(20*time.Millisecond))
	w.set(later, at(90*time.Millisecond)) // the earlier one stands
	w.set(far, at(time.Hour))
	for d := time.Duration(0); d <= 2*time.Second; d += 3 * time.Millisecond {
		w.turn(at(d), func(c *client) {
			if _, twice := rung[c]; !twice {
				rung[c] = d
			}
		})
	}
	if rung[soon] != 6*time.Millisecond || rung[later] != 21*time.Millisecond || rung[far] < time.Second {
		t.Errorf("rung at %v, %v, %v", rung[soon], rung[later], rung[far])
	}
}

// Rounds begin and end, and nothing is left of one that said goodbye.
func TestChurn(t *testing.T) {
	t.Parallel()
	srv, cfg := serve(t)
	cfg.Calls, cfg.Duration = 3, time.Millisecond
	n, err := Churn(t.Context(), cfg)
	if err != nil || n != 12 {
		t.Fatalf("%d sessions, %v", n, err)
	}
	for deadline := time.Now().Add(10 * time.Second); ; {
		st, err := srv.Stats(t.Context())
		if err != nil || time.Now().After(deadline) {
			t.Fatalf("%+v, %v", st, err)
		}
		if st.Sessions == 0 && st.Streams == 0 && st.PacketsLive == 0 {
			return
		}
	}
}
