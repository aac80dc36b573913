package desk

// Transfer passes a call on: the agent who has it stays in it until another has accepted and is seen, so that the caller is never alone.
type Transfer struct {
	Call  string `json:"call"`
	Agent string `json:"agent,omitempty"` // to this one, or
	Queue string `json:"queue,omitempty"` // to whoever of this queue is free first
	Note  string `json:"note,omitempty"`  // for the one who accepts
}

// CancelTransfer keeps the call.
type CancelTransfer struct {
	Call string `json:"call"`
}

type (
	transferBegun struct {
		Call, By           string
		Agent, Queue, Note string `json:",omitempty"`
	}
	transferEnded struct{ Call, Reason string }
)

func (*transferBegun) kind() string { return "call.transfer" }
func (*transferEnded) kind() string { return "call.transfer-ended" }

func (t *Transfer) decide(s *State) (Result, error) {
	id := s.actor.User
	c := s.Calls.get(t.Call)
	if c == nil || c.Party(id) == nil {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	switch {
	case c.Party(id).Role != Agent:
		return Result{}, refuse(Forbidden, "only the agent can transfer the call")
	case c.State != CallConnected:
		return Result{}, refuse(Conflict, "the call is not connected yet")
	case c.Ticket != nil || c.agent() != id:
		return Result{}, refuse(Conflict, "the call is being transferred already")
	case (t.Agent == "") == (t.Queue == ""):
		return Result{}, refuse(Malformed, "a transfer goes to an agent or to a queue")
	case len(t.Note) > MaxNote:
		return Result{}, refuse(Malformed, "a note has at most %d bytes", MaxNote)
	case t.Agent == id:
		return Result{}, refuse(Malformed, "the call is yours already")
	case len(c.Parties) >= MaxParties:
		return Result{}, refuse(Limit, "a call has at most %d parties", MaxParties)
	}
	if t.Agent != "" {
		r := s.Rooms.get(t.Agent)
		if !r.open() || !s.here(t.Agent) {
			return Result{}, refuse(Unreachable, "%s is not there at present", t.Agent)
		}
		if r.State != RoomIdle || r.Closing {
			return Result{}, refuse(Busy, "%s is busy", t.Agent)
		}
		s.emit(&transferBegun{Call: t.Call, By: id, Agent: t.Agent, Note: t.Note})
		s.emit(&offered{Call: t.Call, Agent: t.Agent, Until: s.Now.Add(s.set.Ring)})
		return Result{Call: t.Call}, nil
	}
	q := s.Queues.get(t.Queue)
	switch {
	case q == nil:
		return Result{}, refuse(NotFound, "there is no queue %q", t.Queue)
	case q.Closed:
		return Result{}, refuse(Closed, "queue %q is closed", t.Queue)
	case len(s.Lines.get(q.ID).Calls) >= q.capacity():
		return Result{}, refuse(Full, "queue %q is full", t.Queue)
	}
	s.emit(&transferBegun{Call: t.Call, By: id, Queue: t.Queue, Note: t.Note})
	return Result{Call: t.Call}, nil
}

func (e *transferBegun) apply(s *State) {
	s.Order++
	c := s.Calls.edit(e.Call)
	c.Ticket = &Ticket{Queue: e.Queue, Only: e.Agent, Order: s.Order, Since: s.Now, Transfer: e.By, Note: e.Note}
	if e.Queue != "" {
		s.enter(c)
	}
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeTransfer, Body{Call: c.ID, State: "looking", By: e.By, Queue: e.Queue, User: e.Agent})
	}
}

func (t *CancelTransfer) decide(s *State) (Result, error) {
	c := s.Calls.get(t.Call)
	if c == nil || c.Party(s.actor.User) == nil {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	if c.Ticket == nil || c.Ticket.Transfer != s.actor.User {
		return Result{}, refuse(Conflict, "you are not transferring that call")
	}
	if c.Ticket.Offer != "" {
		s.emit(&offerEnded{Call: c.ID, Agent: c.Ticket.Offer, Reason: "withdrawn"})
	}
	s.emit(&transferEnded{Call: c.ID, Reason: "cancelled"})
	return Result{Call: c.ID}, nil
}

func (e *transferEnded) apply(s *State) {
	c := s.Calls.edit(e.Call)
	s.leave(c)
	c.Ticket = nil
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeTransfer, Body{Call: c.ID, State: "failed", Reason: e.Reason})
	}
}
