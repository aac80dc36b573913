package desk

import (
	"slices"
	"unicode/utf8"
)

// Say sends a message to the others of a call. It may be repeated with the same ID: it is there once.
type Say struct {
	Call string `json:"call"`
	ID   string `json:"id"`            // the sender's own, unique in the call; at most MaxID bytes
	Cmd  string `json:"cmd,omitempty"` // of a custom message; none: a text
	Body string `json:"body"`
}

// Seen tells how far the actor has got and read a call's messages.
type Seen struct {
	Call      string `json:"call"`
	Delivered uint64 `json:"delivered,omitempty"`
	Read      uint64 `json:"read,omitempty"`
}

type (
	said struct {
		Call, From, ID string
		Cmd            string `json:",omitempty"`
		Body           string
	}
	seen struct {
		Call, User      string
		Delivered, Read uint64
	}
)

func (*said) kind() string { return "message" }
func (*seen) kind() string { return "message.seen" }

func (m *Say) decide(s *State) (Result, error) {
	id := s.actor.User
	c := s.Calls.get(m.Call)
	if c == nil || c.Party(id) == nil || c.Party(id).Hidden {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	switch {
	case m.ID == "" || len(m.ID) > MaxID || len(m.Cmd) > MaxName || !utf8.ValidString(m.Body):
		return Result{}, refuse(Malformed, "a message has an ID of 1 to %d bytes and a body in UTF-8", MaxID)
	case len(m.Body) > MaxMessage:
		return Result{}, refuse(TooLarge, "a message has at most %d bytes, this one has %d", MaxMessage, len(m.Body))
	case m.Body == "" && m.Cmd == "":
		return Result{}, refuse(Malformed, "the message is empty")
	}
	for i := len(c.Messages) - 1; i >= 0; i-- {
		if have := &c.Messages[i]; have.From == id && have.ID == m.ID {
			return Result{Call: m.Call, Message: have.N, Again: true}, nil
		}
	}
	if len(c.Messages) >= MaxMessages || c.Bytes+len(m.Body) > MaxMessageBytes {
		return Result{}, refuse(Limit, "a call has at most %d messages and %d MiB", MaxMessages, MaxMessageBytes>>20)
	}
	s.emit(&said{Call: m.Call, From: id, ID: m.ID, Cmd: m.Cmd, Body: m.Body})
	return Result{Call: m.Call, Message: uint64(len(c.Messages) + 1)}, nil
}

func (e *said) apply(s *State) {
	c := s.Calls.edit(e.Call)
	m := Message{N: uint64(len(c.Messages) + 1), From: e.From, ID: e.ID, Cmd: e.Cmd, Body: e.Body, Time: s.Now}
	c.Messages = append(c.Messages, m)
	c.Bytes += len(m.Body)
	for i := range c.Parties {
		if p := &c.Parties[i]; !p.Hidden { // the sender too: other sockets of the same user show it
			s.tell(p.User, NoticeMessage, Body{Call: c.ID, Message: &m})
		}
	}
}

func (m *Seen) decide(s *State) (Result, error) {
	c := s.Calls.get(m.Call)
	if c == nil || c.Party(s.actor.User) == nil {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	p := c.Party(s.actor.User)
	upto := uint64(len(c.Messages))
	read := max(p.Read, min(m.Read, upto))
	delivered := max(p.Delivered, min(m.Delivered, upto), read)
	if read == p.Read && delivered == p.Delivered || p.Hidden {
		return Result{Call: m.Call, Again: true}, nil
	}
	s.emit(&seen{m.Call, p.User, delivered, read})
	return Result{Call: m.Call}, nil
}

func (e *seen) apply(s *State) {
	c, p := s.editParty(e.Call, e.User)
	delivered, read := e.Delivered > p.Delivered, e.Read > p.Read
	p.Delivered, p.Read = e.Delivered, e.Read
	for i := range c.Parties {
		other := &c.Parties[i]
		if other.User == e.User || other.Hidden {
			continue
		}
		if delivered {
			s.tell(other.User, NoticeDelivered, Body{Call: c.ID, User: e.User, Upto: e.Delivered})
		}
		if read {
			s.tell(other.User, NoticeRead, Body{Call: c.ID, User: e.User, Upto: e.Read})
		}
	}
}

// MessagesAfter are a live call's messages with numbers above after.
func (c *Call) MessagesAfter(after uint64) []Message {
	if after >= uint64(len(c.Messages)) {
		return nil
	}
	return slices.Clip(c.Messages[after:])
}
