package signaling

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"duet/signaling/desk"
)

// Rooms, lines, calls, messages, the log.

type roomList struct {
	Rooms []*roomView `json:"rooms"`
}

func getRooms(x *exchange) (any, error) {
	list := roomList{Rooms: []*roomView{}}
	x.cfg.Office.View(func(s *desk.State) {
		for _, r := range s.AllRooms() {
			list.Rooms = append(list.Rooms, viewRoom(r))
		}
	})
	return &list, nil
}

type lineList struct {
	Line []lineView `json:"line"`
}

type lineView struct {
	Call     string    `json:"call"`
	User     string    `json:"user"`
	Name     string    `json:"name,omitempty"`
	Position int       `json:"position"`
	Since    time.Time `json:"since"`
	Priority int       `json:"priority,omitempty"`
	Offered  string    `json:"offered,omitempty"`
	Estimate *int      `json:"estimate,omitempty"` // seconds
}

func getLine(x *exchange) (any, error) {
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	list := lineList{Line: []lineView{}}
	found := false
	x.cfg.Office.View(func(s *desk.State) {
		q, _ := s.Queue(x.id())
		found = q != nil
		for _, p := range s.Places(x.id(), after+1, after+limit) {
			c := s.Call(p.Call)
			v := viewPlace(&p)
			list.Line = append(list.Line, lineView{p.Call, c.Caller, c.Name, p.Position, c.Ticket.Since, c.Ticket.Priority, c.Ticket.Offer, v.Estimate})
		}
	})
	if !found {
		return nil, notFound("queue", x.id())
	}
	return &list, nil
}

type callList struct {
	Live  []*callView     `json:"live,omitempty"`
	Ended []*desk.Summary `json:"ended,omitempty"`
}

func getCalls(x *exchange) (any, error) {
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	var list callList
	state := x.r.URL.Query().Get("state")
	x.cfg.Office.View(func(s *desk.State) {
		switch state {
		case "", "live":
			for _, c := range cut(s.AllCalls(), after, limit) {
				list.Live = append(list.Live, viewCall(c, false, true))
			}
		case "ended":
			list.Ended = cut(s.AllEnded(), after, limit)
		default:
			err = &desk.Error{Code: desk.Malformed, Text: "state is live or ended"}
		}
	})
	return &list, err
}

type oneCall struct {
	Live  *callView     `json:"live,omitempty"`
	Ended *desk.Summary `json:"ended,omitempty"`
}

func getCall(x *exchange) (any, error) {
	var v oneCall
	x.cfg.Office.View(func(s *desk.State) {
		if c := s.Call(x.id()); c != nil {
			v.Live = viewCall(c, false, true)
		}
		v.Ended = s.Summary(x.id())
	})
	if v.Live == nil && v.Ended == nil {
		return nil, notFound("call", x.id())
	}
	return &v, nil
}

type messageList struct {
	Messages []desk.Message `json:"messages"`
}

func getMessages(x *exchange) (any, error) {
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	list := messageList{Messages: []desk.Message{}}
	var live *desk.Call
	var over *desk.Summary
	x.cfg.Office.View(func(s *desk.State) { live, over = s.Call(x.id()), s.Summary(x.id()) })
	switch {
	case live != nil:
		list.Messages = cut(live.MessagesAfter(0), after, limit)
	case over == nil:
		return nil, notFound("call", x.id())
	case over.Messages > 0:
		all, err := x.readMessages(over)
		if err != nil {
			return nil, err
		}
		list.Messages = cut(all, after, limit)
	}
	_, err = x.do(&desk.Audit{Action: "messages", Object: x.id()})
	return &list, err
}

var errEnough = errors.New("enough")

// readMessages finds an ended call's messages in the log.
func (x *exchange) readMessages(over *desk.Summary) (list []desk.Message, err error) {
	if x.cfg.ReadLog == nil {
		return nil, notFound("call", over.ID)
	}
	err = x.cfg.ReadLog(x.ctx, over.First+1, over.Last, func(_ uint64, data []byte) error {
		e, err := desk.ParseEntry(data)
		if err != nil {
			return err
		}
		list = append(list, e.Messages(over.ID)...)
		for i := range list {
			list[i].N = uint64(i + 1)
		}
		if len(list) >= over.Messages {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, &desk.Error{Code: desk.Unavailable, Text: "the log can't be read at present: try again in a moment"}
	}
	return list, nil
}

type endRequest struct {
	Reason string `json:"reason,omitempty"`
}

func postEnd(x *exchange) (any, error) {
	var r endRequest
	if len(x.body) > 0 {
		if err := x.read(&r); err != nil {
			return nil, err
		}
	}
	result, err := x.do(&desk.End{Call: x.id(), Reason: r.Reason})
	return &result, err
}

type urlRequest struct {
	Action string        `json:"action"` // push, play, rtmp-push, rtmp-play or flv
	Stream string        `json:"stream"`
	Party  string        `json:"party,omitempty"`
	TTL    desk.Duration `json:"ttl,omitempty"` // default 24h
}

type urlReply struct {
	URL string `json:"url"`
}

func postURL(x *exchange) (any, error) {
	var r urlRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	if x.cfg.MintURL == nil {
		return nil, &desk.Error{Code: desk.NotFound, Text: "this server makes no URLs beside those of calls"}
	}
	ttl := time.Duration(r.TTL)
	if ttl == 0 {
		ttl = linkTime
	}
	if ttl < 0 || ttl > maxURLTime {
		return nil, &desk.Error{Code: desk.Malformed, Text: "a URL is valid for at most 30 days"}
	}
	if x.ofCall(r.Stream) {
		return nil, &desk.Error{Code: desk.Forbidden, Text: "a call's URLs are for its members alone, who are given them on the socket"}
	}
	text, err := x.cfg.MintURL(r.Action, r.Stream, r.Party, ttl)
	if err != nil {
		return nil, &desk.Error{Code: desk.Malformed, Text: err.Error()}
	}
	_, err = x.do(&desk.Audit{Action: "url", Object: r.Stream, Detail: r.Action})
	return &urlReply{text}, err
}

// ofCall reports whether a stream is a party's in a call that is known.
func (x *exchange) ofCall(stream string) (is bool) {
	id := strings.TrimPrefix(stream, "live/")
	if i := strings.LastIndexByte(id, '.'); i >= 0 {
		id = id[:i]
	}
	x.cfg.Office.View(func(s *desk.State) { is = s.Call(id) != nil || s.Summary(id) != nil })
	return is
}

type auditList struct {
	Events []auditEvent `json:"events"`
	Next   uint64       `json:"next"` // to go on from
}

type auditEvent struct {
	Seq    uint64          `json:"seq"`
	Time   time.Time       `json:"time"`
	Server string          `json:"server"`
	Kind   string          `json:"kind"`
	By     string          `json:"by,omitempty"`
	Data   json.RawMessage `json:"data"`
}

// getAudit reads the log, without what was said and without hashes of secrets.
func getAudit(x *exchange) (any, error) {
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	list := auditList{Events: []auditEvent{}}
	var last uint64
	x.cfg.Office.View(func(s *desk.State) { last = s.Seq })
	from := uint64(after) + 1
	list.Next = from - 1
	if x.cfg.ReadLog == nil || from > last {
		return &list, nil
	}
	err = x.cfg.ReadLog(x.ctx, from, last, func(seq uint64, data []byte) error {
		e, err := desk.ParseEntry(data)
		if err != nil {
			return err
		}
		list.Next = seq
		for _, r := range e.Records {
			b, err := json.Marshal(r.Redacted())
			if err != nil {
				return err
			}
			list.Events = append(list.Events, auditEvent{seq, e.Time, e.Node, r.Kind, r.By, b})
		}
		if len(list.Events) >= limit {
			return errEnough
		}
		return nil
	})
	if err != nil && !errors.Is(err, errEnough) {
		return nil, &desk.Error{Code: desk.Unavailable, Text: "the log can't be read at present: try again in a moment"}
	}
	return &list, nil
}

type meReply struct {
	User  string      `json:"user"`
	Name  string      `json:"name,omitempty"`
	Roles []desk.Role `json:"roles"`
}

func getMe(x *exchange) (any, error) {
	return &meReply{x.actor.User, x.actor.Name, x.actor.Roles}, nil
}

type healthReply struct {
	Status string `json:"status"`
	Seq    uint64 `json:"seq"`
	Dev    bool   `json:"dev,omitempty"`
}

func getHealth(x *exchange) (any, error) {
	v := healthReply{Status: "ok", Dev: x.cfg.Dev != nil && x.cfg.Dev()}
	x.cfg.Office.View(func(s *desk.State) { v.Seq = s.Seq })
	return &v, nil
}

func getOpenAPI(*exchange) (any, error) {
	b, err := OpenAPI()
	if err != nil {
		return nil, fmt.Errorf("signaling: %w", err)
	}
	return json.RawMessage(b), nil
}
