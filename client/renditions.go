package client

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

// maxRenditions bounds what a ladder keeps. More than four or five steps nobody sees.
const maxRenditions = 8

// ErrRenditions means a ladder of no renditions, or of too many, or a message for one that there is not.
var ErrRenditions = errors.New("client: no such rendition")

// thinEvery is the time between two words to the pusher's goroutine about frames that are left out.
const thinEvery = time.Second

// Renditions sends one source that was encoded several times, at different bitrates, as one stream: at any moment one rendition of
// the video, and the audio of the first one that has any. It changes at key frames only, and sends the other's metadata
// and configuration before: down at the next key frame once the network takes less than the present rendition has, up when it has
// taken 1.15 times the higher one's bitrate for two seconds. Since little more can be known to fit than what is sent, it also tries
// the next one when nothing has been in the way for four seconds, and less and less often where that fails. Bitrates are measured while messages come. When the lowest is still too
// much it leaves out frames that no other refers to, then the rest of a GOP, and counts them as skipped. Switches are told by 1006,
// and 1005 where the size changes; frames left out by 1101.
//
// All renditions must have the same codec, key frames at the same timestamps, and the same composition times at those; timestamps
// run on. Its methods may be called from any goroutine but not from the Pusher's callbacks, Rendition excepted. Nothing else may
// write to the Pusher.
type Renditions struct {
	p       *Pusher
	present atomic.Int32

	mu     sync.Mutex // guards what follows, and keeps the order of messages
	ladder *ladder
	thinAt time.Time // when 1101 was last asked for
	thin   uint64    // frames left out since
}

// NewRenditions returns the ladder of a Pusher, to which nothing was written. bitrates are those of the video in bit/s, about, from
// the lowest to the highest: they number the renditions. One that is not known is 0: then onMetaData's counts, until it is measured.
func NewRenditions(p *Pusher, bitrates []int64) (*Renditions, error) {
	if len(bitrates) == 0 || len(bitrates) > maxRenditions {
		return nil, fmt.Errorf("%w: a ladder has 1 to %d, not %d", ErrRenditions, maxRenditions, len(bitrates))
	}
	budget := p.cfg.Budget
	if budget <= 0 {
		budget = transport.DefaultBudget
	}
	return &Renditions{p: p, ladder: newLadder(bitrates, budget)}, nil
}

// Write takes the next message of one rendition, captured now. The renditions' messages may come in any order that keeps each one's
// own; what comes up to 200 ms apart is brought together, at a switch. It copies what it keeps, and blocks and fails as Pusher.Write does.
func (r *Renditions) Write(rendition int, m rtmpchunk.Message) error {
	return r.feed(rendition, func(now time.Time) { r.ladder.push(now, r.p.Uplink(), rendition, m) })
}

// End says that a rendition has no more messages. The others go on, from their next key frame if it was the present one.
func (r *Renditions) End(rendition int) error {
	return r.feed(rendition, func(time.Time) { r.ladder.end(rendition) })
}

// Rendition is the number of the one that goes out now.
func (r *Renditions) Rendition() int { return int(r.present.Load()) }

// feed changes the ladder and sends what comes of it.
func (r *Renditions) feed(rendition int, f func(now time.Time)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	l := r.ladder
	if rendition < 0 || rendition >= len(l.rungs) {
		return fmt.Errorf("%w: %d of %d", ErrRenditions, rendition, len(l.rungs))
	}
	now := time.Now()
	f(now)
	r.present.Store(int32(l.cur))
	r.tell(now)
	defer func() {
		clear(l.out)
		l.out = l.out[:0]
	}()
	var failed error
	for _, m := range l.out { // one that is too large does not end the stream
		if err := r.p.Write(m); err != nil && failed == nil {
			failed = err
		}
	}
	return failed
}

// tell has the pusher tell of switches and of frames left out.
func (r *Renditions) tell(now time.Time) {
	l := r.ladder
	for _, c := range l.changes {
		r.p.link.call(func(now time.Time) { r.p.switched(now, &c, len(l.rungs)) })
	}
	l.changes = l.changes[:0]
	r.p.leftOut.Add(l.leftOut)
	r.thin += l.leftOut
	l.leftOut = 0
	if r.thin == 0 || now.Sub(r.thinAt) < thinEvery {
		return
	}
	text := fmt.Sprintf("%d frames left out: rendition %d of %d has %d kbit/s, the network takes %d",
		r.thin, l.cur+1, len(l.rungs), l.cost(l.cur)/bitsPerKbit, l.target/bitsPerKbit)
	r.thin, r.thinAt = 0, now
	r.p.link.call(func(now time.Time) {
		if !r.p.link.isOver {
			r.p.uplinkTooSmall(now, text)
		}
	})
}

// switched tells of another rendition, in the link's goroutine.
func (p *Pusher) switched(now time.Time, c *change, of int) {
	if p.link.isOver {
		return
	}
	p.counts.Switches++
	p.link.emit(now, CodeBitrateAdapted, fmt.Sprintf("video of %d kbit/s after %d: rendition %d of %d; the network takes %d kbit/s",
		c.then/bitsPerKbit, c.before/bitsPerKbit, c.to+1, of, c.target/bitsPerKbit))
	if a, b := c.sizes[0], c.sizes[1]; a != b && b[0] > 0 && b[1] > 0 {
		p.link.emit(now, CodeSizeAdapted, fmt.Sprintf("%dx%d after %dx%d", b[0], b[1], a[0], a[1]))
	}
}
