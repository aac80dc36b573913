package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"time"

	sdk "duet/client"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// realWarmUp is the silence before the talk.
const realWarmUp = 500 * time.Millisecond

// realPatience is how long the player goes on after the talk to take what is under way, beyond the deadline and the round trips.
const realPatience = 500 * time.Millisecond

// RunRealLink runs the same call over sockets of this machine, in real time: a [sdk.Pusher], a [relay.Server] and a
// [sdk.Player] with a [Proxy] on each hop. It takes cfg.Duration and a few seconds. What the machine itself does to packets and clocks
// comes on top of the links.
func RunRealLink(ctx context.Context, cfg LinkConfig) (*LinkReport, error) {
	cfg, err := cfg.prepared()
	if err != nil {
		return nil, err
	}
	if cfg.Policy != nil {
		return nil, errors.New("bench: a client over sockets has the default policy; another one needs virtual time")
	}
	r := &realLink{cfg: cfg}
	r.rec, r.src = newLinkRecord(&r.cfg), newLinkSource(&r.cfg)
	t, err := r.run(ctx)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	t.real = true
	return t.report(), nil
}

// realLink is a call over sockets while it runs.
type realLink struct {
	cfg     LinkConfig
	src     *linkSource
	keys    *crypto.TokenKeys
	key     *crypto.StaticKey
	srv     *relay.Server
	proxies [2]*Proxy
	pusher  *sdk.Pusher
	player  *sdk.Player

	mu    sync.Mutex // guards what follows
	rec   *linkRecord
	lost  [2]uint64    // datagrams that were lost before the talk
	necks [2]*linkNeck // what the proxies' bottlenecks do, to know the queue
}

func (r *realLink) run(ctx context.Context) (t *linkTotals, err error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if err := r.serve(); err != nil {
		return nil, err
	}
	served := make(chan error, 1)
	go func() { served <- r.srv.Serve(ctx) }()
	defer func() {
		stop()
		err = errors.Join(err, <-served)
	}()
	var via [2]netip.AddrPort
	for hop := range via {
		if via[hop], err = r.hop(ctx, hop); err != nil {
			return nil, err
		}
		if p := r.proxies[hop]; p != nil {
			defer p.Close()
		}
	}
	if err := r.dial(ctx, via); err != nil {
		return nil, err
	}
	defer r.hangUp()
	played := make(chan error, 1)
	playing, enough := context.WithCancel(ctx)
	defer enough()
	go func() { played <- r.play(playing) }()
	if err := sleep(ctx, realWarmUp); err != nil {
		return nil, err
	}
	before, err := r.counts(ctx)
	if err != nil {
		return nil, err
	}
	for hop := range before {
		r.lost[hop] = before[hop].lost
	}
	if err := r.talk(ctx); err != nil {
		return nil, err
	}
	if err := sleep(ctx, r.cfg.Deadline+2*max(r.cfg.RTT, 0)+realPatience); err != nil {
		return nil, err
	}
	after, err := r.counts(ctx)
	if err != nil {
		return nil, err
	}
	enough()
	if err := <-played; err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for hop := range r.rec.hops {
		b, a := &before[hop], &after[hop]
		r.rec.hops[hop].repaired(a.packets-b.packets, a.repair-b.repair)
		r.rec.hops[hop].lost = int(a.lost - b.lost)
	}
	return r.rec.totals(), nil
}

// serve makes a relay on a free port, for this call only.
func (r *realLink) serve() error {
	var seeds [3][32]byte
	for i := range seeds {
		if _, err := io.ReadFull(rand.Reader, seeds[i][:]); err != nil {
			return err
		}
	}
	var err error
	if r.key, err = crypto.NewStaticKey(seeds[0]); err != nil {
		return err
	}
	r.keys = crypto.NewTokenKeys(1, seeds[1])
	r.srv, err = relay.New(relay.Config{Listen: "127.0.0.1:0", Key: r.key, Secret: seeds[2], Tokens: r.keys})
	return err
}

// hop puts a proxy before the relay, and gives the address to dial. The media goes up on the first hop and down on the second.
func (r *realLink) hop(ctx context.Context, hop int) (netip.AddrPort, error) {
	if hop >= r.cfg.Hops {
		return r.srv.Addr(), nil
	}
	cfg := ProxyConfig{Target: r.srv.Addr().String()}
	media, back := r.cfg.whole(uint64(2*hop+1)), r.cfg.back(uint64(2*hop+2))
	dir := DirUp
	cfg.Up, cfg.Down = media, back
	if hop == 1 {
		cfg.Up, cfg.Down, dir = back, media, DirDown
	}
	if r.cfg.bottlenecked() {
		r.necks[hop] = newLinkNeck(r.cfg.neck())
		r.necks[hop].passed = func(left time.Time, wait time.Duration, b []byte) { r.rec.waited(hop, left, wait, len(b)) }
	}
	cfg.Capture = func(d string, b []byte) {
		now := time.Now()
		r.mu.Lock()
		defer r.mu.Unlock()
		if d == dir && r.necks[hop] != nil {
			r.necks[hop].enter(now, b)
		}
		if !r.rec.begin.IsZero() {
			r.rec.carried(hop, d == dir, len(b))
		}
	}
	p, err := StartProxy(ctx, cfg)
	if err != nil {
		return netip.AddrPort{}, err
	}
	r.proxies[hop] = p
	return p.Addr(), nil
}

// dial connects the player and then the pusher.
func (r *realLink) dial(ctx context.Context, via [2]netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, linkSetUp)
	defer cancel()
	url := func(role wire.Role, at netip.AddrPort) (crypto.URL, error) {
		token, err := linkToken(r.keys, role, time.Now())
		return crypto.URL{Host: at.String(), Stream: linkStream, Key: r.key.Public(), Token: token}, err
	}
	play, err := url(wire.RolePlay, via[1])
	if err != nil {
		return err
	}
	push, err := url(wire.RolePush, via[0])
	if err != nil {
		return err
	}
	if r.player, err = sdk.DialPlayer(ctx, sdk.PlayerConfig{URL: play, MaxDelay: r.cfg.Deadline}); err != nil {
		return fmt.Errorf("the player: %w", err)
	}
	limits := r.cfg.limits()
	r.pusher, err = sdk.DialPusher(ctx, sdk.PusherConfig{
		URL: push, Budget: r.cfg.Deadline, MinBitrate: limits.Min, StartBitrate: limits.Start, MaxBitrate: limits.Max,
	})
	if err != nil {
		return errors.Join(fmt.Errorf("the pusher: %w", err), r.player.Close())
	}
	return nil
}

// hangUp leaves. What the ends say of that is of no interest any more.
func (r *realLink) hangUp() {
	ctx, cancel := context.WithTimeout(context.Background(), realPatience)
	defer cancel()
	_ = r.pusher.Close(ctx)
	_ = r.player.Close()
}

// talk pushes each frame when it is captured.
func (r *realLink) talk(ctx context.Context) error {
	start := time.Now()
	r.mu.Lock()
	r.rec.start(start, r.necks[0])
	r.mu.Unlock()
	for {
		at, kind, ok := r.src.next()
		if !ok {
			break
		}
		if err := r.advance(ctx, start, at); err != nil {
			return err
		}
		target := r.pusher.Uplink().Bitrate
		m := r.src.frame(target)
		r.mu.Lock()
		r.rec.capture(time.Now(), kind, len(m.Payload), target)
		r.mu.Unlock()
		if err := r.pusher.Write(m); err != nil {
			return fmt.Errorf("the pusher: %w", err)
		}
		if r.cfg.Progress != nil && kind == rtmpchunk.Video {
			r.cfg.Progress(float64(at) / float64(r.cfg.Duration))
		}
	}
	return r.advance(ctx, start, r.cfg.Duration)
}

// advance waits until a time of the talk, and looks at the counters at the end of each bin.
func (r *realLink) advance(ctx context.Context, start time.Time, to time.Duration) error {
	for {
		r.mu.Lock()
		at, ok := r.rec.nextSample()
		r.mu.Unlock()
		if !ok || at > to {
			return sleep(ctx, time.Until(start.Add(to)))
		}
		if err := sleep(ctx, time.Until(start.Add(at))); err != nil {
			return err
		}
		now := time.Now()
		r.mu.Lock()
		for hop, p := range r.proxies {
			if p != nil {
				r.rec.hops[hop].lost = int(lostBy(p, hop) - r.lost[hop])
			}
			if r.necks[hop] != nil {
				r.necks[hop].advance(now)
			}
		}
		r.rec.sample(at, r.pusher.Uplink().Bitrate)
		r.mu.Unlock()
	}
}

// lostBy is what a hop's media link has lost since it was opened.
func lostBy(p *Proxy, hop int) uint64 {
	s := p.Stats().Up
	if hop == 1 {
		s = p.Stats().Down
	}
	return s.Lost + s.QueueDropped + s.LimitDropped
}

// realCounts are counters of one hop.
type realCounts struct{ packets, repair, lost uint64 }

func (r *realLink) counts(ctx context.Context) (c [2]realCounts, err error) {
	s, err := r.srv.Stats(ctx)
	if err != nil {
		return c, err
	}
	p := r.pusher.Stats()
	c[0] = realCounts{packets: p.PacketsSent, repair: p.Retransmits + p.RepairsSent}
	c[1] = realCounts{packets: s.Sent.PacketsSent, repair: s.Sent.Retransmits + s.Sent.RepairsSent}
	for hop, p := range r.proxies {
		if p != nil {
			c[hop].lost = lostBy(p, hop)
		}
	}
	return c, nil
}

// play takes frames until ctx ends.
func (r *realLink) play(ctx context.Context) error {
	for {
		f, err := r.player.Read(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // the call is over
		}
		switch {
		case err != nil:
			return fmt.Errorf("the player: %w", err)
		case f.Media:
			r.mu.Lock()
			r.rec.release(f.Released, f.Complete, f.Kind, f.Message.Payload)
			r.mu.Unlock()
		}
	}
}

// sleep waits for d, less if ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
