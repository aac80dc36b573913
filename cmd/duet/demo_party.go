package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"duet/client"
	"duet/rtmpchunk"
	party "duet/signaling/client"
)

// demoRun is a demonstration while it runs.
type demoRun struct {
	server   string
	rep      *reporter
	doing    string // for the error
	parties  []*demoParty
	rows     []demoRow
	took     time.Duration
	recorded []string // what the check of each recording says
}

type demoRow struct {
	what string
	took time.Duration
}

func (d *demoRun) note(what string, took time.Duration) { d.rows = append(d.rows, demoRow{what, took}) }

// timed is an event and when it came.
type timed struct {
	party.Event
	at time.Time
}

// demoParty is one of the three.
type demoParty struct {
	h      *headless
	c      *party.Client
	events chan timed
	ended  chan error

	mu        sync.Mutex // guards what follows
	sent, got []rtmpchunk.Message
	begun     bool // a key frame was got
	stats     []client.Stats
	whole     chan struct{} // closed when as much was played as the clip has
}

// demoDelay is how long a frame is waited for: every one is compared, also on a machine that has much else to do.
const demoDelay = 3 * time.Second

// maxDemoEvents is more than there are.
const maxDemoEvents = 1000

// join connects a party and lets it follow its events.
func (d *demoRun) join(ctx context.Context, name, role string) (*demoParty, error) {
	o := partyOptions{server: d.server, user: name}
	c, err := o.open(ctx, role)
	if err != nil {
		return nil, err
	}
	p := &demoParty{c: c, events: make(chan timed, maxDemoEvents), ended: make(chan error, 1), whole: make(chan struct{})}
	p.h = &headless{c: c, name: name, maxDelay: demoDelay, tell: p.teller(d.rep), sent: p.keepSent, got: p.keepGot}
	d.parties = append(d.parties, p)
	go p.follow(ctx)
	return p, nil
}

// end lets go of all parties.
func (d *demoRun) end() {
	for _, p := range d.parties {
		p.c.Close()
		p.h.hangMedia()
	}
}

func (p *demoParty) teller(rep *reporter) func(string, any) {
	return func(what string, v any) {
		switch v := v.(type) {
		case client.Event:
			if v.Kind == client.KindState {
				rep.event(p.h.name, v)
			}
		case *party.Event:
			rep.signal(p.h.name, v)
		case playedStats:
			p.mu.Lock()
			p.stats = append(p.stats, v.stats)
			p.mu.Unlock()
		case error:
			rep.signal(p.h.name, &party.Event{Type: "error", Note: what + ": " + oneLine(v.Error())})
		}
	}
}

func (p *demoParty) follow(ctx context.Context) {
	for {
		e, err := p.c.Next(ctx)
		if err != nil {
			p.ended <- err
			return
		}
		at := time.Now()
		p.h.tell("", &e)
		select {
		case p.events <- timed{e, at}:
		default: // nobody waits for so many
		}
		if err := p.h.handle(ctx, &e); err != nil {
			p.ended <- err
			return
		}
	}
}

// until waits for an event.
func (p *demoParty) until(ctx context.Context, is func(*party.Event) bool) (timed, error) {
	for {
		select {
		case e := <-p.events:
			if is(&e.Event) {
				return e, nil
			}
		case err := <-p.ended:
			return timed{}, fmt.Errorf("%s: %w", p.h.name, err)
		case <-ctx.Done():
			return timed{}, ctx.Err()
		}
	}
}

func (p *demoParty) keepSent(m rtmpchunk.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent = append(p.sent, m)
}

func (p *demoParty) keepGot(m rtmpchunk.Message) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info := rtmpchunk.Classify(m)
	p.begun = p.begun || info.Key
	if len(p.got) == len(clipFromKey()) || !p.begun && !info.Record {
		return // who came at once has sound from before the first key frame too
	}
	if p.got = append(p.got, m); len(p.got) == len(clipFromKey()) {
		close(p.whole)
	}
}

// clipFromKey is what a player gets of the clip that came when it had begun: all of it but sound from before the first key frame.
var clipFromKey = sync.OnceValue(func() (list []rtmpchunk.Message) {
	key := false
	for r := rtmpchunk.NewReader(bytes.NewReader(clip)); ; {
		m, err := r.Read()
		if err != nil {
			return list
		}
		info := rtmpchunk.Classify(m)
		if key = key || info.Key; key || info.Record {
			list = append(list, m)
		}
	}
})

// played waits until all of the other's clip was played, and compares it with the clip.
func (p *demoParty) played(ctx context.Context) error {
	select {
	case <-p.whole:
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("%s has played %d of %d messages: %w", p.h.name, len(p.got), len(clipFromKey()), ctx.Err())
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, g := range p.got {
		if m := clipFromKey()[i]; g.Type != m.Type || g.Timestamp != m.Timestamp || !bytes.Equal(g.Payload, m.Payload) {
			return fmt.Errorf("message %d of %d (%d bytes at %d ms), as %s got it, is not what was sent", i+1, len(p.got), len(m.Payload), m.Timestamp, p.h.name)
		}
	}
	return nil
}

// table tells what came of it.
func (d *demoRun) table(w io.Writer) {
	fmt.Fprintln(w)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-42s "+format+"\n", append([]any{name}, args...)...)
	}
	row("result", "%s", "all of it happened; every message of both clips arrived, byte for byte")
	for _, r := range d.rows {
		row(r.what, "%8.1f ms", ms(r.took))
	}
	for _, p := range d.parties[:2] {
		s := p.first()
		row("media delay, at "+p.h.name, "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms", ms(s.Delay.P50), ms(s.Delay.P95), ms(s.Delay.P99), ms(s.Delay.Max))
		row("media, at "+p.h.name, "%d video, %d audio frames; %s of UDP in, %s out", s.VideoFrames, s.AudioFrames, size(s.BytesReceived), size(s.BytesSent))
	}
	for i, r := range d.recorded {
		row(fmt.Sprintf("recording of call %d", i+1), "%s", r)
	}
	row("took", "%.1f s", d.took.Seconds())
}

// first is what the party's first player counted; it has ended.
func (p *demoParty) first() client.Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.stats) == 0 {
		return client.Stats{}
	}
	return p.stats[0]
}

func (d *demoRun) tableJSON() {
	for _, r := range d.rows {
		d.rep.encode(map[string]any{"event": "step", "what": r.what, "ms": ms(r.took)})
	}
	for _, p := range d.parties[:2] {
		r := makeReport("play", d.took, p.first(), nil)
		d.rep.encode(struct {
			Party string `json:"party"`
			report
		}{p.h.name, r})
	}
	for _, r := range d.recorded {
		d.rep.encode(map[string]any{"event": "recording", "is": r})
	}
	d.rep.encode(map[string]any{"event": "result", "ok": true, "seconds": d.took.Seconds()})
}
