package office

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"duet/signaling/desk"
	"duet/signaling/store"
)

// commit decides over a batch and appends what came of it, again and again until it is the next in the log.
func (o *Office) commit(ctx context.Context, batch []*request) {
	n := len(batch)
	for len(batch) > 0 {
		done, err := o.attempt(ctx, batch[:n])
		if errors.Is(err, store.ErrTooLarge) {
			n = max(1, n/2)
			continue
		}
		batch = batch[done:]
		n = len(batch)
	}
	o.maybeSnapshot()
}

// attempt decides over a batch and appends what came of it. It returns how many of it are answered: none if another server was first. With
// ErrTooLarge it is to be tried with fewer.
func (o *Office) attempt(ctx context.Context, batch []*request) (done int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	answers := make([]answer, 0, len(batch))
	for i, r := range batch {
		if _, notices := o.state.Pending(); notices > maxNotices {
			batch = batch[:i]
			break
		}
		if r.ctx.Err() != nil { // nobody waits for it any more
			answers = append(answers, answer{err: r.ctx.Err()})
			continue
		}
		result, err := o.state.Do(now, r.by, r.c)
		answers = append(answers, answer{result, err})
	}
	o.batch++
	entry := o.state.Entry(o.cfg.Node+"/"+o.life, o.batch, o.head)
	if entry == nil {
		o.state.Rollback()
		if refusal(answers) && o.overtaken(ctx) {
			return 0, nil
		}
		o.reply(batch, answers)
		return len(batch), nil
	}
	data, err := entry.Encode()
	if err != nil { // its fields are ours
		panic("office: an entry can't be written: " + err.Error())
	}
	seq, err := o.append(ctx, data)
	switch {
	case err == nil:
		o.keep(seq, data)
		o.reply(batch, answers)
		return len(batch), nil
	case errors.Is(err, store.ErrTooLarge):
		o.state.Rollback()
		if len(batch) > 1 {
			return 0, err
		}
		o.reply(batch, []answer{{err: &desk.Error{Code: desk.TooLarge, Text: "that is too much at once"}}})
		return 1, nil
	}
	o.state.Rollback()
	ours, err := o.catchUp(ctx, entry)
	switch {
	case err != nil: // the log can't be read either
		o.cfg.Logger.Warn("the log can't be written", "error", err)
		for i := range answers {
			answers[i] = answer{err: &desk.Error{Code: desk.Unavailable, Text: "the server can't keep anything at present: try again in a moment"}}
		}
	case !ours: // another server was first: decided again, by what it has done
		return 0, nil
	}
	o.reply(batch, answers)
	return len(batch), nil
}

func refusal(answers []answer) bool {
	return slices.ContainsFunc(answers, func(a answer) bool { return a.err != nil })
}

// overtaken applies what other servers have appended meanwhile, and reports whether there was something: a refusal by a state that is behind the
// log is no refusal. (What is not refused is appended, and an append tells.)
func (o *Office) overtaken(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTime)
	defer cancel()
	before := o.state.Seq
	last, err := o.cfg.Store.Last(ctx)
	if err == nil {
		err = o.read(ctx, last, func(*desk.Entry) {})
	}
	if err != nil {
		o.cfg.Logger.Warn("the log can't be read", "error", err)
	}
	return o.state.Seq > before
}

// append writes an entry behind those that the state has.
func (o *Office) append(ctx context.Context, data []byte) (uint64, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTime) // what has begun is brought to its end
	defer cancel()
	return o.cfg.Store.Append(ctx, o.state.Seq, data)
}

// catchUp applies what the log has beyond the state, and reports whether our entry, whose answer was lost, is there.
func (o *Office) catchUp(ctx context.Context, entry *desk.Entry) (ours bool, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), appendTime)
	defer cancel()
	for {
		var last uint64
		if last, err = o.cfg.Store.Last(ctx); err == nil {
			err = o.read(ctx, last, func(e *desk.Entry) { ours = ours || e.Node == entry.Node && e.Batch == entry.Batch })
		}
		if err == nil || ctx.Err() != nil {
			return ours, err
		}
		select {
		case <-time.After(retryPause):
		case <-ctx.Done():
			return ours, err
		}
	}
}

// read applies the log up to an entry.
func (o *Office) read(ctx context.Context, last uint64, saw func(*desk.Entry)) error {
	if last <= o.state.Seq {
		return nil
	}
	return o.cfg.Store.Read(ctx, o.state.Seq+1, last, func(e store.Entry) error {
		parsed, err := desk.ParseEntry(e.Data)
		if err != nil {
			return err
		}
		o.take(e, parsed)
		saw(parsed)
		return nil
	})
}

// reply answers a batch, and notes which sockets are open here.
func (o *Office) reply(batch []*request, answers []answer) {
	for i, a := range answers {
		r := batch[i]
		if a.err == nil {
			switch c := r.c.(type) {
			case *desk.Connect:
				o.sockets[c.Conn] = r.by
			case *desk.Disconnect:
				delete(o.sockets, c.Conn)
			}
		}
		if r.reply != nil {
			r.reply <- a
		}
	}
}

// system does something for the server itself.
func (o *Office) system(ctx context.Context, commands ...desk.Command) {
	var batch []*request
	for _, c := range commands {
		batch = append(batch, &request{ctx: ctx, by: desk.System(), c: c, reply: make(chan answer, 1)})
	}
	o.commit(ctx, batch)
}

// tick does what is due.
func (o *Office) tick(ctx context.Context) {
	o.mu.RLock()
	idle := o.state.Idle()
	lives := o.state.NodeLives()
	o.mu.RUnlock()
	var commands []desk.Command
	if lives[o.cfg.Node] != o.life { // another server took this one for gone
		o.returned(ctx)
	}
	for _, gone := range o.peers.silent(lives, o.cfg.Node) {
		commands = append(commands, &desk.NodeDown{ID: gone, Life: lives[gone]})
	}
	if !idle {
		commands = append(commands, &desk.Tick{})
	}
	if len(commands) > 0 {
		o.system(ctx, commands...)
	}
}

// returned takes part again, with the sockets that are open here.
func (o *Office) returned(ctx context.Context) {
	o.system(ctx, &desk.NodeUp{ID: o.cfg.Node, Life: o.life})
	o.mu.RLock()
	var batch []*request
	for conn, by := range o.sockets {
		batch = append(batch, &request{ctx: ctx, by: by, c: &desk.Connect{Conn: conn, Node: o.cfg.Node, Life: o.life}, reply: make(chan answer, 1)})
	}
	o.mu.RUnlock()
	o.commit(ctx, batch)
}

// maybeSnapshot makes one when there is much to be read at the next start.
func (o *Office) maybeSnapshot() {
	o.mu.Lock()
	due := o.state.Seq-o.snapAt >= snapshotEvery
	if due {
		o.snapAt = o.state.Seq
	}
	o.mu.Unlock()
	if due {
		o.snapping.Go(o.snapshot)
	}
}

func (o *Office) snapshot() {
	o.mu.RLock()
	frozen, head, events := o.state.Freeze(), o.head, o.events.newest()
	o.mu.RUnlock()
	state, err := json.Marshal(frozen)
	if err != nil {
		panic("office: the state can't be written: " + err.Error())
	}
	b, err := json.Marshal(snapshot{Head: head, Events: events, State: state})
	if err != nil {
		panic("office: the state can't be written: " + err.Error())
	}
	ctx, cancel := context.WithTimeout(context.Background(), appendTime)
	defer cancel()
	if err := o.cfg.Store.SaveSnapshot(ctx, frozen.Seq, b); err != nil {
		o.cfg.Logger.Warn("a snapshot can't be kept: the next start takes longer", "error", err)
	}
}

// finish keeps a snapshot at the end.
func (o *Office) finish() {
	o.snapping.Wait()
	o.mu.RLock()
	due := o.state.Seq-o.snapAt >= snapshotLeast
	o.mu.RUnlock()
	if due {
		o.snapshot()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, subs := range o.subs {
		for s := range subs {
			s.fail(errStopped)
		}
	}
}
