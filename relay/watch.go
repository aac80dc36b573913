package relay

import (
	"context"
	"time"

	"duet/transport/wire"
)

// SessionInfo is a session that belongs to a call.
type SessionInfo struct {
	Stream, Call, Party string
	Epoch               uint64
	Push                bool
	Silent              bool // nothing was heard for SilentAfter
}

const (
	// SilentAfter is how long a client is silent before it is taken to have lost its network. Clients are heard at least once a second.
	SilentAfter = 1500 * time.Millisecond
	silentLook  = 250 * time.Millisecond
)

// Sessions lists the sessions that belong to calls: those whose token names one.
func (s *Server) Sessions(ctx context.Context) (list []SessionInfo, err error) {
	err = s.loop.mail.call(ctx, func(time.Time) {
		for _, c := range s.loop.sessions {
			if c.counts() {
				list = append(list, SessionInfo{
					Stream: c.token.Stream, Call: c.token.Call, Party: c.token.Party, Epoch: c.token.Epoch, Push: c.conn.Role() == wire.RolePush, Silent: c.silent,
				})
			}
		}
	})
	return list, err
}

// counts reports whether a session is one that Sessions lists: it is in its place, and a pusher has the stream.
func (s *session) counts() bool {
	return s.token.Call != "" && s.stream != nil && (s.conn.Role() == wire.RolePlay || s.stream.pub == publisher(s))
}

// changed tells whoever watches.
func (l *Loop) changed() {
	if l.cfg.OnChange != nil {
		l.cfg.OnChange()
	}
}

// listenFor begins to look for silence, with the first session of a call.
func (l *Loop) listenFor(now time.Time, s *session) {
	if s.token.Call != "" && l.listen.index == 0 {
		l.alarms.set(&l.listen, now.Add(silentLook))
	}
}

// lookForSilence notes who has fallen silent, or is heard again.
func (l *Loop) lookForSilence(now time.Time) {
	changed, watched := false, false
	for _, s := range l.sessions {
		watched = watched || s.token.Call != ""
		if silent := s.counts() && now.Sub(s.conn.LastHeard()) > SilentAfter; silent != s.silent {
			s.silent, changed = silent, true
		}
	}
	if changed {
		l.changed()
	}
	if watched {
		l.alarms.set(&l.listen, now.Add(silentLook))
	}
}
