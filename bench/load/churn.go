package load

import (
	"context"
	"fmt"
	"time"
)

const (
	churnTalk  = 300 * time.Millisecond // that a round's calls last
	churnLeave = 50 * time.Millisecond  // for the streams' end to arrive, and then a goodbye
)

// Churn has a Config's calls made and ended, round after round, for its Duration. The streams of each round are new ones. Every other round ends without a
// goodbye, as clients do that crash, and the relay has to find that out. It returns how many sessions there were.
func Churn(ctx context.Context, cfg Config) (sessions int, err error) {
	if err := cfg.setDefaults(); err != nil {
		return 0, err
	}
	began := time.Now()
	for round := 0; time.Since(began) < cfg.Duration; round++ {
		one := cfg
		one.Stream = fmt.Sprintf("%s-%d", cfg.Stream, round)
		one.Progress = func(float64, string) {
			cfg.Progress(float64(time.Since(began))/float64(cfg.Duration), fmt.Sprintf("%d sessions", sessions))
		}
		if err := churnOnce(ctx, &one, round%2 == 0); err != nil {
			return sessions, err
		}
		sessions += one.sessions()
	}
	return sessions, nil
}

func churnOnce(ctx context.Context, cfg *Config, goodbye bool) error {
	r, err := newRun(cfg)
	if err != nil {
		return err
	}
	defer r.end()
	show := func(string) { cfg.Progress(0, "") }
	if err := r.put(ctx, show); err != nil {
		return err
	}
	if err := r.drive(ctx, time.Now().Add(churnTalk), func() { show("") }, nil); err != nil || !goodbye {
		return err
	}
	r.finish()
	if err := r.drive(ctx, time.Now().Add(churnLeave), func() { show("") }, nil); err != nil {
		return err
	}
	r.close()
	return r.drive(ctx, time.Now().Add(churnLeave), func() { show("") }, nil)
}
