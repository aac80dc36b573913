package signaling

import (
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
	all   *Sockets
	conn  *websocket.Conn
	id    string
	limit *rate.Limiter
	calls chan struct{} // a token for each request that is being done

	ctx  context.Context
	end  context.CancelCauseFunc
	done sync.WaitGroup

	sub  *office.Subscription
	news chan *placeView // the newest place

	connected bool // the desk knows of it

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

func newSocket(all *Sockets, conn *websocket.Conn, id string) *socket {
	return &socket{all: all, conn: conn, id: id, limit: rate.NewLimiter(requestRate, requestBurst), calls: make(chan struct{}, maxRequests), news: make(chan *placeView, 1), heard: time.Now()}
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
	if !k.connected {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), leaveTime)
	defer cancel()
	if _, err := k.all.cfg.Office.Do(ctx, k.actor(), &desk.Disconnect{Conn: k.id}); err != nil && server.Err() == nil {
		k.all.cfg.Logger.Warn("that a socket was closed can't be kept", "error", err)
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

// helloRequest is a socket's first message.
type helloRequest struct {
	ID    json.RawMessage `json:"id"`
	Type  string          `json:"type"`
	Token string          `json:"token"`
	After uint64          `json:"after"`
}

type helloAnswer struct {
	Version int         `json:"version"`
	User    string      `json:"user"`
	Name    string      `json:"name,omitempty"`
	Roles   []desk.Role `json:"roles"`
	Seq     uint64      `json:"seq"`
	Resumed bool        `json:"resumed"`
	Expires time.Time   `json:"expires"`
	Ping    string      `json:"ping"`
	State   *stateOf    `json:"state,omitempty"`
}

// hello reads the first message and answers it.
func (k *socket) hello() error {
	late := time.AfterFunc(helloTime, func() { k.end(&ending{closeNoHello, "no hello came"}) })
	kind, b, err := k.conn.Read(context.Background()) // ends with the connection
	late.Stop()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(k.ctx, requestTime)
	defer cancel()
	var h helloRequest
	if kind != websocket.MessageText || json.Unmarshal(b, &h) != nil || h.Type != "hello" {
		return &ending{closeNoHello, "the first message has to be a hello"}
	}
	who, err := k.all.cfg.Auth.Verify(h.Token)
	if err != nil {
		return &ending{closeDenied, "the token is missing, too old, or not valid"}
	}
	k.who = who
	o := k.all.cfg.Office
	_, err = o.Do(ctx, who.Actor, &desk.Connect{Conn: k.id, Node: o.NodeName(), Life: o.Life()})
	var refused *desk.Error
	switch {
	case errors.As(err, &refused) && refused.Code == desk.Disabled:
		return &ending{closeDisabled, "the user is disabled"}
	case errors.As(err, &refused) && refused.Code == desk.Limit:
		return &ending{closeTooMany, "the user has too many sockets"}
	case err != nil:
		return &ending{closeFailed, "try again in a moment"}
	}
	k.connected = true
	answer := helloAnswer{
		Version: protocolVersion, User: who.Actor.User, Name: who.Actor.Name, Roles: who.Actor.Roles, Expires: who.Expires, Ping: pingEvery.String(),
	}
	var state *stateOf
	k.sub, answer.Resumed = o.SubscribeView(who.Actor.User, who.Actor.Has(desk.Supervisor), h.After, func(s *desk.State) {
		state = stateFor(s, who.Actor)
	})
	answer.Seq = k.sub.Seq()
	if !answer.Resumed {
		if answer.State, err = state.withURLs(k.all.cfg.URLs); err != nil {
			k.all.cfg.Logger.Warn("URLs can't be made", "error", err)
		}
	}
	k.all.place.enter(k)
	return k.answer(h.ID, answer, nil)
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
	b, err := json.Marshal(v)
	if err != nil {
		panic("signaling: what the server says can't be written: " + err.Error())
	}
	k.writing.Lock()
	defer k.writing.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	if err := k.conn.Write(ctx, websocket.MessageText, b); err != nil {
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
		if err := k.write(k.all.event(e.Seq, &e.Notice)); err != nil {
			return
		}
		switch e.Notice.Kind {
		case desk.NoticeDisabled:
			k.end(&ending{closeDisabled, "the user is disabled"})
			return
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

// clock pings, and ends a socket that is dead or whose token has expired.
func (k *socket) clock() {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	ping := struct {
		Type string `json:"type"`
	}{"ping"}
	for {
		select {
		case <-k.ctx.Done():
			return
		case now := <-tick.C:
			k.mu.Lock()
			expires, heard, wrote := k.who.Expires, k.heard, k.wrote
			k.mu.Unlock()
			switch {
			case !now.Before(expires):
				k.end(&ending{closeDenied, "the token is too old"})
				return
			case now.Sub(heard) > deadAfter:
				k.end(errors.New("nothing was heard"))
				return
			case now.Sub(wrote) > pingEvery:
				if k.write(ping) != nil {
					return
				}
			}
		}
	}
}
