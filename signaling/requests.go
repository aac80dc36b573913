package signaling

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"duet/signaling/desk"
)

// request is what all requests have.
type request struct {
	ID   json.RawMessage `json:"id"`
	Type string          `json:"type"`
}

// take starts what a message asks for.
func (k *socket) take(b []byte) {
	var r request
	if err := json.Unmarshal(b, &r); err != nil {
		_ = k.answer(nil, nil, &desk.Error{Code: desk.Malformed, Text: "a message is a JSON object with id and type"})
		return
	}
	switch r.Type {
	case "pong":
		return
	case "ping":
		_ = k.write(struct {
			Type string `json:"type"`
		}{"pong"})
		return
	}
	select {
	case k.calls <- struct{}{}:
	case <-k.ctx.Done():
		return
	}
	k.done.Go(func() {
		defer func() { <-k.calls }()
		ctx, cancel := context.WithTimeout(k.ctx, requestTime)
		defer cancel()
		ok, err := k.handle(ctx, r.Type, b)
		_ = k.answer(r.ID, ok, err)
	})
}

// commands makes the desk's command of a request.
var commands = map[string]func() desk.Command{
	"queue.join":           func() desk.Command { return &desk.AskQueue{Call: newCallID()} },
	"call.dial":            func() desk.Command { return &desk.AskUser{Call: newCallID()} },
	"call.hangup":          func() desk.Command { return &desk.HangUp{} },
	"room.open":            func() desk.Command { return &desk.OpenRoom{} },
	"room.close":           func() desk.Command { return &desk.CloseRoom{} },
	"call.accept":          func() desk.Command { return &desk.Accept{} },
	"call.decline":         func() desk.Command { return &desk.Decline{} },
	"room.ready":           func() desk.Command { return &desk.FinishWrapUp{} },
	"call.transfer":        func() desk.Command { return &desk.Transfer{} },
	"call.transfer-cancel": func() desk.Command { return &desk.CancelTransfer{} },
	"call.watch":           func() desk.Command { return &desk.Watch{} },
	"call.join":            func() desk.Command { return &desk.Join{} },
	"call.leave":           func() desk.Command { return &desk.Leave{} },
	"call.remove":          func() desk.Command { return &desk.Remove{} },
	"call.end":             func() desk.Command { return &desk.End{} },
	"message.seen":         func() desk.Command { return &desk.Seen{} },
}

// newCallID is 16 characters that nobody guesses.
func newCallID() string { return strings.ToLower(rand.Text())[:16] }

// views answer from the state.
var views = map[string]func(k *socket, b []byte) (any, error){
	"call.urls": (*socket).urls, "message.list": (*socket).messages, "list.rooms": (*socket).rooms, "list.queues": (*socket).queues, "list.calls": (*socket).list,
}

// handle does what a request asks for.
func (k *socket) handle(ctx context.Context, kind string, b []byte) (any, error) {
	if view := views[kind]; view != nil {
		return view(k, b)
	}
	switch kind {
	case "hello":
		return nil, &desk.Error{Code: desk.Conflict, Text: "the hello has been said"}
	case "renew":
		return k.renew(b)
	case "message.send":
		var m struct {
			Call string `json:"call"`
			ID   string `json:"mid"`
			Cmd  string `json:"cmd"`
			Body string `json:"body"`
		}
		if err := decode(b, &m); err != nil {
			return nil, err
		}
		return k.do(ctx, &desk.Say{Call: m.Call, ID: m.ID, Cmd: m.Cmd, Body: m.Body})
	case "report":
		return k.report(ctx, b)
	}
	command := commands[kind]
	if command == nil {
		return nil, &desk.Error{Code: desk.Unknown, Text: fmt.Sprintf("this server knows no request %.40q", kind)}
	}
	c := command()
	if err := decode(b, c); err != nil {
		return nil, err
	}
	if ask, ok := c.(*desk.AskQueue); ok { // not the caller's to say
		k.mu.Lock()
		ask.Priority = k.who.Priority
		ask.Skills = append(ask.Skills, k.who.Skills...)
		k.mu.Unlock()
	}
	return k.do(ctx, c)
}

func (k *socket) do(ctx context.Context, c desk.Command) (any, error) {
	result, err := k.all.cfg.Office.Do(ctx, k.actor(), c)
	if err != nil {
		return nil, err
	}
	return result, nil
}

func decode(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &kind):
		return &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("%s is not of the kind that it should be", kind.Field)}
	case err != nil:
		return &desk.Error{Code: desk.Malformed, Text: "the fields can't be read"}
	}
	return nil
}

// renew takes a newer token of the same user.
func (k *socket) renew(b []byte) (any, error) {
	var r struct {
		Token string `json:"token"`
	}
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	who, err := k.all.cfg.Auth.Verify(r.Token)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if who.Actor.User != k.who.Actor.User {
		return nil, &desk.Error{Code: desk.Denied, Text: "the token is another user's"}
	}
	k.who = who
	return map[string]any{"expires": who.Expires}, nil
}

// report keeps a code of a party's pusher or player in the log.
func (k *socket) report(ctx context.Context, b []byte) (any, error) {
	const maxText = 200
	var r struct {
		Call string `json:"call"`
		Code int    `json:"code"`
		Text string `json:"text"`
	}
	if err := decode(b, &r); err != nil {
		return nil, err
	}
	if len(r.Text) > maxText {
		return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a report's text has at most %d bytes", maxText)}
	}
	if _, err := k.member(r.Call); err != nil {
		return nil, err
	}
	return k.do(ctx, &desk.Audit{Action: "report", Object: r.Call, Detail: strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Text))})
}
