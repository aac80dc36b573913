package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	outboxPrefix   = "outbox-"
	generationMark = "="
	moveTries      = 10
	fetchSpan      = 20 * time.Second
	fetchBeat      = time.Second            // a request that the server has forgotten is noticed after two of them
	missingTime    = 500 * time.Millisecond // that an outbox may be missing, before it counts as deleted
	doneTime       = 3 * time.Second        // for the server to confirm; it says nothing about an entry that is not out any more
	maxRetryAfter  = 24 * time.Hour
)

// Outbox hands out the log's entries one after the other, the next when the last is done, whichever process asks. Its position is kept on the server
// under its name. Entries come at least once, and in order. The methods of one Outbox are for one goroutine.
type Outbox struct {
	s        *Store
	name     string
	consumer jetstream.Consumer

	mu   sync.Mutex // guards what follows
	held *Delivery
}

// Delivery is an entry that this process has, until it is settled by Done or Retry, or its lease ends. The lease is Config.Lease, and begins anew
// with every Working. Then another process gets the entry; what was settled too late has no effect, or counts for the other.
type Delivery struct {
	Entry Entry
	// Attempt is 1 for the first time that the entry is handed out, as far as the server remembers.
	Attempt int

	o *Outbox
	m jetstream.Msg
}

// Outbox opens the outbox of that name. If there is none it is made, to begin with the entry behind entry number after; else it goes on where it is. Several
// processes may open it: each entry goes to one of them.
func (s *Store) Outbox(ctx context.Context, name string, after uint64) (*Outbox, error) {
	if !validName(name) {
		return nil, fmt.Errorf("store: an outbox %q: 1 to %d letters, digits, _ and -", name, maxName)
	}
	joined, cancel := s.join(ctx)
	defer cancel()
	consumer, err := s.openOutbox(joined, name, after)
	if err != nil {
		return nil, s.fault(ctx, "outbox "+name, err)
	}
	o := &Outbox{s: s, name: name, consumer: consumer}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed != nil {
		return nil, ErrClosed
	}
	s.outboxes[o] = struct{}{}
	return o, nil
}

func (s *Store) openOutbox(ctx context.Context, name string, after uint64) (jetstream.Consumer, error) {
	consumer, err := s.findOutbox(ctx, name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		if err := s.moveOutbox(ctx, name, after+1); err != nil {
			return nil, err
		}
		consumer, err = s.findOutbox(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	if info := consumer.CachedInfo(); info.Config.AckWait != s.cfg.Lease {
		if err := s.moveOutbox(ctx, name, max(info.AckFloor.Stream+1, info.Config.OptStartSeq)); err != nil {
			return nil, err
		}
		if consumer, err = s.findOutbox(ctx, name); err != nil {
			return nil, err
		}
	}
	if s.server == nil {
		return consumer, nil
	}
	s.mu.Lock()
	first := !s.begun[name]
	s.begun[name] = true
	s.mu.Unlock()
	if first { // nobody else can hold an entry: the process that had it is gone, and its lease needs not be waited for
		_, err = s.js.ResetConsumer(ctx, s.cfg.Name+logStream, consumer.CachedInfo().Name)
	}
	return consumer, err
}

// An outbox is a durable consumer, named after it and a generation. To move it, a new generation is made where it is to go on, then the others are
// deleted: a process that dies in between leaves one of them in force, the newest. The server removes a consumer's files some time after it has
// confirmed that, and would remove those of a new one of the same name: so generations begin with the time, and none comes twice.

// generations lists the consumers of an outbox, the newest last.
func (s *Store) generations(ctx context.Context, name string) ([]uint64, error) {
	names := s.log.ConsumerNames(ctx)
	var all []uint64
	for full := range names.Name() {
		of, number, _ := strings.Cut(full, generationMark)
		if generation, err := strconv.ParseUint(number, 10, 64); err == nil && of == outboxPrefix+name {
			all = append(all, generation)
		}
	}
	slices.Sort(all)
	return all, names.Err()
}

func consumerName(name string, generation uint64) string {
	return outboxPrefix + name + generationMark + strconv.FormatUint(generation, 10)
}

// findOutbox returns the outbox's newest consumer, and deletes others. The error is jetstream.ErrConsumerNotFound if there is none.
func (s *Store) findOutbox(ctx context.Context, name string) (jetstream.Consumer, error) {
	all, err := s.generations(ctx, name)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, jetstream.ErrConsumerNotFound
	}
	newest := len(all) - 1
	if err := s.deleteGenerations(ctx, name, all[:newest]); err != nil {
		return nil, err
	}
	return s.log.Consumer(ctx, consumerName(name, all[newest]))
}

// moveOutbox makes the outbox go on with entry number next. It makes one if there is none.
func (s *Store) moveOutbox(ctx context.Context, name string, next uint64) error {
	for range moveTries {
		all, err := s.generations(ctx, name)
		if err != nil {
			return err
		}
		generation := uint64(time.Now().UnixMicro())
		if len(all) > 0 {
			generation = max(generation, all[len(all)-1]+1)
		}
		_, err = s.log.CreateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: consumerName(name, generation), DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next,
			AckPolicy: jetstream.AckExplicitPolicy, AckWait: s.cfg.Lease, MaxAckPending: 1, MaxDeliver: -1,
		})
		if errors.Is(err, jetstream.ErrConsumerExists) || errors.Is(err, jetstream.ErrConsumerNameAlreadyInUse) {
			continue // another process at the same moment
		}
		if err != nil {
			return err
		}
		return s.deleteGenerations(ctx, name, all)
	}
	return errors.New("others are moving it at this moment")
}

func (s *Store) deleteGenerations(ctx context.Context, name string, all []uint64) error {
	for _, generation := range all {
		err := s.log.DeleteConsumer(ctx, consumerName(name, generation))
		if err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return err
		}
	}
	return nil
}

// DeleteOutbox forgets the outbox and its position. Who waits in Next gets ErrNoOutbox. One that is not there is not an error.
func (s *Store) DeleteOutbox(ctx context.Context, name string) error {
	joined, cancel := s.join(ctx)
	defer cancel()
	all, err := s.generations(joined, name)
	if err == nil {
		err = s.deleteGenerations(joined, name, all)
	}
	if err != nil {
		return s.fault(ctx, "outbox "+name, err)
	}
	return nil
}

// ResetOutbox lets the outbox go on behind entry number after, further back for a replay or further on. It is made if there is none. An entry that is
// out at the moment is handed out again if it is behind that.
func (s *Store) ResetOutbox(ctx context.Context, name string, after uint64) error {
	if !validName(name) {
		return fmt.Errorf("store: an outbox %q: 1 to %d letters, digits, _ and -", name, maxName)
	}
	joined, cancel := s.join(ctx)
	defer cancel()
	if err := s.moveOutbox(joined, name, after+1); err != nil {
		return s.fault(ctx, "outbox "+name, err)
	}
	return nil
}

// Next waits for the next entry. The one before has to be settled: until then, or until its lease ends, nothing comes. It returns ctx's error, ErrClosed or
// ErrNoOutbox; everything else it bears with, and tries again.
func (o *Outbox) Next(ctx context.Context) (*Delivery, error) {
	joined, cancel := o.s.join(ctx)
	defer cancel()
	var missing time.Time
	for pause := firstPause; ; pause = min(2*pause, longPause) {
		d, err := o.fetch(joined)
		switch {
		case d != nil:
			return d, nil
		case joined.Err() != nil:
			return nil, o.s.fault(ctx, "outbox", joined.Err())
		case err == nil: // the request is over, and nothing has come
			pause, missing = firstPause, time.Time{}
			continue
		}
		switch found, err := o.look(joined); {
		case found:
			missing = time.Time{}
		case err == nil && missing.IsZero():
			missing = time.Now()
		case err == nil && time.Since(missing) > missingTime:
			return nil, fmt.Errorf("%w: %s", ErrNoOutbox, o.name)
		}
		o.s.wait(joined, pause)
	}
}

// fetch asks for one entry. It returns nil without an error if there is none for a while, or when ctx ends. A request can't be taken back: the server
// may be about to answer it. So what nobody waits for any more is still received, and given back.
func (o *Outbox) fetch(ctx context.Context) (*Delivery, error) {
	o.s.mu.Lock()
	span, end := context.WithTimeout(o.s.whole.ctx, fetchSpan) // the server is told of it, and it has to be some times its heartbeat: it is not ctx's
	o.s.mu.Unlock()
	batch, err := o.consumer.Fetch(1, jetstream.FetchContext(span), jetstream.FetchHeartbeat(fetchBeat))
	if err != nil {
		end()
		return nil, err
	}
	var m jetstream.Msg
	select {
	case m = <-batch.Messages():
		end()
	case <-ctx.Done():
		go giveBackNext(batch, end)
		return nil, nil
	}
	if m == nil {
		err := batch.Error()
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			err = nil
		}
		return nil, err
	}
	meta, err := m.Metadata()
	if err != nil {
		return nil, err
	}
	d := &Delivery{
		Entry:   Entry{Seq: meta.Sequence.Stream, Time: meta.Timestamp.In(time.UTC), Data: m.Data()},
		Attempt: int(meta.NumDelivered), o: o, m: m,
	}
	o.mu.Lock()
	o.held = d
	o.mu.Unlock()
	return d, nil
}

// giveBackNext waits for a request's end, fetchSpan at most, and gives back what comes until then.
func giveBackNext(batch jetstream.MessageBatch, end context.CancelFunc) {
	defer end()
	if m, ok := <-batch.Messages(); ok {
		_ = m.Nak() // else the lease ends by itself
	}
}

// look finds the outbox anew.
func (o *Outbox) look(ctx context.Context) (found bool, err error) {
	consumer, err := o.s.findOutbox(ctx, o.name)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	o.consumer = consumer
	return true, nil
}

// Close gives back what is held, so that another process gets it at once, and ends the use of the outbox. Its position stays.
func (o *Outbox) Close() {
	o.giveBack()
	o.s.mu.Lock()
	defer o.s.mu.Unlock()
	delete(o.s.outboxes, o)
}

func (o *Outbox) giveBack() {
	o.mu.Lock()
	d := o.held
	o.held = nil
	o.mu.Unlock()
	if d != nil {
		_ = d.m.Nak() // else the lease ends by itself
	}
}

// Done tells the server that the entry is done, and returns when it knows. After an error, which takes 3 s
// where the lease was over or the outbox was reset, the entry may come again.
func (d *Delivery) Done(ctx context.Context) error {
	joined, cancel := d.o.s.during(ctx)
	defer cancel()
	joined, end := context.WithTimeout(joined, doneTime)
	defer end()
	if err := d.m.DoubleAck(joined); err != nil {
		return d.o.s.fault(ctx, "outbox "+d.o.name, err)
	}
	d.settled()
	return nil
}

// Retry gives the entry back, to be handed out again after a while, at most a day. The ones behind it wait for it.
func (d *Delivery) Retry(after time.Duration) error {
	var err error
	if after = min(after, maxRetryAfter); after > 0 {
		err = d.m.NakWithDelay(after)
	} else {
		err = d.m.Nak()
	}
	if err != nil {
		return d.o.s.fault(context.Background(), "outbox "+d.o.name, err)
	}
	d.settled()
	return nil
}

// Working makes the lease begin anew.
func (d *Delivery) Working() error {
	if err := d.m.InProgress(); err != nil {
		return d.o.s.fault(context.Background(), "outbox "+d.o.name, err)
	}
	return nil
}

func (d *Delivery) settled() {
	d.o.mu.Lock()
	defer d.o.mu.Unlock()
	if d.o.held == d {
		d.o.held = nil
	}
}
