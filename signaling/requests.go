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
	ID   json.RawMessage `json:"id,omitempty"`
	Type string          `json:"type"`
}

// maxRequestID is of bytes: more than any number needs that a client counts.
const maxRequestID = 24

// validRequestID reports whether an id is a number. It is sent back as it came.
func validRequestID(id json.RawMessage) bool {
	return len(id) > 0 && len(id) <= maxRequestID && (id[0] == '-' || '0' <= id[0] && id[0] <= '9')
}

// take starts what a message asks for.
func (k *socket) take(b []byte) {
	r, fields, err := parse(b)
	switch {
	case err != nil:
		_ = k.answer(r.ID, nil, err)
		return
	case r.Type == "pong":
		return
	case r.Type == "ping":
		_ = k.write(request{Type: "pong"})
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
		ok, err := k.handle(ctx, fields)
		_ = k.answer(r.ID, ok, err)
	})
}

// parse reads a message: the fields of a request are a command of the desk's, or one of the requests below. The error is a *desk.Error, to be
// answered to the request's ID if it has a valid one.
func parse(b []byte) (r request, fields any, err error) {
	err = json.Unmarshal(b, &r)
	valid := validRequestID(r.ID)
	if !valid {
		r.ID = nil
	}
	switch {
	case err != nil:
		return r, nil, &desk.Error{Code: desk.Malformed, Text: "a message is a JSON object with id and type"}
	case r.Type == "ping" || r.Type == "pong":
		return r, nil, nil
	case !valid:
		return r, nil, &desk.Error{Code: desk.Malformed, Text: "a request has an id, which is a number"}
	case r.Type == "hello":
		return r, nil, &desk.Error{Code: desk.Conflict, Text: "the hello has been said"}
	}
	empty := requests[r.Type]
	if empty == nil {
		return r, nil, &desk.Error{Code: desk.Unknown, Text: fmt.Sprintf("this server knows no request %.40q", r.Type)}
	}
	fields = empty()
	return r, fields, decode(b, fields)
}

// The requests that are no commands of the desk's.
type (
	renewRequest struct {
		Token string `json:"token"`
	}
	sayRequest struct { // a desk.Say, whose ID has another name here: id is the request's
		Call string `json:"call"`
		ID   string `json:"mid"`
		Cmd  string `json:"cmd"`
		Body string `json:"body"`
	}
	reportRequest struct {
		Call string `json:"call"`
		Code int    `json:"code"`
		Text string `json:"text"`
	}
	urlsRequest struct {
		Call string `json:"call"`
	}
	messagesRequest struct {
		Call  string `json:"call"`
		After uint64 `json:"after"`
	}
	roomsRequest  struct{}
	queuesRequest struct{}
	callsRequest  struct{}
)

// requests makes the empty fields of every type.
var requests = map[string]func() any{
	"queue.join":           func() any { return &desk.AskQueue{Call: newCallID()} },
	"call.dial":            func() any { return &desk.AskUser{Call: newCallID()} },
	"call.hangup":          func() any { return &desk.HangUp{} },
	"room.open":            func() any { return &desk.OpenRoom{} },
	"room.close":           func() any { return &desk.CloseRoom{} },
	"call.accept":          func() any { return &desk.Accept{} },
	"call.decline":         func() any { return &desk.Decline{} },
	"room.ready":           func() any { return &desk.FinishWrapUp{} },
	"call.transfer":        func() any { return &desk.Transfer{} },
	"call.transfer-cancel": func() any { return &desk.CancelTransfer{} },
	"call.watch":           func() any { return &desk.Watch{} },
	"call.join":            func() any { return &desk.Join{} },
	"call.leave":           func() any { return &desk.Leave{} },
	"call.remove":          func() any { return &desk.Remove{} },
	"call.end":             func() any { return &desk.End{} },
	"record.consent":       func() any { return &desk.Consent{} },
	"record.start":         func() any { return &desk.StartRecording{} },
	"record.stop":          func() any { return &desk.StopRecording{} },
	"record.snapshot":      func() any { return &desk.Snapshot{} },
	"message.seen":         func() any { return &desk.Seen{} },
	"message.send":         func() any { return &sayRequest{} },
	"message.list":         func() any { return &messagesRequest{} },
	"renew":                func() any { return &renewRequest{} },
	"report":               func() any { return &reportRequest{} },
	"call.urls":            func() any { return &urlsRequest{} },
	"list.rooms":           func() any { return &roomsRequest{} },
	"list.queues":          func() any { return &queuesRequest{} },
	"list.calls":           func() any { return &callsRequest{} },
}

// newCallID is 16 characters that nobody guesses.
func newCallID() string { return strings.ToLower(rand.Text())[:16] }

// handle does what a request asks for.
func (k *socket) handle(ctx context.Context, fields any) (any, error) {
	switch r := fields.(type) {
	case *renewRequest:
		return k.renew(r)
	case *sayRequest:
		return k.do(ctx, &desk.Say{Call: r.Call, ID: r.ID, Cmd: r.Cmd, Body: r.Body})
	case *reportRequest:
		return k.report(ctx, r)
	case *urlsRequest:
		return k.urls(r)
	case *messagesRequest:
		return k.messages(r)
	case *roomsRequest:
		return k.rooms()
	case *queuesRequest:
		return k.queues()
	case *callsRequest:
		return k.list()
	case *desk.AskQueue:
		k.mu.Lock()
		r.Priority = k.who.Priority // not the caller's to say
		r.Skills = append(r.Skills, k.who.Skills...)
		k.mu.Unlock()
		return k.do(ctx, r)
	case desk.Command:
		return k.do(ctx, r)
	}
	panic(fmt.Sprintf("signaling: nothing handles a %T", fields))
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
func (k *socket) renew(r *renewRequest) (any, error) {
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
	k.wake.Reset(0)
	return map[string]any{"expires": who.Expires}, nil
}

// report keeps a code of a party's pusher or player in the log.
func (k *socket) report(ctx context.Context, r *reportRequest) (any, error) {
	const maxText = 200
	if !k.reports.Allow() {
		return nil, &desk.Error{Code: desk.Limit, Text: fmt.Sprintf("at most %d reports a second are kept", reportRate)}
	}
	if len(r.Text) > maxText {
		return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a report's text has at most %d bytes", maxText)}
	}
	if _, err := k.member(r.Call); err != nil {
		return nil, err
	}
	return k.do(ctx, &desk.Audit{Action: "report", Object: r.Call, Detail: strings.TrimSpace(fmt.Sprintf("%d %s", r.Code, r.Text))})
}
