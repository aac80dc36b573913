package signaling

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/coder/websocket"

	"duet/signaling/desk"
)

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
	h, err := k.readHello()
	if err != nil {
		return err
	}
	who, err := k.all.cfg.Auth.Verify(h.Token)
	if err != nil {
		return &ending{closeDenied, "the token is missing, too old, or not valid"}
	}
	k.known, k.who = true, who
	if err := k.connect(); err != nil {
		return err
	}
	answer := helloAnswer{
		Version: protocolVersion, User: who.Actor.User, Name: who.Actor.Name, Roles: who.Actor.Roles, Expires: who.Expires, Ping: pingEvery.String(),
	}
	var state *stateOf
	k.sub, answer.Resumed = k.all.cfg.Office.SubscribeView(who.Actor.User, who.Actor.Has(desk.Supervisor), h.After, func(s *desk.State) {
		state = stateFor(s, who.Actor)
	})
	if k.disabled() { // before there was a subscription that would tell
		return &ending{closeDisabled, "the user is disabled"}
	}
	answer.Seq = k.sub.Seq()
	if !answer.Resumed {
		if answer.State, err = state.withURLs(k.all.cfg.URLs); err != nil {
			k.all.cfg.Logger.Warn("URLs can't be made", "error", err)
		}
	}
	k.all.place.enter(k)
	k.conn.SetReadLimit(maxFrame)
	return k.answer(h.ID, answer, nil)
}

// readHello reads the first message, of which little is known: it has to be short, and to come soon.
func (k *socket) readHello() (h helloRequest, err error) {
	if k.conn.Subprotocol() != Subprotocol {
		return h, &ending{websocket.StatusProtocolError, "the subprotocol has to be " + Subprotocol}
	}
	k.conn.SetReadLimit(maxHello)
	late := time.AfterFunc(helloTime, func() { k.end(&ending{closeNoHello, "no hello came"}) })
	defer late.Stop()
	kind, b, err := k.conn.Read(context.Background()) // ends with the connection
	if err != nil {
		return h, err
	}
	if kind != websocket.MessageText || json.Unmarshal(b, &h) != nil || h.Type != "hello" || !validRequestID(h.ID) {
		return h, &ending{closeNoHello, "the first message has to be a hello"}
	}
	return h, nil
}

// connect tells the desk of the socket.
func (k *socket) connect() error {
	ctx, cancel := context.WithTimeout(k.ctx, requestTime)
	defer cancel()
	o := k.all.cfg.Office
	_, err := o.Do(ctx, k.actor(), &desk.Connect{Conn: k.id, Node: o.NodeName(), Life: o.Life()})
	var refused *desk.Error
	if !errors.As(err, &refused) || refused.Code == desk.Unavailable {
		k.connected = true // without an answer it may have been kept all the same
	}
	switch {
	case err == nil:
		return nil
	case refused != nil && refused.Code == desk.Disabled:
		return &ending{closeDisabled, "the user is disabled"}
	case refused != nil && refused.Code == desk.Limit:
		return &ending{closeTooMany, "the user has too many sockets"}
	default:
		return &ending{closeFailed, "try again in a moment"}
	}
}

// disabled reports whether an admin keeps the user out.
func (k *socket) disabled() (yes bool) {
	user := k.actor().User
	k.all.cfg.Office.View(func(s *desk.State) {
		u := s.User(user)
		yes = u != nil && u.Disabled
	})
	return yes
}
