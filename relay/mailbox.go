package relay

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrStopped means that the relay does not run any more.
var ErrStopped = errors.New("relay: stopped")

// maxMail bounds the functions that wait for the loop. At the limit a poster waits, which slows a local publisher down.
const maxMail = 1024

// mailbox hands functions to the loop's goroutine.
type mailbox struct {
	mu      sync.Mutex
	mail    []func(now time.Time)
	stopped bool

	wake  func() // makes the loop look
	space chan struct{}
	done  chan struct{}
}

func newMailbox(wake func()) *mailbox {
	return &mailbox{wake: wake, space: make(chan struct{}, 1), done: make(chan struct{})}
}

// post queues f, waiting while the box is full. It fails with ErrStopped and with ctx's error.
func (m *mailbox) post(ctx context.Context, f func(now time.Time)) error {
	for {
		m.mu.Lock()
		if m.stopped {
			m.mu.Unlock()
			return ErrStopped
		}
		if len(m.mail) < maxMail {
			m.mail = append(m.mail, f)
			first := len(m.mail) == 1
			m.mu.Unlock()
			if first {
				m.wake()
			}
			return nil
		}
		m.mu.Unlock()
		select {
		case <-m.space:
		case <-m.done:
			return ErrStopped
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// hand queues f from another loop, which must not wait and bounds by itself what it hands over; false if the loop has stopped.
func (m *mailbox) hand(f func(now time.Time)) bool {
	m.mu.Lock()
	if m.stopped {
		m.mu.Unlock()
		return false
	}
	m.mail = append(m.mail, f)
	first := len(m.mail) == 1
	m.mu.Unlock()
	if first {
		m.wake()
	}
	return true
}

// call runs f in the loop and waits for it.
func (m *mailbox) call(ctx context.Context, f func(now time.Time)) error {
	ran := make(chan struct{})
	if err := m.post(ctx, func(now time.Time) { f(now); close(ran) }); err != nil {
		return err
	}
	select {
	case <-ran:
		return nil
	case <-m.done:
		select {
		case <-ran:
			return nil
		default:
			return ErrStopped
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waiting reports whether there is mail.
func (m *mailbox) waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mail) > 0
}

// run takes everything out and runs it.
func (m *mailbox) run(now time.Time) {
	m.mu.Lock()
	mail := m.mail
	m.mail = nil
	m.mu.Unlock()
	if mail == nil {
		return
	}
	select {
	case m.space <- struct{}{}:
	default:
	}
	for _, f := range mail {
		f(now)
	}
}

// stop refuses further mail and wakes everybody who waits.
func (m *mailbox) stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		m.stopped = true
		close(m.done)
	}
}
