package desk

import (
	"slices"
	"time"
)

// Ticket is a call's search for somebody: a place in a queue, or one user who is asked.
type Ticket struct {
	Queue    string    `json:"queue,omitempty"`
	Only     string    `json:"only,omitempty"` // nobody else
	Priority int       `json:"priority,omitempty"`
	Skills   []string  `json:"skills,omitempty"`
	Order    uint64    `json:"order"` // within a priority, the smaller first
	Since    time.Time `json:"since"`
	Offer    string    `json:"offer,omitempty"` // who is being asked
	Until    time.Time `json:"until,omitzero"`  // for how long
	Refused  []Refusal `json:"refused,omitempty"`
	Transfer string    `json:"transfer,omitempty"` // who passes the call on, and is in it until it is accepted
	Note     string    `json:"note,omitempty"`
}

// Refusal is an offer that came to nothing.
type Refusal struct {
	User string    `json:"user"`
	At   time.Time `json:"at"`
}

// Line is who waits in a queue: by priority, then by order. Who is being offered is still in it.
type Line struct {
	Calls  []string `json:"calls,omitempty"`
	Mean   Duration `json:"mean,omitempty"` // from acceptance to the agent's being free again
	Served int      `json:"served,omitempty"`
}

// AskQueue is the actor's request for a call with an agent of a queue. Who is in line already keeps the place.
type AskQueue struct {
	Call     string   `json:"-"` // a fresh ID: 16 random characters
	Queue    string   `json:"queue"`
	Priority int      `json:"priority,omitempty"` // set by a backend's token only: the socket ignores it
	Skills   []string `json:"skills,omitempty"`
	Note     string   `json:"note,omitempty"`
}

// AskUser is the actor's request for a call with one user: a direct call.
type AskUser struct {
	Call string `json:"-"`
	User string `json:"user"`
	Note string `json:"note,omitempty"`
}

// Accept takes a call that is being offered to the actor.
type Accept struct {
	Call string `json:"call"`
}

// Decline refuses it.
type Decline struct {
	Call string `json:"call"`
}

// The bounds of a priority.
const (
	MinPriority = -10
	MaxPriority = 10
)

type (
	asked struct {
		Call, Queue, Caller string
		Name, Note          string   `json:",omitempty"`
		Priority            int      `json:",omitempty"`
		Skills              []string `json:",omitempty"`
	}
	dialed struct {
		Call, Caller, Callee string
		Name, Note           string `json:",omitempty"`
		Due                  time.Time
	}
	movedQueue struct{ Call, Queue string }
	offered    struct {
		Call, Agent string
		Until       time.Time
	}
	offerEnded struct {
		Call, Agent, Reason string // declined, timeout, withdrawn
		Again               bool   `json:",omitempty"` // may be offered the same again at once
	}
	accepted struct {
		Call, Agent, Name string
		Due               time.Time
		Plan              recordPlan `json:",omitzero"`
	}
)

func (*asked) kind() string      { return "call.asked" }
func (*dialed) kind() string     { return "call.dialed" }
func (*movedQueue) kind() string { return "call.moved" }
func (*offered) kind() string    { return "call.offered" }
func (*offerEnded) kind() string { return "call.offer-ended" }
func (*accepted) kind() string   { return "call.accepted" }

func (c *AskQueue) decide(s *State) (Result, error) {
	id := s.actor.User
	q := s.Queues.get(c.Queue)
	if !s.actor.Has(Caller) {
		return Result{}, refuse(Forbidden, "only a caller can wait in a queue")
	}
	if have := s.asking(id); have != nil {
		if have.Ticket != nil && have.Ticket.Queue == c.Queue || have.Queue == c.Queue {
			return Result{Call: have.ID, Again: true}, nil
		}
		return Result{Call: have.ID}, refuse(Conflict, "you are in a call already (%s): hang up first", have.ID)
	}
	switch {
	case !ValidID(id) || !ValidID(c.Call):
		return Result{}, refuse(Malformed, "that is not a user's ID")
	case q == nil:
		return Result{}, refuse(NotFound, "there is no queue %q", c.Queue)
	case len(c.Note) > MaxNote || len(c.Skills) > MaxSkills || c.Priority < MinPriority || c.Priority > MaxPriority:
		return Result{}, refuse(Malformed, "a note has at most %d bytes, and a priority is from %d to %d", MaxNote, MinPriority, MaxPriority)
	case q.Closed:
		return Result{}, refuse(Closed, "queue %q is closed: try again later", c.Queue)
	case s.Calls.len() >= MaxCalls:
		return Result{}, refuse(Full, "the server has as many calls as it may have: try again later")
	}
	if len(s.Lines.get(q.ID).Calls) >= q.capacity() {
		over := s.Queues.get(q.Overflow)
		if over == nil || over.Closed || len(s.Lines.get(over.ID).Calls) >= over.capacity() {
			return Result{}, refuse(Full, "%d are waiting in queue %q, which is all that it takes: try again later", len(s.Lines.get(q.ID).Calls), q.ID)
		}
		q = over
	}
	s.emit(&asked{Call: c.Call, Queue: q.ID, Caller: id, Name: s.actor.Name, Note: c.Note, Priority: c.Priority, Skills: c.Skills})
	return Result{Call: c.Call}, nil
}

// asking is the call that a user has asked for, nil if there is none.
func (s *State) asking(user string) *Call {
	for _, c := range s.callsOf(user) {
		if c.Caller == user {
			return c
		}
	}
	return nil
}

func (e *asked) apply(s *State) {
	s.Order++
	c := &Call{
		ID: e.Call, Kind: KindQueue, Queue: e.Queue, Caller: e.Caller, Name: e.Name, Note: e.Note, State: CallLooking, Created: s.Now, First: s.Seq,
		Parties: []Party{{N: 1, User: e.Caller, Name: e.Name, Role: Caller, Joined: s.Now}},
		Ticket:  &Ticket{Queue: e.Queue, Priority: e.Priority, Skills: e.Skills, Order: s.Order, Since: s.Now},
	}
	s.Calls.put(c.ID, c)
	s.inCall(e.Caller, c.ID)
	s.enter(c)
	s.tell(e.Caller, NoticeWaiting, Body{Call: c.ID, Kind: c.Kind, Queue: e.Queue, Since: timeOf(s.Now)})
	s.tellCall(c, NoticeWaiting)
}

// enter puts a call into its ticket's line.
func (s *State) enter(c *Call) {
	l := s.Lines.edit(c.Ticket.Queue)
	if l == nil {
		l = &Line{}
		s.Lines.put(c.Ticket.Queue, l)
	}
	i := len(l.Calls)
	for ; i > 0; i-- {
		before := s.Calls.get(l.Calls[i-1]).Ticket
		if before.Priority > c.Ticket.Priority || before.Priority == c.Ticket.Priority && before.Order < c.Ticket.Order {
			break
		}
	}
	if i == len(l.Calls) { // the usual case shares the memory: what is behind the end of the old one nobody reads
		l.Calls = append(l.Calls, c.ID)
	} else {
		l.Calls = slices.Insert(slices.Clone(l.Calls), i, c.ID)
	}
	s.match = true
}

// leave takes a call out of its ticket's line.
func (s *State) leave(c *Call) {
	if c.Ticket == nil || c.Ticket.Queue == "" {
		return
	}
	if l := s.Lines.edit(c.Ticket.Queue); l != nil {
		switch i := slices.Index(l.Calls, c.ID); {
		case i == 0:
			l.Calls = l.Calls[1:]
		case i > 0:
			l.Calls = slices.Delete(slices.Clone(l.Calls), i, i+1)
		}
	}
}

func (c *AskUser) decide(s *State) (Result, error) {
	id := s.actor.User
	if !s.actor.Has(Caller, Agent, Supervisor) {
		return Result{}, refuse(Forbidden, "your role does not make calls")
	}
	if have := s.asking(id); have != nil {
		if have.Kind == KindDirect && have.Ticket != nil && have.Ticket.Only == c.User {
			return Result{Call: have.ID, Again: true}, nil
		}
		return Result{Call: have.ID}, refuse(Conflict, "you are in a call already (%s): hang up first", have.ID)
	}
	r := s.Rooms.get(c.User)
	switch {
	case !ValidID(id) || !ValidID(c.Call) || !ValidID(c.User) || len(c.Note) > MaxNote:
		return Result{}, refuse(Malformed, "a direct call names a user; a note has at most %d bytes", MaxNote)
	case c.User == id:
		return Result{}, refuse(Malformed, "you can't call yourself")
	case !s.here(c.User):
		return Result{}, refuse(Unreachable, "%s is not there at present", c.User)
	case r.open() && r.State != RoomIdle || len(s.callsOf(c.User)) > 0:
		return Result{}, refuse(Busy, "%s is in a call", c.User)
	case s.Calls.len() >= MaxCalls:
		return Result{}, refuse(Full, "the server has as many calls as it may have: try again later")
	}
	s.emit(&dialed{Call: c.Call, Caller: id, Callee: c.User, Name: s.actor.Name, Note: c.Note, Due: s.Now.Add(s.set.Setup)})
	return Result{Call: c.Call}, nil
}

func (e *dialed) apply(s *State) {
	s.Order++
	c := &Call{
		ID: e.Call, Kind: KindDirect, Caller: e.Caller, Name: e.Name, Note: e.Note, State: CallDialing, Created: s.Now, First: s.Seq,
		Due:     e.Due,
		Parties: []Party{{N: 1, User: e.Caller, Name: e.Name, Role: Caller, Joined: s.Now}},
		Ticket:  &Ticket{Only: e.Callee, Order: s.Order, Since: s.Now, Note: e.Note},
	}
	s.Calls.put(c.ID, c)
	s.inCall(e.Caller, c.ID)
	if r := s.Rooms.get(e.Caller); r.open() && r.State == RoomIdle { // an agent who calls somebody is busy
		s.setRoom(e.Caller, RoomBusy, c.ID, time.Time{})
	}
	s.grantPush(c.ID, e.Caller, 1)
	s.tellCall(s.Calls.get(c.ID), NoticeWaiting)
}

// findMatches offers calls to idle rooms, the one that has been idle longest first, until there is nothing to offer.
func (s *State) findMatches() {
	if !s.match {
		return
	}
	s.match = false
	waiting := false
	for _, l := range s.Lines.m {
		waiting = waiting || len(l.Calls) > 0
	}
	if !waiting {
		return
	}
	var idle []*Room
	for _, r := range s.Rooms.m {
		if r.State == RoomIdle && s.here(r.Agent) {
			idle = append(idle, r)
		}
	}
	slices.SortFunc(idle, func(a, b *Room) int {
		if c := a.Since.Compare(b.Since); c != 0 {
			return c
		}
		if a.Agent < b.Agent {
			return -1
		}
		return 1
	})
	for _, r := range idle {
		if c := s.bestFor(r); c != nil {
			q := s.Queues.get(c.Ticket.Queue)
			s.emit(&offered{Call: c.ID, Agent: r.Agent, Until: s.Now.Add(q.Ring.or(s.set.Ring))})
		}
	}
}

// bestFor finds the call that a room should be offered: of all its queues the highest priority, then the longest waiting.
func (s *State) bestFor(r *Room) *Call {
	var best *Call
	for id, l := range s.Lines.m {
		q := s.Queues.get(id)
		if len(l.Calls) == 0 || q == nil || !r.serves(q, nil) {
			continue
		}
		for _, call := range l.Calls {
			c := s.Calls.get(call)
			t := c.Ticket
			if best != nil && (t.Priority < best.Ticket.Priority || t.Priority == best.Ticket.Priority && t.Order > best.Ticket.Order) {
				break
			}
			if t.Offer == "" && t.Transfer != r.Agent && c.Caller != r.Agent && r.serves(nil, t.Skills) && s.here(c.Caller) && !s.refusedLately(t, r.Agent) {
				best = c
				break
			}
		}
	}
	return best
}

func (s *State) refusedLately(t *Ticket, agent string) bool {
	return slices.ContainsFunc(t.Refused, func(r Refusal) bool { return r.User == agent && s.Now.Sub(r.At) < s.set.RetryAfter })
}

func (e *offered) apply(s *State) {
	c := s.Calls.edit(e.Call)
	t := *c.Ticket
	t.Offer, t.Until = e.Agent, e.Until
	c.Ticket = &t
	if c.State == CallDialing {
		c.State, c.Due = CallLooking, time.Time{}
	}
	s.inCall(e.Agent, c.ID)
	if s.Rooms.get(e.Agent).open() {
		s.setRoom(e.Agent, RoomRinging, c.ID, e.Until)
	}
	note := c.Note
	if t.Transfer != "" {
		note = t.Note
	}
	s.tell(e.Agent, NoticeOffered, Body{
		Call: c.ID, Kind: c.Kind, Queue: t.Queue, User: c.Caller, Name: c.Name, Note: note, By: t.Transfer, Transfer: t.Transfer != "",
		Until: timeOf(e.Until), Since: timeOf(t.Since),
	})
	if t.Transfer == "" {
		s.tell(c.Caller, NoticeRinging, Body{Call: c.ID, User: e.Agent, Name: s.nameOf(e.Agent)})
	}
}

func (s *State) nameOf(user string) string {
	if r := s.Rooms.get(user); r != nil && r.Name != "" {
		return r.Name
	}
	if u := s.Users.get(user); u != nil {
		return u.Name
	}
	return ""
}

func (c *Accept) decide(s *State) (Result, error) {
	id := s.actor.User
	call := s.Calls.get(c.Call)
	if call != nil && call.Party(id) != nil && call.Party(id).Role == Agent {
		return Result{Call: c.Call, Again: true}, nil
	}
	if call == nil || call.Ticket == nil || call.Ticket.Offer != id {
		return Result{}, refuse(NotMember, "the call is not offered to you any more")
	}
	e := &accepted{Call: c.Call, Agent: id, Name: s.actor.Name, Due: s.Now.Add(s.set.Setup), Plan: s.plan(call)}
	if e.Plan.Consent {
		e.Due = e.Due.Add(consentTime)
	}
	s.emit(e)
	return Result{Call: c.Call}, nil
}

func (e *accepted) apply(s *State) {
	c := s.Calls.edit(e.Call)
	t := c.Ticket
	s.leave(c)
	c.Ticket, c.Due = nil, e.Due
	if r := s.Rooms.edit(e.Agent); r.open() {
		r.Missed = 0
		s.setRoom(e.Agent, RoomBusy, c.ID, time.Time{})
	}
	c.Agents = append(slices.Clip(c.Agents), e.Agent)
	transfer := t.Transfer != ""
	if !transfer {
		c.State, c.Accepted = CallSetup, s.Now
		c.planned(e.Plan)
	}
	name := e.Name
	if name == "" {
		name = s.nameOf(e.Agent)
	}
	s.addParty(c.ID, Party{User: e.Agent, Name: name, Role: Agent})
	c = s.Calls.get(e.Call)
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeAccepted, Body{
			Call: c.ID, Kind: c.Kind, Queue: c.Queue, User: e.Agent, Name: name, Transfer: transfer, By: c.Caller, Note: c.Note,
		})
	}
	for _, m := range c.Messages { // what was said before
		s.tell(e.Agent, NoticeMessage, Body{Call: c.ID, Message: &m})
	}
	if c.Record.State != RecordOff {
		s.tellRecord(c)
	}
	switch {
	case transfer: // the caller is there and pushes: the new one plays and pushes at once
		s.grantPush(c.ID, e.Agent, 5)
		s.grantPlays(c.ID, e.Agent)
	case !c.gated():
		s.openGate(c.ID)
	}
	s.tellCall(s.Calls.get(c.ID), NoticeAccepted)
}

func (c *Decline) decide(s *State) (Result, error) {
	call := s.Calls.get(c.Call)
	if call == nil || call.Ticket == nil || call.Ticket.Offer != s.actor.User {
		return Result{}, refuse(NotMember, "the call is not offered to you any more")
	}
	s.endOffer(call, "declined")
	return Result{Call: c.Call}, nil
}

// endOffer takes an offer back; where nobody else is to be asked, the search is over.
func (s *State) endOffer(c *Call, reason string) {
	t := c.Ticket
	s.emit(&offerEnded{Call: c.ID, Agent: t.Offer, Reason: reason})
	switch {
	case t.Only == "":
	case t.Transfer != "":
		s.emit(&transferEnded{Call: c.ID, Reason: reason})
	case reason == "declined":
		s.emit(s.ending(c, DeclinedBy, t.Only))
	default:
		s.emit(s.ending(c, NoAnswer, ""))
	}
}

func (e *offerEnded) apply(s *State) {
	c := s.Calls.edit(e.Call)
	t := *c.Ticket
	t.Offer, t.Until = "", time.Time{}
	t.Refused = append(slices.DeleteFunc(slices.Clone(t.Refused), func(r Refusal) bool { return r.User == e.Agent }), Refusal{e.Agent, s.Now})
	c.Ticket = &t
	s.outOfCall(e.Agent, c.ID)
	s.tell(e.Agent, NoticeOfferEnded, Body{Call: c.ID, Reason: e.Reason})
	if r := s.Rooms.edit(e.Agent); r.open() && r.State == RoomRinging && r.Call == c.ID {
		if e.Reason == "timeout" {
			r.Missed++
		}
		s.setRoom(e.Agent, RoomIdle, "", time.Time{})
	}
	s.match = true
}

func (e *movedQueue) apply(s *State) {
	c := s.Calls.edit(e.Call)
	s.leave(c)
	t := *c.Ticket
	t.Queue = e.Queue
	c.Ticket = &t
	s.enter(c)
	s.tell(c.Caller, NoticeMoved, Body{Call: c.ID, Queue: e.Queue})
}
