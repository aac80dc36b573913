package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"sync"
	"time"

	"duet/bench/netem"
)

// WireConfig says what a [Wire] joins and what lies between.
type WireConfig struct {
	// Name is that of the network namespace at the far end, and begins those of the two interfaces.
	Name string

	// Subnet has the two ends' addresses: the first of its hosts is this machine's, the second the namespace's.
	Subnet netip.Prefix

	// Up and Down are the links from the namespace to this machine and back. Their schedules and traces count from the start.
	Up, Down netem.Config
}

// wireMTU is that of most networks.
const wireMTU = 1500

// wireName fits into the name of an interface, with one digit behind it.
var wireName = regexp.MustCompile(`^[a-z][a-z0-9-]{0,12}$`)

// Check reports what is wrong with name or subnet.
func (c *WireConfig) Check() error {
	if !wireName.MatchString(c.Name) {
		return fmt.Errorf("name %q: want up to 13 small letters, digits and hyphens, a letter first", c.Name)
	}
	if !c.Subnet.IsValid() || !c.Subnet.Addr().Is4() || c.Subnet.Bits() > 30 {
		return fmt.Errorf("subnet %v: want one of IPv4 with two hosts, such as 10.203.0.0/30", c.Subnet)
	}
	return nil
}

// Wire is a bad network between this machine and a network namespace of it: whatever runs in there, over whatever protocol, has the rest
// of the machine at the end of an emulated link. Linux, as root.
type Wire struct {
	Near, Far netip.Addr // this machine's and the namespace's

	up, down lane
	began    time.Time
	remove   func() error
	cancel   context.CancelFunc
	wg       sync.WaitGroup
	err      error // of remove
}

// StartWire makes the namespace and its two interfaces and carries packets until ctx ends or [Wire.Close]. An error says what is missing.
func StartWire(ctx context.Context, cfg WireConfig) (*Wire, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	near := cfg.Subnet.Masked().Addr().Next()
	far := near.Next()
	ends, remove, err := openWire(ctx, &cfg, near, far)
	if err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	w := &Wire{Near: near, Far: far, remove: remove, began: time.Now()}
	up, down := cfg.Up, cfg.Down
	down.Seed = ^down.Seed // the two directions must not lose the same packets
	w.up.init(DirUp, up, w.began, func(b []byte) { _, _ = ends[0].Write(b) })
	w.down.init(DirDown, down, w.began, func(b []byte) { _, _ = ends[1].Write(b) })
	ctx, w.cancel = context.WithCancel(ctx)
	w.wg.Go(func() { w.up.run(ctx) })
	w.wg.Go(func() { w.down.run(ctx) })
	w.wg.Go(func() { takeFrom(ctx, ends[0], &w.down) })
	w.wg.Go(func() { takeFrom(ctx, ends[1], &w.up) })
	w.wg.Go(func() {
		<-ctx.Done()
		for _, f := range ends {
			_ = f.Close()
		}
		w.err = remove()
	})
	return w, nil
}

// takeFrom takes packets from an interface until it is closed.
func takeFrom(ctx context.Context, f io.Reader, to *lane) {
	buf := make([]byte, maxDatagram)
	for {
		n, err := f.Read(buf)
		switch {
		case err == nil:
			to.send(buf[:n])
		case errors.Is(err, os.ErrClosed) || !again(ctx, err):
			return
		}
	}
}

// Stats counts packets since the start; there are no flows.
func (w *Wire) Stats() ProxyStats {
	return ProxyStats{Up: w.up.stats(), Down: w.down.stats()}
}

// Began is when it began to carry.
func (w *Wire) Began() time.Time { return w.began }

// Close ends the wire and removes the namespace, and returns when that is done. What runs in the namespace goes on without a network.
func (w *Wire) Close() error {
	w.cancel()
	w.wg.Wait()
	return w.err
}
