package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// Config says what is dispatched. Store and Office are required.
type Config struct {
	Store     *store.Store
	Office    *office.Office
	Logger    *slog.Logger  // default: discard
	FirstWait time.Duration // after a failure; default FirstWait
}

const (
	// FirstWait is how long a webhook is left alone after a failure, twice as long after each further one up to LongestWait.
	FirstWait = time.Second
	// LongestWait is the longest.
	LongestWait = 5 * time.Minute

	exchangeTime = 10 * time.Second
	maxReply     = 64 << 10
	workingEvery = 5 * time.Second // the lease of an entry is renewed
	complainRate = time.Minute
)

// Dispatcher tells all webhooks.
type Dispatcher struct {
	cfg Config
}

// New returns a dispatcher; Run works.
func New(cfg Config) *Dispatcher {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.FirstWait <= 0 {
		cfg.FirstWait = FirstWait
	}
	return &Dispatcher{cfg}
}

// Run tells webhooks until ctx ends. It follows what webhooks there are.
func (d *Dispatcher) Run(ctx context.Context) {
	changes, stop := d.cfg.Office.Changes()
	defer stop()
	type worker struct {
		hook desk.Hook
		stop context.CancelFunc
	}
	running := make(map[string]worker)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		want := make(map[string]desk.Hook)
		d.cfg.Office.View(func(s *desk.State) {
			for _, h := range s.AllHooks() {
				want[h.ID] = *h
			}
		})
		for id, w := range running {
			h, still := want[id]
			if still && same(&h, &w.hook) {
				continue
			}
			w.stop()
			delete(running, id)
			if !still {
				d.forget(ctx, id)
			}
		}
		for id, h := range want {
			if _, on := running[id]; !on {
				one, cancel := context.WithCancel(ctx)
				running[id] = worker{h, cancel}
				wg.Go(func() { d.serve(one, h) })
			}
		}
		select {
		case <-ctx.Done():
			for _, w := range running {
				w.stop()
			}
			return
		case <-changes:
		}
	}
}

func same(a, b *desk.Hook) bool {
	return a.URL == b.URL && a.Secret == b.Secret && a.Private == b.Private && slices.Equal(a.Kinds, b.Kinds) && a.From == b.From
}

// forget drops the place of a webhook that was deleted.
func (d *Dispatcher) forget(ctx context.Context, id string) {
	if err := d.cfg.Store.DeleteOutbox(ctx, outbox(id)); err != nil && ctx.Err() == nil {
		d.cfg.Logger.Warn("a deleted webhook's place can't be forgotten", "webhook", id, "error", err)
	}
}

// outbox names a webhook's place; its characters are those that the store takes.
func outbox(id string) string {
	h := sha256.Sum256([]byte(id))
	return "hook-" + hex.EncodeToString(h[:8])
}

// Replay tells a webhook everything again from an entry of the log.
func (d *Dispatcher) Replay(ctx context.Context, id string, from uint64) error {
	return d.cfg.Store.ResetOutbox(ctx, outbox(id), from-1)
}

// serve tells one webhook, entry by entry.
func (d *Dispatcher) serve(ctx context.Context, h desk.Hook) {
	p := &poster{hook: h, client: &http.Client{
		Timeout: exchangeTime,
		Transport: &http.Transport{ // no proxy from the environment: it would go around the check of addresses
			DialContext: dialer(h.Private), TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, MaxIdleConns: 1, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	defer p.client.CloseIdleConnections()
	for ctx.Err() == nil {
		box, err := d.cfg.Store.Outbox(ctx, outbox(h.ID), max(h.From, 1)-1)
		if err == nil {
			err = d.drain(ctx, box, p)
			box.Close()
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, store.ErrNoOutbox) { // else it was reset: it begins anew
			d.cfg.Logger.Warn("a webhook's place in the log can't be read; it is tried again", "webhook", h.ID, "error", err)
			wait(ctx, d.cfg.FirstWait)
		}
	}
}

// drain tells entries until something fails.
func (d *Dispatcher) drain(ctx context.Context, box *store.Outbox, p *poster) error {
	for {
		delivery, err := box.Next(ctx)
		if err != nil {
			return err
		}
		entry, err := desk.ParseEntry(delivery.Entry.Data)
		if err != nil {
			return err
		}
		if err := d.tell(ctx, delivery, entry.Public(), p); err != nil {
			return err
		}
		if err := delivery.Done(ctx); err != nil {
			return err
		}
	}
}

// tell posts an entry's events, each until it is taken.
func (d *Dispatcher) tell(ctx context.Context, delivery *store.Delivery, events []desk.Public, p *poster) error {
	release := keep(delivery)
	defer release()
	for i := range events {
		e := &events[i]
		if len(p.hook.Kinds) > 0 && !slices.Contains(p.hook.Kinds, e.Kind) {
			continue
		}
		pause := d.cfg.FirstWait
		for {
			err := p.post(ctx, delivery.Entry.Seq, i, e)
			if err == nil {
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if now := time.Now(); now.Sub(p.complained) > complainRate {
				p.complained = now
				d.cfg.Logger.Warn("a webhook does not take what it is told; it is tried again until it does", "webhook", p.hook.ID, "event", e.Kind, "error", err)
			}
			if !wait(ctx, pause+rand.N(pause/2+1)) { //nolint:gosec // spreads attempts over time
				return ctx.Err()
			}
			pause = min(2*pause, LongestWait)
		}
	}
	return nil
}

// keep holds an entry's lease for as long as its events are told.
func keep(delivery *store.Delivery) (release func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(workingEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				_ = delivery.Working() // the next one counts as well
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}

// wait reports whether all of the time has passed.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// poster posts to one webhook.
type poster struct {
	hook       desk.Hook
	client     *http.Client
	complained time.Time
}

// message is what a webhook is told.
type message struct {
	ID   string    `json:"id"`  // SEQ.INDEX: the same when it is told again
	Seq  uint64    `json:"seq"` // of the entry: grows
	Call string    `json:"call,omitempty"`
	N    uint64    `json:"callSeq,omitempty"` // of the call's events: 1, 2, 3, …
	Type string    `json:"type"`
	Time time.Time `json:"time"`
	Data any       `json:"data"`
}

// Sign is the signature of a message: hex HMAC-SHA-256 under the webhook's secret of "ID.TIMESTAMP.BODY".
func Sign(secret, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // a hash never fails
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// post sends one event once. Anything but 2xx is a failure, a redirect too.
func (p *poster) post(ctx context.Context, seq uint64, index int, e *desk.Public) error {
	ctx, cancel := context.WithTimeout(ctx, exchangeTime)
	defer cancel()
	id := fmt.Sprintf("%d.%d", seq, index)
	body, err := json.Marshal(message{ID: id, Seq: seq, Call: e.Call, N: e.N, Type: e.Kind, Time: e.Time, Data: e.Data})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.hook.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "duet")
	req.Header.Set("Duet-Id", id)
	req.Header.Set("Duet-Timestamp", stamp)
	req.Header.Set("Duet-Signature", "v1="+Sign(p.hook.Secret, id, stamp, body))
	r, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = r.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxReply)) // what it says does not matter
	if r.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", r.StatusCode)
	}
	return nil
}
