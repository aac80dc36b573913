package main

import (
	"context"
	"time"
)

// pace holds messages back until their time has come, by their timestamps from the first one on.
type pace struct {
	started time.Time
	zero    uint32 // timestamp at started
	any     bool
}

// wait returns when a message's time has come, or ctx's error if that ends before.
func (p *pace) wait(ctx context.Context, timestamp uint32) error {
	if !p.any {
		p.any, p.started, p.zero = true, time.Now(), timestamp
	}
	// Timestamps wrap after 49 days; signed differences from a moving zero do not.
	ahead := time.Duration(int32(timestamp-p.zero)) * time.Millisecond
	if ahead > time.Hour {
		p.started, p.zero = p.started.Add(ahead), timestamp
		ahead = 0
	}
	wait := time.NewTimer(time.Until(p.started.Add(ahead)))
	defer wait.Stop()
	select {
	case <-wait.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
