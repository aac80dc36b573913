package desk

import (
	"slices"
	"time"
)

// Presence is who has a socket open, and at which server. A user without one is remembered while a room, a place in a queue or a call hangs on it.
type Presence struct {
	Conns []Conn    `json:"conns,omitempty"`
	Gone  time.Time `json:"gone,omitzero"` // since when there is none
}

// Conn is an open socket.
type Conn struct {
	ID   string `json:"id"`
	Node string `json:"node"`
}

// Node is a server that takes part.
type Node struct {
	Life string `json:"life"` // another at each start
}

// NodeUp tells that a server has started, with a Life of its own: what an earlier life of it had open is gone.
type NodeUp struct{ ID, Life string }

// NodeDown tells that a server's Life has not been heard of for too long.
type NodeDown struct{ ID, Life string }

// Connect tells that the actor has a socket open, at a server.
type Connect struct{ Conn, Node, Life string }

// Disconnect tells that it has closed.
type Disconnect struct{ Conn string }

type (
	nodeUp       struct{ ID, Life string }
	nodeDown     struct{ ID string }
	connected    struct{ User, Conn, Node string }
	disconnected struct{ User, Conn string }
)

func (*nodeUp) kind() string       { return "node.up" }
func (*nodeDown) kind() string     { return "node.down" }
func (*connected) kind() string    { return "user.connected" }
func (*disconnected) kind() string { return "user.disconnected" }

func (c *NodeUp) decide(s *State) (Result, error) {
	if n := s.Nodes.get(c.ID); n != nil && n.Life == c.Life {
		return Result{Again: true}, nil
	}
	s.emit(&nodeUp{c.ID, c.Life})
	return Result{}, nil
}

func (e *nodeUp) apply(s *State) {
	s.dropNode(e.ID)
	s.Nodes.put(e.ID, &Node{Life: e.Life})
}

func (c *NodeDown) decide(s *State) (Result, error) {
	if n := s.Nodes.get(c.ID); n == nil || n.Life != c.Life {
		return Result{Again: true}, nil
	}
	s.emit(&nodeDown{c.ID})
	return Result{}, nil
}

func (e *nodeDown) apply(s *State) {
	s.dropNode(e.ID)
	s.Nodes.remove(e.ID)
}

// dropNode takes the sockets that a server had open for closed.
func (s *State) dropNode(id string) {
	for user, p := range s.Present.m {
		if slices.ContainsFunc(p.Conns, func(c Conn) bool { return c.Node == id }) {
			p := s.Present.edit(user)
			p.Conns = slices.DeleteFunc(slices.Clone(p.Conns), func(c Conn) bool { return c.Node == id })
			s.left(user, p)
		}
	}
}

func (c *Connect) decide(s *State) (Result, error) {
	n := s.Nodes.get(c.Node)
	p := s.Present.get(s.actor.User)
	switch {
	case n == nil || n.Life != c.Life:
		return Result{}, refuse(Unavailable, "this server has been away from the others: try again")
	case p != nil && len(p.Conns) >= MaxConns:
		return Result{}, refuse(Limit, "%d connections of one user are the limit: close those that are not used", MaxConns)
	case p != nil && slices.Contains(p.Conns, Conn{c.Conn, c.Node}):
		return Result{Again: true}, nil
	}
	s.emit(&connected{s.actor.User, c.Conn, c.Node})
	return Result{}, nil
}

func (e *connected) apply(s *State) {
	p := s.Present.edit(e.User)
	if p == nil {
		p = &Presence{}
		s.Present.put(e.User, p)
	}
	p.Conns = append(slices.Clip(p.Conns), Conn{e.Conn, e.Node})
	p.Gone = time.Time{}
	s.match = true
}

func (c *Disconnect) decide(s *State) (Result, error) {
	p := s.Present.get(s.actor.User)
	if p == nil || !slices.ContainsFunc(p.Conns, func(have Conn) bool { return have.ID == c.Conn }) {
		return Result{Again: true}, nil
	}
	s.emit(&disconnected{s.actor.User, c.Conn})
	return Result{}, nil
}

func (e *disconnected) apply(s *State) {
	p := s.Present.edit(e.User)
	if p == nil {
		return
	}
	p.Conns = slices.DeleteFunc(slices.Clone(p.Conns), func(c Conn) bool { return c.ID == e.Conn })
	s.left(e.User, p)
}

// left notes since when nobody is there, or forgets a user on whom nothing hangs.
func (s *State) left(user string, p *Presence) {
	if len(p.Conns) > 0 {
		return
	}
	p.Gone = s.Now
	s.forget(user)
}

// forget drops the presence of a user who is away and on whom nothing hangs.
func (s *State) forget(user string) {
	p := s.Present.get(user)
	if p == nil || len(p.Conns) > 0 {
		return
	}
	if r := s.Rooms.get(user); r != nil && r.State != RoomClosed {
		return
	}
	if len(s.callsOf(user)) > 0 {
		return
	}
	s.Present.remove(user)
}

// here reports whether a user has a socket open.
func (s *State) here(user string) bool {
	p := s.Present.get(user)
	return p != nil && len(p.Conns) > 0
}

// goneFor is for how long a user has had no socket open; 0 for one who is there.
func (s *State) goneFor(user string) time.Duration {
	p := s.Present.get(user)
	switch {
	case p == nil:
		return time.Hour // never here, or forgotten
	case p.Gone.IsZero():
		return 0
	default:
		return s.Now.Sub(p.Gone)
	}
}
