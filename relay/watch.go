package relay

import (
	"context"
	"slices"
	"time"

	"duet/crypto"
)

// Who is in the relay by a token of a call: for floors, which end them, and for signaling, which is told of them.

// SessionInfo is a session, publication or subscription that belongs to a call.
type SessionInfo struct {
	ID                  uint64 // of no other for as long as the relay runs
	Stream, Call, Party string
	Epoch               uint64
	Push                bool
	Since               time.Time // it was confirmed
	Heard               time.Time // something last came from it; of a local player, which never says anything, now
	Silent              bool      // Heard is more than SilentAfter ago
}

const (
	// SilentAfter is how long a client is silent before it is taken to have lost its network. Clients send a PING four times a second even
	// when nothing else is to be said, so this is a row of losses and no chance.
	SilentAfter = 1500 * time.Millisecond
	silentLook  = 250 * time.Millisecond // between two looks for silence
	changePause = 5 * time.Millisecond   // between two calls of OnChange
	localID     = 0xff                   // low byte of the IDs of publications and subscriptions; a session has its loop's number there
)

// presence is what is known of a guest. It belongs to the loop.
type presence struct {
	token  crypto.Token
	id     uint64
	since  time.Time // zero: not in its place yet, or not any more; Sessions leaves it out
	silent bool      // as last told
}

// guest is who is here by a token: a session, a Publication, a Subscription.
type guest interface {
	here() *presence
	pushes() bool
	heard(now time.Time) time.Time // when something last came from it
	revoke(now time.Time)          // a floor does not admit it: nothing is taken from it or given to it any more
}

// enter notes a guest, which has no place yet. What bounds the guests bounds the index: MaxSessions, MaxStreams, MaxPlayers.
func (l *Loop) enter(g guest) {
	if call := g.here().token.Call; call != "" {
		l.calls[call] = append(l.calls[call], g)
	}
}

// arrive notes that a guest is in its place.
func (l *Loop) arrive(now time.Time, p *presence) {
	p.since, p.silent = now, false
	if p.token.Call == "" || l.cfg.OnChange == nil {
		return
	}
	if l.listen.index == 0 {
		l.alarms.set(&l.listen, now.Add(silentLook))
	}
	l.changed(now)
}

// depart notes that a guest has left its place, if it was there.
func (l *Loop) depart(now time.Time, p *presence) {
	if p.since.IsZero() {
		return
	}
	p.since = time.Time{}
	if p.token.Call != "" {
		l.changed(now)
	}
}

// exit forgets a guest, if it is still known.
func (l *Loop) exit(now time.Time, p *presence) {
	l.depart(now, p)
	call := p.token.Call
	list := l.calls[call]
	i := slices.IndexFunc(list, func(g guest) bool { return g.here() == p })
	switch {
	case i < 0:
	case len(list) == 1:
		delete(l.calls, call)
	default:
		l.calls[call] = slices.Delete(list, i, i+1)
	}
}

// newLocalID numbers publications and subscriptions.
func (l *Loop) newLocalID() uint64 {
	l.locals++
	return (l.locals*uint64(len(l.group.loops))+uint64(l.index))<<8 | localID
}

// Sessions lists, in no order, the sessions, publications and subscriptions that belong to calls: those whose token names one. It fails with
// ErrStopped and ctx's error.
func (s *Server) Sessions(ctx context.Context) ([]SessionInfo, error) {
	var list []SessionInfo
	for _, d := range s.drivers {
		if err := d.loop.mail.call(ctx, func(now time.Time) { list = append(list, d.loop.Sessions(now)...) }); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Sessions is Server.Sessions for drivers of a Loop, of what this loop has.
func (l *Loop) Sessions(now time.Time) []SessionInfo {
	list := make([]SessionInfo, 0, len(l.calls))
	for _, guests := range l.calls {
		for _, g := range guests {
			p := g.here()
			if p.since.IsZero() {
				continue
			}
			heard := g.heard(now)
			list = append(list, SessionInfo{
				ID: p.id, Stream: p.token.Stream, Call: p.token.Call, Party: p.token.Party, Epoch: p.token.Epoch, Push: g.pushes(),
				Since: p.since, Heard: heard, Silent: silent(now, heard),
			})
		}
	}
	return list
}

func silent(now, heard time.Time) bool { return now.Sub(heard) > SilentAfter }

// lookForSilence notes who has fallen silent, or is heard again.
func (l *Loop) lookForSilence(now time.Time) {
	changed := false
	for _, guests := range l.calls {
		for _, g := range guests {
			p := g.here()
			if quiet := silent(now, g.heard(now)); quiet != p.silent && !p.since.IsZero() {
				p.silent, changed = quiet, true
			}
		}
	}
	if changed {
		l.changed(now)
	}
	if len(l.calls) > 0 {
		l.alarms.set(&l.listen, now.Add(silentLook))
	}
}

// changed tells whoever watches, at once or, if it was told just now, a little later.
func (l *Loop) changed(now time.Time) {
	switch next := l.toldAt.Add(changePause); {
	case l.cfg.OnChange == nil || l.tell.index != 0:
	case now.Before(next):
		l.alarms.set(&l.tell, next)
	default:
		l.tellChange(now)
	}
}

func (l *Loop) tellChange(now time.Time) {
	l.toldAt = now
	l.cfg.OnChange()
}
