package main

import (
	"context"
	"os"
	"testing"
	"time"

	"duet/bench"
	"duet/bench/load"
	"duet/bench/netem"
	"duet/client"
	"duet/crypto"
)

// Of the players of one stream one reads nothing, though it still says that it is there, and one is behind 200 kbit/s: nobody else sees a late frame, over sockets.
// DUET_LONG makes the others 98, and the stream one of 1.5 Mbit/s.
func TestSlowPlayersOverSockets(t *testing.T) {
	t.Parallel()
	players, shape, late := 6, load.Shape{Bitrate: 600_000, FPS: 30}, time.Second // beside other tests the machine has no time to spare
	if os.Getenv("DUET_LONG") != "" {
		players, shape, late = 98, load.Shape{Bitrate: 1_500_000, FPS: 30}, load.DefaultLate
	}
	h := startServer(t, func(c *serverConfig) { c.rtmp, c.http = "", "" })
	relay := h.srv.relay
	cfg := load.Config{
		Server: relay.Addr(), Key: h.srv.secrets.key.Public(), Mint: h.srv.secrets.tokens.Mint, Fanout: players, Shape: shape, Late: late, Duration: 4 * time.Second,
	}
	join := func(down netem.Config) (*bench.Proxy, *client.Player) {
		proxy, err := bench.StartProxy(t.Context(), bench.ProxyConfig{Target: relay.Addr().String(), Down: down})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(proxy.Close)
		const stream = load.DefaultStream
		token, err := cfg.Mint(crypto.Token{Action: crypto.ActionPlay, Stream: stream, Party: "slow", Expiry: time.Now().Add(time.Hour)})
		if err != nil {
			t.Fatal(err)
		}
		p, err := client.DialPlayer(t.Context(), client.PlayerConfig{URL: crypto.URL{Host: proxy.Addr().String(), Stream: stream, Key: cfg.Key, Token: token}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		go func() {
			for ctx := t.Context(); ; {
				if _, err := p.Read(ctx); err != nil {
					return
				}
			}
		}()
		return proxy, p
	}
	deaf, _ := join(netem.Config{})
	_, narrow := join(netem.Config{Rate: 200_000, Queue: 30_000})
	var skipped uint64
	cfg.Measure = func(ctx context.Context) error {
		deaf.Blackhole(false, true)
		st, err := relay.Stats(ctx)
		skipped = st.PlayerSkips + st.FramesThinned
		return err
	}
	res, err := load.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d frames to %d players: %d lost, %d late, p99 %v; the narrow one has %d, %d were left out for the two",
		res.Frames, players, res.Lost, res.Late, res.Delay.Quantile(.99), narrow.Stats().VideoFrames, skipped)
	if res.Frames < uint64(players)*100 || res.Lost != 0 || res.Late != 0 {
		t.Errorf("of %d frames to the others %d were lost and %d late", res.Frames, res.Lost, res.Late)
	}
	if got := narrow.Stats().VideoFrames; skipped == 0 || got > 100 {
		t.Errorf("the narrow one has %d frames, %d were left out for the two: they are not slow", got, skipped)
	}
}
