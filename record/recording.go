package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Limits of a recording that is being written.
const (
	// maxWaiting is how much may wait for a slow disk: at 4 Mbit/s of both parties more than a minute.
	maxWaiting   = 32 << 20
	wakeAt       = 4 << 20 // bytes that do not wait for the next fragment's time
	fragmentTime = time.Second
	headEvery    = 10 * time.Second
	witnessEvery = 30 * time.Second
	maxTexts     = 2_000
)

var (
	// ErrSlow means that the disk has not kept up for so long that what waits for it has no more room.
	ErrSlow = errors.New("record: the disk does not keep up")
	// ErrClosed means that the recording has ended.
	ErrClosed = errors.New("record: the recording has ended")
)

// Event is something that became of a call, or was said in it.
type Event struct {
	N    uint64          `json:"n"` // of the call's: 1, 2, 3, …
	Kind string          `json:"type"`
	Wall time.Time       `json:"wall"`
	User string          `json:"user,omitempty"`
	Text string          `json:"text,omitempty"` // of a text message
	Data json.RawMessage `json:"data,omitempty"`
}

// Recording is one part of a call's recording, being written. Its methods may be called from any goroutine and never wait for the disk, but for Close.
type Recording struct {
	rec  *Recorder
	info Info
	zero time.Time

	mu      sync.Mutex // guards what follows
	queue   []job
	waiting int // bytes
	closed  bool
	failed  error
	wake    chan struct{}
	done    chan struct{}

	// The writer's alone.
	part      *part
	mux       mux
	sources   map[string]*source
	numbers   int
	snapshots int
	lines     bytes.Buffer // of the log
	upto      uint64
	from      time.Duration // of the first line
	texts     []cue
	lastHead  time.Duration
	lastShown time.Duration
	wallOff   time.Duration // wall clock minus monotonic, to see steps
	reason    string
}

// job is something for the writer: one of these is set.
type job struct {
	stream *Stream
	name   string
	frame  *Frame
	event  *Event
	note   *Note
	shoot  bool
}

func (j *job) size() int {
	const small = 256
	if j.frame != nil {
		return len(j.frame.Message.Payload) + small
	}
	if j.event != nil {
		return len(j.event.Data) + len(j.event.Text) + small
	}
	return small
}

func (r *Recording) post(j job) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || r.failed != nil {
		return
	}
	if r.waiting+j.size() > maxWaiting {
		r.failed = ErrSlow
	} else {
		r.waiting += j.size()
		r.queue = append(r.queue, j)
	}
	if r.failed == nil && r.waiting < wakeAt { // a wake-up a frame would cost more than the frame
		return
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// AddStream tells of a party's stream; frames of others are not taken. It may be repeated.
func (r *Recording) AddStream(s Stream) { r.post(job{stream: &s}) }

// Frame takes a message of a stream and keeps it; its payload must not be changed any more.
func (r *Recording) Frame(stream string, f Frame) { r.post(job{name: stream, frame: &f}) }

// Log takes an event of the call. One whose number has been is left out.
func (r *Recording) Log(e Event) { r.post(job{event: &e}) }

// Consent notes what a party has answered.
func (r *Recording) Consent(user, answer string) {
	r.post(job{note: &Note{Text: noteConsent, User: user, Detail: answer}})
}

// Snapshot keeps the newest key frame of every stream as a picture.
func (r *Recording) Snapshot() { r.post(job{shoot: true}) }

// Err is why nothing is written any more; nil while all is well.
func (r *Recording) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Upto is the number of the last event of the call that earlier parts have.
func (r *Recording) Upto() uint64 { return r.info.upto }

// Close ends the recording for a reason and waits until it is on disk.
func (r *Recording) Close(reason string) error {
	r.mu.Lock()
	if !r.closed {
		r.closed, r.reason = true, reason
	}
	select {
	case r.wake <- struct{}{}:
	default:
	}
	r.mu.Unlock()
	<-r.done
	return r.Err()
}

// run writes until Close, or until something fails.
func (r *Recording) run() {
	defer close(r.done)
	tick := time.NewTicker(fragmentTime)
	defer tick.Stop()
	for {
		due := false
		select {
		case <-r.wake:
		case <-tick.C:
			due = true
		}
		r.mu.Lock()
		jobs, closed, err := r.queue, r.closed, r.failed
		r.queue, r.waiting = nil, 0
		r.mu.Unlock()
		for i := range jobs {
			if err == nil || errors.Is(err, ErrSlow) { // what came before it was too much is still written
				err = errors.Join(err, r.take(&jobs[i]))
			}
		}
		if due || closed || err != nil {
			err = errors.Join(err, r.flush(closed || err != nil))
		}
		if closed || err != nil {
			r.end(err)
			return
		}
	}
}

// take does one job.
func (r *Recording) take(j *job) error {
	switch {
	case j.stream != nil:
		if r.sources[j.stream.Name] != nil {
			return nil
		}
		r.numbers++
		s := &source{Stream: *j.stream, number: r.numbers}
		r.sources[s.Name] = s
		return r.note(&Note{Text: noteParty, Stream: s.Name, User: s.User, Name: s.Title, Role: s.Role})
	case j.frame != nil:
		if s := r.sources[j.name]; s != nil {
			return r.frame(s, j.frame)
		}
	case j.event != nil:
		return r.log(j.event)
	case j.note != nil:
		return r.note(j.note)
	case j.shoot:
		for _, s := range r.sources {
			if err := r.snapshot(s); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *Recording) note(n *Note) error { return r.part.say(KindNote, n) }

// sinceZero is the recording's time now.
func (r *Recording) sinceZero() time.Duration { return r.rec.cfg.Now().Sub(r.zero) }

func (r *Recording) log(e *Event) error {
	if e.N != 0 && e.N <= r.upto {
		return nil
	}
	r.upto = max(r.upto, e.N)
	at := r.sinceZero()
	b, err := json.Marshal(struct {
		At int64 `json:"at"` // ms of the recording
		*Event
	}{at.Milliseconds(), e})
	if err != nil {
		return err
	}
	if r.lines.Len() == 0 {
		r.from = at
	}
	r.lines.Write(b)
	r.lines.WriteByte('\n')
	if e.Text != "" && len(r.texts) < maxTexts {
		r.texts = append(r.texts, cue{at, e.User, e.Text})
	}
	return nil
}

// flush brings what has come to disk.
func (r *Recording) flush(all bool) error {
	now := r.sinceZero()
	if err := r.clockStep(); err != nil {
		return err
	}
	if r.mux.fresh {
		region, err := r.mux.region()
		if err != nil {
			return err
		}
		if err := r.part.setInit(region); err != nil {
			return err
		}
	}
	b, from, to, err := r.mux.piece(now, all)
	if err != nil {
		return err
	}
	if b != nil {
		l := r.part.stamp(KindFragment)
		l.From, l.To = from.Milliseconds(), to.Milliseconds()
		if err := r.part.add(mediaFile, b, l); err != nil {
			return err
		}
	}
	if err := r.flushSides(); err != nil {
		return err
	}
	if r.lines.Len() > 0 {
		l := r.part.stamp(KindLog)
		l.From, l.To, l.Upto = r.from.Milliseconds(), now.Milliseconds(), r.upto
		if err := r.part.add(logFile, bytes.Clone(r.lines.Bytes()), l); err != nil {
			return err
		}
		r.lines.Reset()
	}
	shows := now-r.lastShown >= witnessEvery
	var head Head
	if shows || now-r.lastHead >= headEvery {
		if head, err = r.part.head(); err != nil {
			return err
		}
		r.lastHead = now
	}
	if err := r.part.flush(); err != nil {
		return err
	}
	if shows {
		r.lastShown = now
		r.rec.cfg.OnHead(r.info.Call, head)
	}
	return nil
}

func (r *Recording) flushSides() error {
	for _, s := range r.sources {
		if s.side == nil || s.side.out.Len() == 0 {
			continue
		}
		l := r.part.stamp(KindSide)
		l.From, l.To = s.side.from.Milliseconds(), s.side.to.Milliseconds()
		if err := r.part.add(s.side.name, bytes.Clone(s.side.out.Bytes()), l); err != nil {
			return err
		}
		s.side.out.Reset()
		s.side.any = false
	}
	return nil
}

// clockStep notes when somebody has set the server's clock.
func (r *Recording) clockStep() error {
	wall, mono := r.part.now()
	off := time.Duration(wall.UnixNano()) - mono
	step := off - r.wallOff
	if r.wallOff == 0 || step.Abs() <= maxClockStep {
		r.wallOff = off
		return nil
	}
	r.wallOff = off
	return r.note(&Note{Text: noteClockStep, Detail: fmt.Sprintf("the server's clock was set by %v", step.Round(time.Millisecond))})
}

// end writes what comes last, as far as it can be written, and lets go of the files.
func (r *Recording) end(err error) {
	reason := r.reason
	if err != nil {
		reason = "failed: " + err.Error()
	}
	if err == nil || errors.Is(err, ErrSlow) {
		err = errors.Join(err, r.finish(reason))
	} else { // the disk may have room for a few bytes: what was written is then closed; if not, the next start does it
		_ = r.finish(reason)
	}
	err = errors.Join(err, r.part.close())
	r.mu.Lock()
	if r.failed == nil {
		r.failed = err
	}
	early := !r.closed
	r.closed, r.queue = true, nil
	r.mu.Unlock()
	r.rec.gone(r, err, early)
}

func (r *Recording) finish(reason string) error {
	if len(r.mux.tracks) > 0 { // how long it is, for players
		region, err := r.mux.region()
		if err != nil {
			return err
		}
		if err := r.part.setInit(region); err != nil {
			return err
		}
	}
	if len(r.texts) > 0 {
		l := r.part.stamp(KindText)
		l.To = r.sinceZero().Milliseconds()
		if err := r.part.add(textFile, subtitles(r.texts, r.info.names(r.sources)), l); err != nil {
			return err
		}
	}
	head, err := r.part.head()
	if err != nil {
		return err
	}
	if err := r.part.flush(); err != nil {
		return err
	}
	r.rec.cfg.OnHead(r.info.Call, head)
	chain, err := readChain(r.part.fs, r.part.dir, r.part.begin.Part)
	if err != nil {
		return err
	}
	m := manifestOf(&chain.begin, chain.links)
	wall, _ := r.part.now()
	m.Ended, m.Reason = formatWall(wall), reason
	return r.part.finish(m)
}
