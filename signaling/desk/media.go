package desk

import (
	"slices"
	"time"
)

// Media is what the relay sees of a party: by the server alone.
type Media struct {
	Call    string
	User    string
	Pushing bool // its push is there, and heard: 1002
	Playing bool // it plays, and is heard
}

type (
	mediaSeen struct {
		Call, User       string
		Pushing, Playing bool `json:",omitempty"`
	}
	callConnected struct{ Call string }
	linkLost      struct{ Call, User string }
	linkResumed   struct{ Call, User string }
)

func (*mediaSeen) kind() string     { return "call.media" }
func (*callConnected) kind() string { return "call.connected" }
func (*linkLost) kind() string      { return "call.link-lost" }
func (*linkResumed) kind() string   { return "call.resumed" }

func (m *Media) decide(s *State) (Result, error) {
	if !s.actor.Has(Admin) {
		return Result{}, refuse(Forbidden, "only the relay tells of media")
	}
	c := s.Calls.get(m.Call)
	if c == nil || c.Party(m.User) == nil {
		return Result{Again: true}, nil
	}
	p := c.Party(m.User)
	if p.Pushing == m.Pushing && p.Playing == m.Playing {
		return Result{Again: true}, nil
	}
	s.emit(&mediaSeen{m.Call, m.User, m.Pushing, m.Playing})
	c = s.Calls.get(m.Call)
	p = c.Party(m.User)
	switch {
	case c.State == CallDialing && m.User == c.Caller && p.Pushing: // step 3: now the request goes out
		if callee := c.Ticket.Only; s.here(callee) && (!s.Rooms.get(callee).open() || s.Rooms.get(callee).State == RoomIdle) {
			s.emit(&offered{Call: c.ID, Agent: callee, Until: s.Now.Add(s.set.DirectRing)})
		} else {
			s.emit(s.ending(c, NoAnswer, ""))
		}
	case c.State == CallSetup && s.flows(c):
		s.emit(&callConnected{c.ID})
	case c.State == CallConnected && !p.Hidden && p.MayPush:
		switch {
		case !p.Pushing && p.Lost.IsZero() && p.Role != Supervisor:
			s.emit(&linkLost{c.ID, m.User})
		case p.Pushing && !p.Lost.IsZero():
			s.emit(&linkResumed{c.ID, m.User})
		}
	}
	if t := s.takenOver(s.Calls.get(m.Call)); t != "" {
		s.emit(&removed{Call: c.ID, User: t, Reason: "transferred", Expires: s.Now.Add(s.set.URLs)})
	}
	return Result{}, nil
}

// flows reports whether caller and agent both push and play.
func (s *State) flows(c *Call) bool {
	n := 0
	for i := range c.Parties {
		if p := &c.Parties[i]; p.Role != Supervisor {
			if !p.Pushing || !p.Playing {
				return false
			}
			n++
		}
	}
	return n >= 2
}

// takenOver is the agent who has passed the call on, once the next one's media flows.
func (s *State) takenOver(c *Call) string {
	if c == nil {
		return ""
	}
	agents := 0
	first := ""
	for i := range c.Parties {
		if p := &c.Parties[i]; p.Role == Agent {
			if agents++; agents == 1 {
				first = p.User
			} else if p.Pushing {
				return first
			}
		}
	}
	return ""
}

func (e *mediaSeen) apply(s *State) {
	c, p := s.editParty(e.Call, e.User)
	came := e.Pushing && !p.Pushed
	p.Pushing, p.Playing, p.Pushed = e.Pushing, e.Playing, p.Pushed || e.Pushing
	if p.Pushing {
		p.Away = time.Time{}
	} else if p.Away.IsZero() {
		p.Away = s.Now
	}
	if !came || p.Hidden {
		return
	}
	for i := range c.Parties { // 1002: now the others may play it
		if other := &c.Parties[i]; other.User != e.User && !c.gated() && (c.State == CallSetup || c.State == CallConnected) {
			s.grantPlay(c, p, other.User)
		}
	}
	if agent := c.agent(); e.User == c.Caller && c.State == CallSetup && agent != "" && !c.gated() && !c.Party(agent).MayPush {
		s.grantPush(c.ID, agent, 5)
	}
}

func (e *callConnected) apply(s *State) {
	c := s.Calls.edit(e.Call)
	c.State, c.Began, c.Due = CallConnected, s.Now, time.Time{}
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeConnected, Body{Call: c.ID})
	}
	s.tellCall(c, NoticeConnected)
}

func (e *linkLost) apply(s *State) {
	c, p := s.editParty(e.Call, e.User)
	p.Lost = s.Now
	s.tellLink(c, p, NoticeLinkLost)
}

func (e *linkResumed) apply(s *State) {
	c, p := s.editParty(e.Call, e.User)
	p.Lost = time.Time{}
	s.tellLink(c, p, NoticeResumed)
}

func (s *State) tellLink(c *Call, p *Party, kind string) {
	for i := range c.Parties {
		s.tell(c.Parties[i].User, kind, Body{Call: c.ID, User: p.User, Name: p.Name})
	}
}

// tellCall tells supervisors what becomes of a call.
func (s *State) tellCall(c *Call, kind string) {
	s.tell(ToSupervisors, kind, Body{Call: c.ID, Kind: c.Kind, Queue: c.Queue, User: c.Caller, Name: c.Name, State: string(c.State), By: c.agent(), Since: timeOf(c.Created)})
}

// HangUp ends a call, by one of its two parties; before anybody has accepted, by the caller.
type HangUp struct {
	Call string `json:"call"`
}

// End ends a call: by a supervisor or a backend.
type End struct {
	Call   string `json:"call"`
	Reason string `json:"reason,omitempty"` // for the log
}

// ended has what the state can't know: how long the URLs are valid.
type ended struct {
	Call    string
	Reason  Reason
	By      string `json:",omitempty"`
	Note    string `json:",omitempty"`
	Expires time.Time
}

func (*ended) kind() string { return "call.ended" }

func (s *State) ending(c *Call, reason Reason, by string) *ended {
	return &ended{Call: c.ID, Reason: reason, By: by, Expires: s.Now.Add(s.set.URLs)}
}

func (h *HangUp) decide(s *State) (Result, error) {
	id := s.actor.User
	c := s.Calls.get(h.Call)
	if c == nil {
		if sum := s.Ended.get(h.Call); sum != nil && slices.Contains(sum.Users, id) {
			return Result{Call: h.Call, Again: true}, nil
		}
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	p := c.Party(id)
	switch {
	case p == nil:
		return Result{}, refuse(NotMember, "you are not in that call")
	case p.Role == Supervisor:
		return (&Leave{Call: h.Call}).decide(s)
	case c.State == CallDialing || c.State == CallLooking:
		s.emit(s.ending(c, Cancelled, id))
	default:
		s.emit(s.ending(c, Hangup, id))
	}
	return Result{Call: h.Call}, nil
}

func (e *End) decide(s *State) (Result, error) {
	if !s.actor.Has(Supervisor) {
		return Result{}, refuse(Forbidden, "only a supervisor may end a call of others")
	}
	if len(e.Reason) > MaxNote {
		return Result{}, refuse(Malformed, "a reason has at most %d bytes", MaxNote)
	}
	c := s.Calls.get(e.Call)
	if c == nil {
		if s.Ended.get(e.Call) != nil {
			return Result{Call: e.Call, Again: true}, nil
		}
		return Result{}, refuse(NotFound, "there is no such call")
	}
	end := s.ending(c, EndedBy, s.actor.User)
	end.Note = e.Reason
	s.emit(end)
	return Result{Call: e.Call}, nil
}

func (e *ended) apply(s *State) {
	c := s.Calls.edit(e.Call)
	s.leave(c)
	c.Epoch++
	s.raise(c.ID, c.Epoch, nil, e.Expires)
	s.Calls.remove(c.ID)
	sum := &Summary{
		ID: c.ID, Kind: c.Kind, Queue: c.Queue, Caller: c.Caller, Name: c.Name, Agents: c.Agents, Created: c.Created, Accepted: c.Accepted, Began: c.Began,
		Ended: s.Now, Reason: e.Reason, By: e.By, Messages: len(c.Messages), Events: c.Events, Recorded: c.Record.Ever, First: c.First, Last: s.Seq + 1,
	}
	if t := c.Ticket; t != nil && t.Offer != "" {
		s.outOfCall(t.Offer, c.ID)
		s.tell(t.Offer, NoticeOfferEnded, Body{Call: c.ID, Reason: "withdrawn"})
		if r := s.Rooms.get(t.Offer); r.open() && r.State == RoomRinging && r.Call == c.ID {
			s.setRoom(t.Offer, RoomIdle, "", time.Time{})
		}
	}
	for i := range c.Parties {
		p := &c.Parties[i]
		sum.Users = append(sum.Users, p.User)
		s.outOfCall(p.User, c.ID)
		s.tell(p.User, NoticeEnded, Body{Call: c.ID, Reason: string(e.Reason), By: e.By, Note: e.Note})
		s.freeRoom(p.User, c)
	}
	s.Ended.put(c.ID, sum)
	s.EndedAt = append(slices.Clip(s.EndedAt), c.ID)
	if len(s.EndedAt) > MaxEnded {
		s.Ended.remove(s.EndedAt[0])
		s.EndedAt = s.EndedAt[1:]
	}
	c.State = CallEnded
	b := Body{Call: c.ID, Kind: c.Kind, Queue: c.Queue, User: c.Caller, Name: c.Name, State: string(CallEnded), Reason: string(e.Reason), By: e.By}
	s.tell(ToSupervisors, NoticeEnded, b)
}
