package main

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"duet/crypto"
	"duet/record"
	"duet/relay"
)

// The recorder lives with the relay. Signaling tells it, again and again, which calls are to be recorded and what has become of them (recordOrders);
// it does what is missing and tells how each stands (recordStatus). So neither has to remember what the other has done.

// recordOrders are all of signaling's orders at a moment.
type recordOrders struct {
	Seq    uint64        `json:"seq"` // of the log: older orders than those that were seen are not followed
	Orders []recordOrder `json:"orders"`
}

// recordOrder is one call's.
type recordOrder struct {
	Call    string          `json:"call"`
	Kind    string          `json:"kind,omitempty"`
	Queue   string          `json:"queue,omitempty"`
	Policy  string          `json:"policy,omitempty"`
	Consent string          `json:"consent,omitempty"`
	User    string          `json:"user,omitempty"` // who consented
	Retain  time.Time       `json:"retain,omitzero"`
	Streams []record.Stream `json:"streams,omitempty"`
	Shots   int             `json:"shots,omitempty"`
	Events  []record.Event  `json:"events,omitempty"` // after those that the last status has
	End     string          `json:"end,omitempty"`    // why it is to end
}

// recordStatus is how one call's recording stands.
type recordStatus struct {
	Call   string       `json:"call"`
	Failed string       `json:"failed,omitempty"`
	Closed bool         `json:"closed,omitempty"` // it is on disk, whole
	Upto   uint64       `json:"upto,omitempty"`   // number of the last event that it has
	Head   *record.Head `json:"head,omitempty"`   // of the chain, for witnesses
}

// keeper follows orders.
type keeper struct {
	recorder *record.Recorder
	relay    *relay.Server
	log      *slog.Logger
	tell     func(recordStatus) // any goroutine's; must not block

	mu    sync.Mutex // guards what follows
	seq   uint64
	calls map[string]*keptCall
	ends  sync.WaitGroup // of recordings that are being ended
}

// keptCall is a recording that was ordered.
type keptCall struct {
	rec     *record.Recording
	pumps   sync.WaitGroup
	stop    context.CancelFunc
	streams map[string]bool
	shots   int
	consent string
	upto    uint64
	told    uint64 // of upto
	toldAt  time.Time
	ending  bool
	failed  string
}

const (
	pumpsAfter = 300 * time.Millisecond // the recorder listens on when a call has ended: what was under way comes
	tellEvery  = 900 * time.Millisecond
)

// follow does what orders ask for.
func (k *keeper) follow(list recordOrders) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if list.Seq < k.seq {
		return
	}
	k.seq = list.Seq
	named := make(map[string]bool, len(list.Orders))
	for i := range list.Orders {
		o := &list.Orders[i]
		named[o.Call] = true
		k.order(o)
	}
	for call, c := range k.calls {
		if !named[call] {
			k.end(call, c, "ended")
		}
	}
}

func (k *keeper) order(o *recordOrder) {
	c := k.calls[o.Call]
	if c == nil {
		if o.End != "" {
			k.tell(recordStatus{Call: o.Call, Closed: true})
			return
		}
		if c = k.begin(o); c == nil {
			return
		}
	}
	if c.failed != "" {
		if o.End != "" {
			delete(k.calls, o.Call)
			k.tell(recordStatus{Call: o.Call, Closed: true})
			return
		}
		k.tell(recordStatus{Call: o.Call, Failed: c.failed})
		return
	}
	for _, s := range o.Streams {
		if !c.streams[s.Name] && !c.ending {
			c.streams[s.Name] = true
			c.rec.AddStream(s)
			k.pump(c, s.Name)
		}
	}
	if o.Consent != "" && o.Consent != c.consent {
		c.consent = o.Consent
		c.rec.Consent(o.User, o.Consent)
	}
	for _, e := range o.Events {
		if e.N > c.upto {
			c.upto = e.N
			c.rec.Log(e)
		}
	}
	for ; c.shots < o.Shots; c.shots++ {
		c.rec.Snapshot()
	}
	if o.End != "" {
		k.end(o.Call, c, o.End)
		return
	}
	if now := time.Now(); c.told != c.upto || now.Sub(c.toldAt) > tellEvery { // again, in case it was not heard
		c.told, c.toldAt = c.upto, now
		k.tell(recordStatus{Call: o.Call, Upto: c.upto})
	}
}

// begin starts a recording; nil if it can't.
func (k *keeper) begin(o *recordOrder) *keptCall {
	rec, err := k.recorder.Start(record.Info{Call: o.Call, Kind: o.Kind, Queue: o.Queue, Policy: o.Policy, Consent: o.Consent, Retain: o.Retain})
	if err != nil {
		k.log.Error("a call can't be recorded", "call", o.Call, "error", err)
		k.tell(recordStatus{Call: o.Call, Failed: err.Error()})
		return nil
	}
	c := &keptCall{rec: rec, streams: make(map[string]bool), upto: rec.Upto(), consent: o.Consent, shots: o.Shots}
	if o.Consent != "" {
		rec.Consent(o.User, o.Consent)
	}
	if k.calls == nil {
		k.calls = make(map[string]*keptCall)
	}
	k.calls[o.Call] = c
	return c
}

// pump brings a stream into a recording.
func (k *keeper) pump(c *keptCall, stream string) {
	ctx, cancel := context.WithCancel(context.Background())
	stop := c.stop
	c.stop = func() {
		cancel()
		if stop != nil {
			stop()
		}
	}
	c.pumps.Go(func() {
		defer cancel()
		for ctx.Err() == nil {
			sub, err := k.relay.Subscribe(ctx, crypto.Token{Action: crypto.ActionPlay, Stream: stream, Party: "recorder"}) // of no call: no floor ends it
			if err != nil {
				return
			}
			for err == nil {
				var d relay.Delivery
				if d, err = sub.Next(ctx); err == nil {
					c.rec.Frame(stream, record.Frame{Message: d.Message, Run: d.Run, Captured: d.Captured})
				}
			}
			_ = sub.Close()
			if errors.Is(err, relay.ErrStopped) {
				return
			}
		}
	})
}

// end closes a recording, in a while; the lock is held.
func (k *keeper) end(call string, c *keptCall, reason string) {
	if c.ending {
		return
	}
	c.ending = true
	upto, well := c.upto, c.failed == ""
	k.ends.Go(func() {
		if well {
			t := time.NewTimer(pumpsAfter)
			<-t.C
		}
		if c.stop != nil {
			c.stop()
		}
		c.pumps.Wait()
		err := c.rec.Close(reason)
		k.mu.Lock()
		delete(k.calls, call)
		k.mu.Unlock()
		s := recordStatus{Call: call, Closed: true, Upto: upto}
		if err != nil {
			s.Failed = err.Error()
		}
		k.tell(s)
	})
}

// close ends all recordings, and waits until they are on disk.
func (k *keeper) close() {
	k.mu.Lock()
	for call, c := range k.calls {
		k.end(call, c, "server stopped")
	}
	k.mu.Unlock()
	k.ends.Wait()
}

// onFail hears of a recording that has ended by itself: the recorder's.
func (k *keeper) onFail(call string, err error) {
	k.mu.Lock()
	c := k.calls[call]
	if c != nil && !c.ending {
		c.failed = err.Error()
		if c.stop != nil {
			c.stop()
		}
	}
	k.mu.Unlock()
	k.tell(recordStatus{Call: call, Failed: err.Error()})
}

func (k *keeper) onHead(call string, h record.Head) { k.tell(recordStatus{Call: call, Head: &h}) }
