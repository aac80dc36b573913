package signaling

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/coder/websocket"
	"golang.org/x/time/rate"

	"duet/signaling/desk"
	"duet/signaling/office"
)

// socket is one party's. Goroutines serve it: one reads and starts requests, one hands out events, one places, one looks
// after time.
type socket struct {
	all     *Sockets
	conn    *websocket.Conn
	id      string
	from    string // the client's address, as far as it is limited by it
	limit   *rate.Limiter
	reports *rate.Limiter
	calls   chan struct{} // a token for each request that is being done
	wake    *time.Timer   // of clock
	slow    time.Duration // for one write

	ctx  context.Context
	end  context.CancelCauseFunc
	done sync.WaitGroup

	sub  *office.Subscription
	news chan *placeView // the newest place

	known     bool // the token was good
	connected bool // the desk knows of it, or may do so

	mu    sync.Mutex // guards what follows
	who   Identity
	heard time.Time
	wrote time.Time

	writing sync.Mutex // one message at a time
}

// ending is why a socket is closed.
type ending struct {
	code websocket.StatusCode
	text string
}

func (e *ending) Error() string { return e.text }

func newSocket(all *Sockets, conn *websocket.Conn, id, from string) *socket {
	return &socket{
		all: all, conn: conn, id: id, from: from, limit: rate.NewLimiter(requestRate, requestBurst), reports: rate.NewLimiter(reportRate, reportRate),
		calls: make(chan struct{}, maxRequests), wake: time.NewTimer(0), news: make(chan *placeView, 1), heard: time.Now(),
		slow: all.writeTime,
	}
}

// serve speaks with the party until one side ends it.
func (k *socket) serve(server context.Context) {
	k.ctx, k.end = context.WithCancelCause(server)
	closed := make(chan struct{})
	context.AfterFunc(k.ctx, func() {
		k.close(context.Cause(k.ctx))
		close(closed)
	})
	if err := k.hello(); err != nil {
		if !k.known {
			k.all.strangers.allow(k.from)
		}
		k.end(err)
	} else {
		k.all.place.now(k)
		k.done.Go(k.tell)
		k.done.Go(k.tellPlace)
		k.done.Go(k.clock)
		k.read()
	}
	<-closed
	k.done.Wait()
	if k.sub != nil {
		k.sub.Close()
		k.all.place.leave(k)
	}
	if k.connected {
		k.leave(server)
	}
}

// leave tells the desk that the socket is closed. Until that is kept the user counts as there, so it is tried until it is or the server ends,
// which closes all of its sockets for the desk.
func (k *socket) leave(server context.Context) {
	for pause := leavePause; ; pause = min(2*pause, leaveTime) {
		ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
		_, err := k.all.cfg.Office.Do(ctx, k.actor(), &desk.Disconnect{Conn: k.id})
		cancel()
		var refused *desk.Error
		switch {
		case err == nil || server.Err() != nil:
			return
		case errors.As(err, &refused) && refused.Code != desk.Unavailable:
			k.all.cfg.Logger.Warn("that a socket was closed can't be kept", "error", err)
			return
		}
		select {
		case <-time.After(pause):
		case <-server.Done():
		}
	}
}

// close ends the connection, with a reason if the server has one. What is being read or written ends with it.
func (k *socket) close(err error) {
	var why *ending
	switch {
	case errors.As(err, &why):
	case errors.Is(err, errRestart):
		why = &ending{closeRestart, "the server restarts"}
	default:
		_ = k.conn.CloseNow()
		return
	}
	_ = k.conn.Close(why.code, why.text)
}

func (k *socket) actor() desk.Actor {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.who.Actor
}

// read takes requests.
func (k *socket) read() {
	for {
		kind, b, err := k.conn.Read(context.Background())
		if err != nil {
			k.end(err)
			return
		}
		k.mu.Lock()
		k.heard = time.Now()
		k.mu.Unlock()
		if !k.limit.Allow() {
			k.end(&ending{closeTooFast, "too many requests"})
			return
		}
		if kind != websocket.MessageText {
			k.end(&ending{websocket.StatusUnsupportedData, "messages are JSON text"})
			return
		}
		k.take(b)
	}
}

// write sends one message.
func (k *socket) write(v any) error {
	var text bytes.Buffer
	e := json.NewEncoder(&text)
	e.SetEscapeHTML(false) // which makes six bytes of one, for the sake of pages that it is never written into
	if err := e.Encode(v); err != nil {
		panic("signaling: what the server says can't be written: " + err.Error())
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), k.slow)
	defer cancel()
	if err := k.conn.Write(ctx, websocket.MessageText, bytes.TrimSuffix(text.Bytes(), []byte("\n"))); err != nil {
		k.end(err)
		return err
	}
	k.mu.Lock()
	k.wrote = time.Now()
	k.mu.Unlock()
	return nil
}

// reply is an answer to a request.
type reply struct {
	Reply json.RawMessage `json:"reply"`
	OK    any             `json:"ok,omitempty"`
	Error *problem        `json:"error,omitempty"`
}

func (k *socket) answer(id json.RawMessage, ok any, err error) error {
	if len(id) == 0 {
		id = json.RawMessage("null")
	}
	if err != nil {
		return k.write(reply{Reply: id, Error: problemOf(err)})
	}
	return k.write(reply{Reply: id, OK: ok})
}

// tell hands out events.
func (k *socket) tell() {
	for {
		e, err := k.sub.Next(k.ctx)
		if err != nil {
			k.end(&ending{closeRestart, "come again"}) // too slow, or the server goes down
			return
		}
		if e.Notice.To == desk.ToSupervisors && !k.actor().Has(desk.Supervisor) {
			continue // a renewed token has taken the role away
		}
		if err := k.write(k.all.event(e.Seq, &e.Notice)); err != nil {
			return
		}
		switch e.Notice.Kind {
		case desk.NoticeDisabled:
			if k.disabled() { // else it is over, and was told because the client had been away
				k.end(&ending{closeDisabled, "the user is disabled"})
				return
			}
		case desk.NoticeAccepted:
			k.all.place.forget(k)
		case desk.NoticeTransfer:
			if e.Notice.Body.State != "looking" {
				k.all.place.forget(k)
			} else {
				k.all.place.now(k) // in line again
			}
		case desk.NoticeWaiting, desk.NoticeMoved:
			k.all.place.now(k)
		}
	}
}

// event is a notice as it is sent.
type event struct {
	Seq  uint64 `json:"seq,omitempty"`
	Type string `json:"type"`
	desk.Body
	URL string `json:"url,omitempty"`
}

// event makes the URL that goes with a notice.
func (s *Sockets) event(seq uint64, n *desk.Notice) *event {
	e := &event{Seq: seq, Type: n.Kind, Body: n.Body}
	if n.Grant != nil {
		var err error
		if e.URL, err = s.cfg.URLs(*n.Grant); err != nil {
			s.cfg.Logger.Warn("a URL can't be made; the client has to ask again", "call", n.Grant.Call, "error", err)
		}
	}
	return e
}

// clock pings, and ends a socket that is dead or whose token has expired. It sleeps until something may be due: a thousand idle sockets are to
// cost nothing.
func (k *socket) clock() {
	defer k.wake.Stop()
	for {
		select {
		case <-k.ctx.Done():
			return
		case <-k.wake.C:
		}
		k.mu.Lock()
		expires, dead, due := k.who.Expires, k.heard.Add(deadAfter), k.wrote.Add(pingEvery)
		k.mu.Unlock()
		now := time.Now()
		switch {
		case !now.Before(expires):
			k.end(&ending{closeDenied, "the token is too old"})
			return
		case !now.Before(dead):
			k.end(errors.New("nothing was heard"))
			return
		case !now.Before(due):
			if k.write(request{Type: "ping"}) != nil {
				return
			}
			due = now.Add(pingEvery)
		}
		for _, t := range []time.Time{expires, dead} {
			if t.Before(due) {
				due = t
			}
		}
		k.wake.Reset(time.Until(due))
	}
}
