package desk

import (
	"slices"
	"time"
)

// RoomState is what an agent's room is doing. The field's three are IDLE, BUSY and CLOSE; Field maps to them.
type RoomState string

// The states.
const (
	RoomClosed  RoomState = "CLOSE"
	RoomIdle    RoomState = "IDLE"
	RoomRinging RoomState = "RINGING"
	RoomBusy    RoomState = "BUSY"
	RoomWrapUp  RoomState = "WRAPUP"
)

// Field is the state in the field's terms: only an idle room can be assigned.
func (r RoomState) Field() RoomState {
	if r == RoomRinging || r == RoomWrapUp {
		return RoomBusy
	}
	return r
}

// Room is an agent's desk. There is one for an agent; at most one call is in it.
type Room struct {
	Agent   string    `json:"agent"`
	Name    string    `json:"name,omitempty"`
	State   RoomState `json:"state"`
	Since   time.Time `json:"since"`            // of the state
	Until   time.Time `json:"until,omitzero"`   // ringing, wrap-up
	Call    string    `json:"call,omitempty"`   // ringing, busy; the last one in wrap-up
	Closing bool      `json:"closing"`          // closes when the call is over
	Queues  []string  `json:"queues,omitempty"` // that it serves; none: all
	Skills  []string  `json:"skills,omitempty"`
	Missed  int       `json:"missed"` // offers in a row that ran out
}

func (r *Room) open() bool { return r != nil && r.State != RoomClosed }

// serves reports whether the room may take calls from a queue that need some skills.
func (r *Room) serves(queue *Queue, skills []string) bool {
	if queue != nil && len(r.Queues) > 0 && !slices.Contains(r.Queues, queue.ID) {
		return false
	}
	need := func(list []string) bool {
		for _, k := range list {
			if !slices.Contains(r.Skills, k) {
				return false
			}
		}
		return true
	}
	return (queue == nil || need(queue.Skills)) && need(skills)
}

// OpenRoom opens the actor's room. Of a user who is set up the queues and skills are the user's own; for others those of the command count.
type OpenRoom struct {
	Queues []string `json:"queues,omitempty"`
	Skills []string `json:"skills,omitempty"`
}

// CloseRoom closes the actor's room, or, by an admin or supervisor, somebody's. A call in it is finished first.
type CloseRoom struct {
	Agent string `json:"agent,omitempty"`
}

// FinishWrapUp ends the time after a call.
type FinishWrapUp struct {
	Call        string `json:"call"` // that it was
	Disposition string `json:"disposition,omitempty"`
	Note        string `json:"note,omitempty"`
}

type (
	roomOpened struct {
		Agent, Name    string
		Queues, Skills []string `json:",omitempty"`
	}
	roomClosing struct{ Agent string } // when the call is over
	roomClosed  struct{ Agent, Reason string }
	roomReady   struct{ Agent string } // wrap-up is over
	disposed    struct{ Agent, Call, Disposition, Note string }
)

func (*roomOpened) kind() string  { return "room.opened" }
func (*roomClosing) kind() string { return "room.closing" }
func (*roomClosed) kind() string  { return "room.closed" }
func (*roomReady) kind() string   { return "room.ready" }
func (*disposed) kind() string    { return "call.disposition" }

func (c *OpenRoom) decide(s *State) (Result, error) {
	id := s.actor.User
	r := s.Rooms.get(id)
	switch {
	case !s.actor.Has(Agent):
		return Result{}, refuse(Forbidden, "only an agent has a room")
	case !ValidID(id):
		return Result{}, refuse(Malformed, "that is not a user's ID")
	case len(c.Queues) > MaxQueues || len(c.Skills) > MaxSkills:
		return Result{}, refuse(Malformed, "a room has at most %d skills", MaxSkills)
	case r.open() && !r.Closing:
		return Result{Call: r.Call, Again: true}, nil
	case r == nil && s.Rooms.len() >= MaxRooms:
		return Result{}, refuse(Limit, "there are %d rooms, which is the limit", MaxRooms)
	}
	e := &roomOpened{Agent: id, Name: s.actor.Name, Queues: c.Queues, Skills: c.Skills}
	if u := s.Users.get(id); u != nil && len(u.Roles) > 0 {
		e.Queues, e.Skills = u.Queues, u.Skills
		if u.Name != "" {
			e.Name = u.Name
		}
	}
	for _, q := range e.Queues {
		if s.Queues.get(q) == nil {
			return Result{}, refuse(NotFound, "there is no queue %q", q)
		}
	}
	s.emit(e)
	return Result{}, nil
}

func (e *roomOpened) apply(s *State) {
	r := s.Rooms.edit(e.Agent)
	if r == nil {
		r = &Room{Agent: e.Agent, State: RoomClosed}
		s.Rooms.put(e.Agent, r)
	}
	r.Name, r.Queues, r.Skills, r.Closing, r.Missed = e.Name, e.Queues, e.Skills, false, 0
	if r.State == RoomClosed {
		s.setRoom(e.Agent, RoomIdle, "", time.Time{})
	} else {
		s.tellRoom(r)
	}
}

func (c *CloseRoom) decide(s *State) (Result, error) {
	id := s.actor.User
	if c.Agent != "" && c.Agent != id {
		if !s.actor.Has(Supervisor) {
			return Result{}, refuse(Forbidden, "only a supervisor may close somebody else's room")
		}
		id = c.Agent
	} else if !s.actor.Has(Agent) {
		return Result{}, refuse(Forbidden, "only an agent has a room")
	}
	r := s.Rooms.get(id)
	if !r.open() || r.Closing {
		return Result{Again: true}, nil
	}
	s.closeRoom(r, "closed")
	return Result{}, nil
}

// closeRoom closes a room now, or when its call is over.
func (s *State) closeRoom(r *Room, reason string) {
	switch r.State {
	case RoomBusy:
		s.emit(&roomClosing{r.Agent})
		return
	case RoomRinging:
		s.emit(&offerEnded{Call: r.Call, Agent: r.Agent, Reason: "withdrawn"})
	case RoomIdle, RoomWrapUp, RoomClosed:
	}
	s.emit(&roomClosed{r.Agent, reason})
}

func (e *roomClosing) apply(s *State) {
	r := s.Rooms.edit(e.Agent)
	r.Closing = true
	s.tellRoom(r)
}

func (e *roomClosed) apply(s *State) {
	s.setRoom(e.Agent, RoomClosed, "", time.Time{})
	s.forget(e.Agent)
}

func (c *FinishWrapUp) decide(s *State) (Result, error) {
	id := s.actor.User
	if !s.actor.Has(Agent) {
		return Result{}, refuse(Forbidden, "only an agent has a room")
	}
	if len(c.Disposition) > MaxName || len(c.Note) > MaxNote {
		return Result{}, refuse(Malformed, "a disposition has at most %d bytes and a note %d", MaxName, MaxNote)
	}
	sum := s.Ended.get(c.Call)
	if sum == nil || !slices.Contains(sum.Agents, id) {
		return Result{}, refuse(NotMember, "there is no ended call of yours with that ID")
	}
	if c.Disposition != "" || c.Note != "" {
		s.emit(&disposed{id, c.Call, c.Disposition, c.Note})
	}
	if r := s.Rooms.get(id); r != nil && r.State == RoomWrapUp && r.Call == c.Call {
		s.endWrapUp(r)
	}
	return Result{Call: c.Call}, nil
}

func (s *State) endWrapUp(r *Room) {
	if r.Closing {
		s.emit(&roomClosed{r.Agent, "closed"})
	} else {
		s.emit(&roomReady{r.Agent})
	}
}

func (e *roomReady) apply(s *State) { s.setRoom(e.Agent, RoomIdle, "", time.Time{}) }

func (e *disposed) apply(s *State) {
	if sum := s.Ended.edit(e.Call); sum != nil {
		sum.Disposition, sum.Note = e.Disposition, e.Note
	}
}

// setRoom gives a room a state and tells of it.
func (s *State) setRoom(agent string, state RoomState, call string, until time.Time) {
	r := s.Rooms.edit(agent)
	if r == nil {
		return
	}
	r.State, r.Call, r.Until, r.Since = state, call, until, s.Now
	if state == RoomClosed {
		r.Closing = false
	}
	if state == RoomIdle {
		s.match = true
	}
	s.tellRoom(r)
}

func (s *State) tellRoom(r *Room) {
	b := Body{User: r.Agent, Name: r.Name, State: string(r.State), Call: r.Call, Since: timeOf(r.Since), Until: timeOf(r.Until)}
	if r.Closing {
		b.Reason = "closing"
	}
	s.tell(r.Agent, NoticeRoom, b)
	s.tell(ToSupervisors, NoticeRoom, b)
}
