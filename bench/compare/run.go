package main

import (
	"context"
	"fmt"
	"time"
)

const (
	// setupTime is how long it may take to set a peer up. The links lose nothing meanwhile.
	setupTime = 15 * time.Second

	// drain is how long after the last frame one may still come.
	drain = time.Second
)

// result is one cell: one peer at one loss. Shares and delays are those of video unless said otherwise; bytes are UDP payload over the
// bytes of all frames.
type result struct {
	Peer       string               `json:"peer"`
	Settings   string               `json:"settings"`
	Loss       float64              `json:"loss"`
	Seed       uint64               `json:"seed"`
	Frames     int                  `json:"frames"`
	Within     [len(limits)]float64 `json:"whole_within"`  // released in order within each of limits
	OnTime     float64              `json:"on_time_ratio"` // whole within the deadline
	Audio      float64              `json:"audio_on_time_ratio"`
	Delay      quantiles            `json:"delay_ms"`        // capture to whole
	Release    quantiles            `json:"release_ms"`      // capture to release in order
	HopBytes   [2]float64           `json:"hop_bytes_ratio"` // in the media's direction
	BackBytes  [2]float64           `json:"feedback_ratio"`  // against it
	LinkLoss   [2]float64           `json:"link_loss"`       // that came to be, in the media's direction
	Damaged    int                  `json:"damaged"`
	Twice      int                  `json:"delivered_twice"`
	SendErrors int                  `json:"send_errors"`
	Error      string               `json:"error,omitempty"` // it could not be set up
}

// run measures one peer.
func run(ctx context.Context, p peer, cfg *config) result {
	res := result{Peer: p.name(), Settings: p.settings(cfg), Loss: cfg.loss, Seed: cfg.seed}
	if err := measure(ctx, p, cfg, &res); err != nil {
		res.Error = err.Error()
	}
	return res
}

func measure(ctx context.Context, p peer, cfg *config, res *result) error {
	m := newMeter(time.Now())
	b := &bed{cfg: cfg, got: m.got}
	defer b.close()
	setup, cancel := context.WithTimeout(ctx, setupTime)
	send, err := p.open(setup, b)
	cancel()
	if err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	b.lose()
	begin := time.Since(m.origin) + 100*time.Millisecond
	src := newSource(cfg.seed)
	var before traffic
	var first [kinds]int
	counting := false
	for f := src.frame(); f.at < cfg.warmup+cfg.duration; f = src.frame() {
		due := begin + f.at
		if err := sleep(ctx, due-time.Since(m.origin)); err != nil {
			return err
		}
		if !counting && f.at >= cfg.warmup {
			counting = true
			before = b.traffic()
			m.count()
			for k := range kinds {
				first[k] = len(m.captured[k])
			}
		}
		f.stamp(due)
		m.sent(f.kind, due, len(f.body))
		if err := send(f); err != nil {
			res.SendErrors++
		}
	}
	if err := sleep(ctx, drain); err != nil {
		return err
	}
	after := b.traffic()
	fill(res, m, cfg, first)
	for i := range 2 {
		out := after.media[i].SentBytes - before.media[i].SentBytes
		res.HopBytes[i] = float64(out) / float64(m.bytes)
		res.BackBytes[i] = float64(after.back[i].SentBytes-before.back[i].SentBytes) / float64(m.bytes)
		if n := after.media[i].Sent - before.media[i].Sent; n > 0 {
			res.LinkLoss[i] = float64(after.media[i].Lost-before.media[i].Lost) / float64(n)
		}
	}
	return nil
}

// fill puts into a result what the meter has of the frames from first on.
func fill(res *result, m *meter, cfg *config, first [kinds]int) {
	complete, release := m.delays(video, first[video], cfg.deadline)
	for i, limit := range limits {
		res.Within[i] = within(release, limit)
	}
	res.Frames, res.OnTime = len(complete), within(complete, cfg.deadline)
	res.Delay, res.Release = quantilesOf(complete), quantilesOf(release)
	heard, _ := m.delays(audio, first[audio], cfg.deadline)
	res.Audio = within(heard, cfg.deadline)
	m.mu.Lock()
	defer m.mu.Unlock()
	res.Damaged, res.Twice = m.damaged, m.twice
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
