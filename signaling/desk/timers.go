package desk

import (
	"slices"
	"strings"
	"time"
)

// Tick does what is due: offers run out, places and rooms are given up, calls end that nobody is left in. It is given several times a second; what
// it does is exact to that.
type Tick struct{}

// swept forgets what has run out.
type swept struct {
	Floors, Links, Sessions []string `json:",omitempty"`
}

func (*swept) kind() string { return "swept" }

func (Tick) decide(s *State) (Result, error) {
	for _, id := range sorted(s.Rooms.m) {
		s.tickRoom(s.Rooms.get(id))
	}
	for _, id := range sorted(s.Calls.m) {
		if c := s.Calls.get(id); c != nil {
			s.tickCall(c)
		}
	}
	s.match = true // a refusal may have been long enough ago
	s.sweep()
	return Result{}, nil
}

func (s *State) tickRoom(r *Room) {
	switch r.State {
	case RoomIdle, RoomWrapUp:
		if s.goneFor(r.Agent) > s.set.AgentGrace {
			s.emit(&roomClosed{r.Agent, "gone"})
		} else if r.State == RoomWrapUp && !s.Now.Before(r.Until) {
			s.endWrapUp(r)
		}
	case RoomRinging:
		if s.goneFor(r.Agent) > s.set.AgentGrace {
			if c := s.Calls.get(r.Call); c != nil {
				s.endOffer(c, "withdrawn")
			}
			s.emit(&roomClosed{r.Agent, "gone"})
		}
	case RoomBusy:
		if !r.Closing && s.goneFor(r.Agent) > s.set.AgentGrace {
			s.emit(&roomClosing{r.Agent})
		}
	case RoomClosed:
	}
}

func (s *State) tickCall(c *Call) {
	if !c.Due.IsZero() && !s.Now.Before(c.Due) {
		s.emit(s.ending(c, SetupFailed, s.absentee(c)))
		return
	}
	if c.State == CallLooking && s.goneFor(c.Caller) > s.grace(c) {
		s.emit(s.ending(c, Abandoned, c.Caller))
		return
	}
	if t := c.Ticket; t != nil && t.Offer != "" && !s.Now.Before(t.Until) {
		s.endOffer(c, "timeout")
		if c = s.Calls.get(c.ID); c == nil {
			return
		}
	}
	if t := c.Ticket; t != nil && t.Queue != "" && t.Offer == "" && c.State == CallLooking {
		q := s.Queues.get(t.Queue)
		if q != nil && q.OverflowAfter > 0 && s.Now.Sub(t.Since) > time.Duration(q.OverflowAfter) {
			if over := s.Queues.get(q.Overflow); over != nil && !over.Closed && len(s.Lines.get(over.ID).Calls) < over.capacity() && over.Overflow != q.ID {
				s.emit(&movedQueue{c.ID, over.ID})
			}
		}
	}
	if c.State != CallConnected && c.State != CallSetup {
		return
	}
	for i := range c.Parties {
		p := &c.Parties[i]
		switch {
		case p.Role == Supervisor:
			if !p.Playing && s.goneFor(p.User) > s.set.AgentGrace {
				s.emit(&removed{Call: c.ID, User: p.User, Reason: string(Gone), Expires: s.Now.Add(s.set.URLs)})
				return
			}
		case c.State == CallConnected && !p.Lost.IsZero() && s.Now.Sub(p.Lost) >= s.set.GoneAfter:
			s.lose(c, p)
			return
		case c.State == CallSetup && !p.Pushing && s.goneFor(p.User) > s.grace(c):
			s.emit(s.ending(c, Gone, p.User))
			return
		}
	}
}

// lose takes a party out whose network has been away for too long: who has passed the call on is not missed, without another there is no call.
func (s *State) lose(c *Call, p *Party) {
	agents := 0
	for i := range c.Parties {
		if c.Parties[i].Role == Agent && c.Parties[i].Lost.IsZero() {
			agents++
		}
	}
	if p.Role == Agent && agents > 0 {
		s.emit(&removed{Call: c.ID, User: p.User, Reason: string(Gone), Expires: s.Now.Add(s.set.URLs)})
		return
	}
	s.emit(s.ending(c, Gone, p.User))
}

// absentee is who has not come to push and play, "" if that can't be said.
func (s *State) absentee(c *Call) string {
	for i := range c.Parties {
		if p := &c.Parties[i]; p.MayPush && !p.Pushing {
			return p.User
		}
	}
	return ""
}

func (s *State) grace(c *Call) time.Duration {
	if q := s.Queues.get(c.Queue); q != nil {
		return q.Grace.or(s.set.CallerGrace)
	}
	return s.set.CallerGrace
}

// sweep forgets what has run out, once there is enough of it.
func (s *State) sweep() {
	if s.Now.Sub(s.SweptAt) < sweepEvery {
		return
	}
	var e swept
	for id, f := range s.Floors.m {
		if !s.Now.Before(f.Expires) && s.Calls.get(id) == nil {
			e.Floors = append(e.Floors, id)
		}
	}
	for id, l := range s.Links.m {
		if !s.Now.Before(l.Expires) {
			e.Links = append(e.Links, id)
		}
	}
	for id, v := range s.Sessions.m {
		if !s.Now.Before(v.Expires) {
			e.Sessions = append(e.Sessions, id)
		}
	}
	if len(e.Floors)+len(e.Links)+len(e.Sessions) == 0 {
		return
	}
	for _, list := range [][]string{e.Floors, e.Links, e.Sessions} {
		slices.Sort(list)
	}
	s.emit(&e)
}

const sweepEvery = time.Minute

func (e *swept) apply(s *State) {
	for _, id := range e.Floors {
		s.Floors.remove(id)
	}
	for _, id := range e.Links {
		s.Links.remove(id)
	}
	for _, id := range e.Sessions {
		s.Sessions.remove(id)
	}
	s.SweptAt = s.Now
}

func sorted[V any](m map[string]*V) []string {
	ids := make([]string, 0, len(m))
	for id := range m {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, strings.Compare)
	return ids
}
