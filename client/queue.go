package client

import (
	"context"
	"sync"
)

// Limits of what a Player keeps for its reader. Beyond, its playout holds back, and in the end gives frames up.
const (
	maxUnreadBytes = 8 << 20
	maxUnread      = 1024
)

// frameQueue carries frames from the link's goroutine to readers.
type frameQueue struct {
	wake  func() // tells the link that there is room again
	ready chan struct{}

	mu      sync.Mutex // guards what follows
	list    []Frame
	bytes   int
	err     error // after the frames
	stalled bool  // the link waits for room
}

func newFrameQueue() *frameQueue { return &frameQueue{ready: make(chan struct{}, 1)} }

// full reports whether nothing more may be put; the link is then woken when that changes.
func (q *frameQueue) full() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stalled = q.atLimit()
	return q.stalled
}

func (q *frameQueue) atLimit() bool { return q.bytes >= maxUnreadBytes || len(q.list) >= maxUnread }

func (q *frameQueue) put(f Frame) {
	q.mu.Lock()
	q.list = append(q.list, f)
	q.bytes += len(f.Message.Payload)
	q.mu.Unlock()
	q.signal()
}

// get waits for the next frame.
func (q *frameQueue) get(ctx context.Context) (Frame, error) {
	for {
		q.mu.Lock()
		if len(q.list) > 0 {
			f := q.list[0]
			q.list[0] = Frame{}
			q.list = q.list[1:]
			q.bytes -= len(f.Message.Payload)
			wake := q.stalled && !q.atLimit()
			q.stalled = q.stalled && !wake
			more := len(q.list) > 0 || q.err != nil
			q.mu.Unlock()
			if more { // for other readers
				q.signal()
			}
			if wake {
				q.wake()
			}
			return f, nil
		}
		err := q.err
		q.mu.Unlock()
		if err != nil {
			q.signal()
			return Frame{}, err
		}
		select {
		case <-q.ready:
		case <-ctx.Done():
			return Frame{}, ctx.Err()
		}
	}
}

// end makes readers fail with err after the frames; the first reason counts.
func (q *frameQueue) end(err error) {
	q.mu.Lock()
	if q.err == nil {
		q.err = err
	}
	q.mu.Unlock()
	q.signal()
}

func (q *frameQueue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}
