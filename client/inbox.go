package client

import (
	"context"
	"sync"
)

// Limits of what waits between Write and the socket. Write blocks beyond.
const (
	// maxBacklog while connected: a second of 4 Mbit/s. Media that waits longer than the delay budget is dropped by the transport,
	// so a larger backlog would only be lost.
	maxBacklog = 512 << 10
	// maxOfflineBacklog while the network is lost: a live source runs on for half a minute of 2 Mbit/s before it is held up.
	maxOfflineBacklog = 8 << 20
)

// inbox carries messages from writers to the link's goroutine and holds writers up while too much waits.
type inbox struct {
	room chan struct{} // capacity 1: look again

	mu      sync.Mutex // guards what follows
	list    []message
	bytes   int // in list
	backlog int // waiting behind it
	limit   int
	err     error // writing is over
}

func newInbox() *inbox { return &inbox{room: make(chan struct{}, 1), limit: maxBacklog} }

// wait returns once there is room, or with the reason why there will be none.
func (b *inbox) wait(ctx context.Context) error {
	for {
		b.mu.Lock()
		full, err := b.bytes+b.backlog >= b.limit, b.err
		b.mu.Unlock()
		if err != nil {
			return err
		}
		if !full {
			return nil
		}
		select {
		case <-b.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// put adds a message.
func (b *inbox) put(m message) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.list = append(b.list, m)
	b.bytes += m.bytes
	return nil
}

// take returns everything and leaves buf in its place.
func (b *inbox) take(buf []message) []message {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.list
	b.list, b.backlog, b.bytes = buf[:0], b.backlog+b.bytes, 0
	return list
}

// set tells how much waits behind the inbox, and how much may.
func (b *inbox) set(backlog, limit int) {
	b.mu.Lock()
	b.backlog, b.limit = backlog, limit
	full := b.bytes+b.backlog >= b.limit
	b.mu.Unlock()
	if !full {
		b.signal()
	}
}

// close ends writing; the first reason counts.
func (b *inbox) close(err error) {
	b.mu.Lock()
	if b.err == nil {
		b.err = err
	}
	b.mu.Unlock()
	b.signal()
}

func (b *inbox) signal() {
	select {
	case b.room <- struct{}{}:
	default:
	}
}
