package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"duet/record"
	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// recordDesk is signaling's side of recordings: it makes orders of what calls are, and takes what the recorder tells into them.
type recordDesk struct {
	office *office.Office
	store  *store.Store
	log    *slog.Logger
	send   func(recordOrders) // must not block for long

	calls  map[string]*orderedCall // run's alone
	status chan recordStatus
}

// orderedCall is a call that is, or was, to be recorded, until the recorder has closed it.
type orderedCall struct {
	order  recordOrder
	events []record.Event
	read   uint64 // entry of the log
	known  uint64 // number of the last event in events
	upto   uint64 // that the recorder has
	total  uint64 // events of the call so far
	shots  int    // snapshots among events
}

const (
	recordEvery  = time.Second // orders are sent at least
	recordQueue  = 4096        // of statuses that wait
	recordSettle = 5 * time.Second
)

func newRecordDesk(o *office.Office, st *store.Store, log *slog.Logger, send func(recordOrders)) *recordDesk {
	return &recordDesk{office: o, store: st, log: log, send: send, calls: make(map[string]*orderedCall), status: make(chan recordStatus, recordQueue)}
}

// note takes what the recorder tells.
func (d *recordDesk) note(s recordStatus) {
	select {
	case d.status <- s:
	default: // it is told again; a head that is lost comes anew in 30 s
	}
}

// run sends orders at every change and every second, until ctx ends.
func (d *recordDesk) run(ctx context.Context) {
	changes, stop := d.office.Changes()
	defer stop()
	tick := time.NewTicker(recordEvery)
	defer tick.Stop()
	for {
		began := time.Now()
		d.send(d.orders(ctx))
		spent := time.Since(began)
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				return
			case s := <-d.status:
				d.took(ctx, s)
			case <-changes:
				waiting = false
			case <-tick.C:
				waiting = false
			}
		}
		select { // half of the time at most is spent on looking
		case <-ctx.Done():
			return
		case <-time.After(max(mediaPause, spent)):
		}
	}
}

// orders are what is to be recorded now.
func (d *recordDesk) orders(ctx context.Context) recordOrders {
	var list recordOrders
	live := make(map[string]bool)
	d.office.View(func(s *desk.State) {
		list.Seq = s.Seq
		for _, c := range s.ToRecord() {
			live[c.ID] = true
			o := d.calls[c.ID]
			if o == nil {
				o = &orderedCall{read: c.First}
				d.calls[c.ID] = o
			}
			o.update(c)
		}
		for id, o := range d.calls {
			if live[id] {
				o.order.End = ""
				continue
			}
			o.order.End = "stopped"
			if sum := s.Summary(id); sum != nil {
				o.order.End, o.total = string(sum.Reason), sum.Events
			} else if c := s.Call(id); c == nil {
				o.order.End = "ended"
			} else {
				o.total = c.Events
			}
		}
	})
	for _, o := range d.calls {
		if o.known < o.total {
			if err := d.read(ctx, o, list.Seq); err != nil && ctx.Err() == nil {
				d.log.Warn("what became of a call can't be read for its recording; it is tried again", "call", o.order.Call, "error", err)
			}
		}
		o.order.Events, o.order.Shots = nil, max(o.order.Shots, o.shots) // the last one may have come just before the end
		for i := range o.events {
			if o.events[i].N > o.upto {
				o.order.Events = o.events[i:]
				break
			}
		}
		list.Orders = append(list.Orders, o.order)
	}
	return list
}

// update takes what a live call is.
func (o *orderedCall) update(c *desk.Call) {
	streams := o.order.Streams
	for i := range c.Parties {
		p := &c.Parties[i]
		if p.Hidden {
			continue
		}
		s := record.Stream{Name: c.Stream(p), User: p.User, Title: p.Name, Role: string(p.Role)}
		known := false
		for _, have := range streams {
			known = known || have.Name == s.Name
		}
		if !known {
			streams = append(streams, s)
		}
	}
	o.order = recordOrder{
		Call: c.ID, Kind: c.Kind, Queue: c.Queue, Policy: c.Record.Policy, Consent: c.Record.Consent, User: c.Caller, Streams: streams, Shots: c.Record.Shots,
	}
	if c.Record.Retain > 0 {
		o.order.Retain = c.Accepted.AddDate(0, 0, c.Record.Retain)
	}
	o.total = c.Events
}

// read brings a call's events up to an entry of the log.
func (d *recordDesk) read(ctx context.Context, o *orderedCall, upto uint64) error {
	ctx, cancel := context.WithTimeout(ctx, recordSettle)
	defer cancel()
	return d.store.Read(ctx, o.read+1, upto, func(e store.Entry) error {
		entry, err := desk.ParseEntry(e.Data)
		if err != nil {
			return err
		}
		for _, p := range entry.Public() {
			if p.Call != o.order.Call || p.N <= o.known {
				continue
			}
			o.known = p.N
			if p.Kind == "record.snapshot" {
				o.shots++
			}
			o.events = append(o.events, eventOf(&p))
		}
		o.read = e.Seq
		return nil
	})
}

// eventOf is what a recording keeps of an event.
func eventOf(p *desk.Public) record.Event {
	e := record.Event{N: p.N, Kind: p.Kind, Wall: p.Time}
	fields, _ := p.Data.(map[string]any)
	if user, ok := fields["user"].(string); ok {
		e.User = user
	}
	if p.Kind == "message" {
		if body, ok := fields["body"].(string); ok && fields["cmd"] == "" {
			e.Text = body
		}
	}
	if p.Kind != "record.head" { // it is in the chain
		if b, err := json.Marshal(p.Data); err == nil {
			e.Data = b
		}
	}
	return e
}

// took takes what the recorder tells into the call.
func (d *recordDesk) took(ctx context.Context, s recordStatus) {
	ctx, cancel := context.WithTimeout(ctx, mediaTimeout)
	defer cancel()
	do := func(c desk.Command) {
		if _, err := d.office.Do(ctx, desk.System(), c); err != nil && ctx.Err() == nil {
			d.log.Warn("what the recorder tells can't be kept; it is tried again", "call", s.Call, "error", err)
		}
	}
	o := d.calls[s.Call]
	if s.Head != nil {
		if b, err := json.Marshal(s.Head); err == nil {
			do(&desk.RecordHead{Call: s.Call, Head: b})
		}
		return
	}
	if o == nil {
		return
	}
	o.upto = max(o.upto, s.Upto)
	switch {
	case s.Closed && o.order.End != "":
		delete(d.calls, s.Call)
	case s.Failed != "":
		do(&desk.RecordReport{Call: s.Call, State: desk.RecordFailed, Reason: s.Failed})
	case o.order.End == "":
		do(&desk.RecordReport{Call: s.Call, State: desk.RecordRecording})
	}
}
