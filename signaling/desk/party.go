package desk

import (
	"slices"
	"time"
)

// Watch lets the actor, a supervisor, see and hear a call without being seen.
type Watch struct {
	Call string `json:"call"`
}

// Join makes the actor, a supervisor, a party that all see.
type Join struct {
	Call string `json:"call"`
}

// Leave takes the actor out of a call that goes on without.
type Leave struct {
	Call string `json:"call"`
}

// Remove takes somebody else out of a call: by a supervisor, or by the agent who has the call.
type Remove struct {
	Call string `json:"call"`
	User string `json:"user"`
}

type (
	joined struct {
		Call, User, Name string
		Hidden           bool `json:",omitempty"`
	}
	removed struct {
		Call, User, Reason string
		Expires            time.Time
	}
)

func (*joined) kind() string  { return "call.joined" }
func (*removed) kind() string { return "call.left" }

func (c *Watch) decide(s *State) (Result, error) { return s.enterCall(c.Call, true) }
func (c *Join) decide(s *State) (Result, error)  { return s.enterCall(c.Call, false) }

func (s *State) enterCall(id string, hidden bool) (Result, error) {
	if !s.actor.Has(Supervisor) {
		return Result{}, refuse(Forbidden, "only a supervisor may watch or join a call")
	}
	c := s.Calls.get(id)
	switch {
	case c == nil:
		return Result{}, refuse(NotFound, "there is no such call at present")
	case c.State != CallSetup && c.State != CallConnected:
		return Result{}, refuse(Conflict, "nobody has accepted the call yet")
	case c.Party(s.actor.User) != nil && (c.Party(s.actor.User).Hidden == hidden || hidden):
		return Result{Call: id, Again: true}, nil
	case len(c.Parties) >= MaxParties:
		return Result{}, refuse(Limit, "a call has at most %d parties", MaxParties)
	}
	s.emit(&joined{Call: id, User: s.actor.User, Name: s.actor.Name, Hidden: hidden})
	return Result{Call: id}, nil
}

func (e *joined) apply(s *State) {
	if _, p := s.editParty(e.Call, e.User); p != nil { // from watching to joining
		p.Hidden = false
	} else {
		s.addParty(e.Call, Party{User: e.User, Name: e.Name, Role: Supervisor, Hidden: e.Hidden})
	}
	if e.Hidden {
		s.tell(e.User, NoticeWatched, Body{Call: e.Call})
		s.grantPlays(e.Call, e.User)
		return
	}
	c := s.Calls.get(e.Call)
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeJoined, Body{Call: e.Call, User: e.User, Name: e.Name, Role: Supervisor})
	}
	s.grantPlays(e.Call, e.User)
	s.grantPush(e.Call, e.User, 5)
}

// addParty puts a user into a call.
func (s *State) addParty(call string, p Party) {
	c := s.Calls.edit(call)
	for _, other := range c.Parties {
		p.N = max(p.N, other.N)
	}
	p.N, p.Joined = max(p.N, c.streams())+1, s.Now
	c.Parties = append(slices.Clip(c.Parties), p)
	c.Streams = p.N
	s.inCall(p.User, call)
}

// streams is the highest number that a stream of the call has had.
func (c *Call) streams() int { return max(c.Streams, len(c.Parties)) }

// grantPush gives a party its push URL.
func (s *State) grantPush(call, user string, step int) {
	c, p := s.editParty(call, user)
	p.MayPush = true
	stream := c.Stream(p)
	s.grant(user, NoticePush, Body{Call: call, Step: step, Stream: stream}, Grant{Push: true, Stream: stream, Call: call, Party: user, Epoch: c.Epoch})
}

// grantPlays gives a party the play URLs of all others whose media has come.
func (s *State) grantPlays(call, to string) {
	c := s.Calls.get(call)
	for i := range c.Parties {
		if p := &c.Parties[i]; p.User != to && p.Pushed && !p.Hidden {
			s.grantPlay(c, p, to)
		}
	}
}

// grantPlay gives one party the play URL of another. Who is called hears of the caller in step 4 of the seven, the caller of the other in
// step 7.
func (s *State) grantPlay(c *Call, of *Party, to string) {
	step := 7
	if of.User == c.Caller {
		step = 4
	}
	stream := c.Stream(of)
	s.grant(to, NoticePlay, Body{Call: c.ID, Step: step, User: of.User, Name: of.Name, Role: of.Role, Stream: stream},
		Grant{Stream: stream, Call: c.ID, Party: to, Epoch: c.Epoch})
}

func (c *Leave) decide(s *State) (Result, error) {
	call := s.Calls.get(c.Call)
	if call == nil || call.Party(s.actor.User) == nil {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	if call.Party(s.actor.User).Role != Supervisor {
		return Result{}, refuse(Conflict, "without you there is no call: hang up, or transfer it")
	}
	s.emit(&removed{Call: c.Call, User: s.actor.User, Reason: "left", Expires: s.Now.Add(s.set.URLs)})
	return Result{Call: c.Call}, nil
}

func (c *Remove) decide(s *State) (Result, error) {
	call := s.Calls.get(c.Call)
	var me *Party
	if call != nil {
		me = call.Party(s.actor.User)
	}
	if call == nil || me == nil && !s.actor.Has(Supervisor) {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	if !s.actor.Has(Supervisor) && me.Role != Agent {
		return Result{}, refuse(Forbidden, "only an agent or a supervisor may remove somebody")
	}
	p := call.Party(c.User)
	switch {
	case p == nil || p.Hidden && !s.actor.Has(Supervisor):
		return Result{}, refuse(NotFound, "%s is not in the call", c.User)
	case p.Role != Supervisor:
		return Result{}, refuse(Conflict, "without %s there is no call: end it, or transfer it", c.User)
	}
	s.emit(&removed{Call: c.Call, User: c.User, Reason: "removed", Expires: s.Now.Add(s.set.URLs)})
	return Result{Call: c.Call}, nil
}

func (e *removed) apply(s *State) {
	c := s.Calls.edit(e.Call)
	p := *c.Party(e.User)
	c.Parties = slices.DeleteFunc(slices.Clone(c.Parties), func(p Party) bool { return p.User == e.User })
	c.Epoch++
	members := make([]string, 0, len(c.Parties))
	for i := range c.Parties {
		members = append(members, c.Parties[i].User)
		if !p.Hidden {
			s.tell(c.Parties[i].User, NoticeLeft, Body{Call: c.ID, User: e.User, Name: p.Name, Reason: e.Reason, By: s.actor.User})
		}
	}
	s.raise(c.ID, c.Epoch, members, e.Expires)
	s.outOfCall(e.User, c.ID)
	s.tell(e.User, NoticeLeft, Body{Call: c.ID, User: e.User, Name: p.Name, Reason: e.Reason, By: s.actor.User})
	s.freeRoom(e.User, c)
}

// freeRoom lets an agent's room go on after a call: to wrap-up, idle or closed.
func (s *State) freeRoom(agent string, c *Call) {
	r := s.Rooms.get(agent)
	if !r.open() || r.Call != c.ID || r.State != RoomBusy {
		return
	}
	var wrap time.Duration
	if q := s.Queues.get(c.Queue); q != nil {
		wrap = time.Duration(q.WrapUp)
	}
	switch {
	case wrap > 0:
		s.setRoom(agent, RoomWrapUp, c.ID, s.Now.Add(wrap))
	case r.Closing:
		s.setRoom(agent, RoomClosed, "", time.Time{})
		s.forget(agent)
	default:
		s.setRoom(agent, RoomIdle, "", time.Time{})
	}
	if l := s.Lines.edit(c.Queue); l != nil && !c.Accepted.IsZero() {
		took := Duration(s.Now.Sub(c.Accepted) + wrap)
		if l.Served++; l.Served == 1 {
			l.Mean = took
		} else {
			l.Mean += (took - l.Mean) / Duration(min(l.Served, meanOver))
		}
	}
}

// meanOver is how many calls the mean time of an agent is taken over.
const meanOver = 16
