package desk

import (
	"slices"
	"time"
)

// Place is a caller's in line.
type Place struct {
	Call     string        `json:"call"`
	Queue    string        `json:"queue"`
	Caller   string        `json:"-"`
	Position int           `json:"position"` // from 1
	Of       int           `json:"of"`       // in line
	Known    bool          `json:"-"`        // whether there is an estimate: somebody is there to answer
	Estimate time.Duration `json:"-"`        // until somebody answers, at the pace of the last calls
	Agents   int           `json:"agents"`   // open rooms that serve the queue
}

// usualCall is what a call takes, until the queue knows better.
const usualCall = 3 * time.Minute

// Places lists a queue's line from place from (1 is the first) to place to.
func (s *State) Places(queue string, from, to int) []Place {
	l, q := s.Lines.get(queue), s.Queues.get(queue)
	if l == nil || q == nil || from > len(l.Calls) {
		return nil
	}
	agents := 0
	for _, r := range s.Rooms.m {
		if r.open() && !r.Closing && r.serves(q, nil) {
			agents++
		}
	}
	mean := l.Mean.or(usualCall)
	var list []Place
	for i := max(from, 1); i <= min(to, len(l.Calls)); i++ {
		c := s.Calls.get(l.Calls[i-1])
		p := Place{Call: c.ID, Queue: queue, Caller: c.Caller, Position: i, Of: len(l.Calls), Agents: agents}
		if p.Known = agents > 0; p.Known {
			p.Estimate = mean * time.Duration(i) / time.Duration(agents)
		}
		list = append(list, p)
	}
	return list
}

// PlaceOf is where a call stands in line.
func (s *State) PlaceOf(call string) (Place, bool) {
	c := s.Calls.get(call)
	if c == nil || c.Ticket == nil || c.Ticket.Queue == "" {
		return Place{}, false
	}
	i := slices.Index(s.Lines.get(c.Ticket.Queue).Calls, call) + 1
	list := s.Places(c.Ticket.Queue, i, i)
	if len(list) == 0 {
		return Place{}, false
	}
	return list[0], true
}

// Call returns a live call, nil if there is none. What these return must not be changed; it stays as it is when the state changes.
func (s *State) Call(id string) *Call { return s.Calls.get(id) }

// Summary returns an ended call that is at hand.
func (s *State) Summary(id string) *Summary { return s.Ended.get(id) }

// CallsOf lists the live calls that a user is in or is offered.
func (s *State) CallsOf(user string) []*Call { return s.callsOf(user) }

// Room returns an agent's room.
func (s *State) Room(agent string) *Room { return s.Rooms.get(agent) }

// User returns somebody who is set up.
func (s *State) User(id string) *User { return s.Users.get(id) }

// Key returns an API key.
func (s *State) Key(id string) *Key { return s.Keys.get(id) }

// Link returns a one-time link that has not been used.
func (s *State) Link(id string) *Link { return s.Links.get(id) }

// Session returns somebody's signing in.
func (s *State) Session(id string) *Session { return s.Sessions.get(id) }

// Queue returns a queue and its line.
func (s *State) Queue(id string) (*Queue, *Line) { return s.Queues.get(id), s.Lines.get(id) }

// Hook returns a webhook.
func (s *State) Hook(id string) *Hook { return s.Hooks.get(id) }

// Here reports whether a user has a socket open.
func (s *State) Here(user string) bool { return s.here(user) }

// ConnsOf lists a user's open sockets.
func (s *State) ConnsOf(user string) (ids []string) {
	if p := s.Present.get(user); p != nil {
		for _, c := range p.Conns {
			ids = append(ids, c.ID)
		}
	}
	return ids
}

// NodeLives returns the servers that take part and their lives.
func (s *State) NodeLives() map[string]string {
	m := make(map[string]string, s.Nodes.len())
	for id, n := range s.Nodes.m {
		m[id] = n.Life
	}
	return m
}

// AllUsers lists who is set up. All of these lists are sorted by ID.
func (s *State) AllUsers() []*User { return all(&s.Users) }

// AllQueues lists the queues.
func (s *State) AllQueues() []*Queue { return all(&s.Queues) }

// AllRooms lists the rooms, closed ones too.
func (s *State) AllRooms() []*Room { return all(&s.Rooms) }

// AllCalls lists the live calls.
func (s *State) AllCalls() []*Call { return all(&s.Calls) }

// AllKeys lists the API keys.
func (s *State) AllKeys() []*Key { return all(&s.Keys) }

// AllHooks lists the webhooks.
func (s *State) AllHooks() []*Hook { return all(&s.Hooks) }

// AllFloors lists the floors.
func (s *State) AllFloors() []*Floor { return all(&s.Floors) }

// AllEnded lists ended calls that are at hand, the newest first.
func (s *State) AllEnded() []*Summary {
	list := make([]*Summary, 0, len(s.EndedAt))
	for i := len(s.EndedAt) - 1; i >= 0; i-- {
		list = append(list, s.Ended.get(s.EndedAt[i]))
	}
	return list
}

func all[V any](t *table[V]) []*V {
	list := make([]*V, 0, t.len())
	for _, id := range sorted(t.m) {
		list = append(list, t.m[id])
	}
	return list
}

// Idle reports whether nothing can become due by itself: no room open, no call, nobody's place kept.
func (s *State) Idle() bool {
	if s.Calls.len() > 0 || s.Floors.len()+s.Links.len()+s.Sessions.len() > 0 {
		return false
	}
	for _, r := range s.Rooms.m {
		if r.open() {
			return false
		}
	}
	return true
}

// Grants are the URLs that a user has a right to now, in all calls: what a client that has lost its memory needs to go on.
func (s *State) Grants(user string) []Notice {
	saved := s.notices
	s.notices = nil
	for _, c := range s.callsOf(user) {
		p := c.Party(user)
		if p == nil {
			continue
		}
		if p.MayPush {
			stream, step := c.Stream(p), 5
			if user == c.Caller {
				step = 1
			}
			s.grant(user, NoticePush, Body{Call: c.ID, Step: step, Stream: stream}, Grant{Push: true, Stream: stream, Call: c.ID, Party: user, Epoch: c.Epoch})
		}
		if (c.State == CallSetup || c.State == CallConnected) && !c.gated() {
			s.grantPlays(c.ID, user)
		}
	}
	list := s.notices
	s.notices = saved
	return list
}
