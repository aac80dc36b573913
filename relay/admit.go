package relay

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"duet/crypto"
	"duet/transport"
	"duet/transport/wire"
)

// actionOf is the right that a role needs.
func actionOf(r wire.Role) crypto.Action {
	if r == wire.RolePush {
		return crypto.ActionPush
	}
	return crypto.ActionPlay
}

// admit decides over a handshake. It changes nothing: whoever sent this may only be repeating what it saw somebody else send.
func (l *Loop) admit(now time.Time, r *transport.Request) transport.Admission {
	if l.stopping {
		return refuse(wire.CloseShutdown, "the relay is going down")
	}
	token, err := l.cfg.Tokens.Verify(now, r.Token, actionOf(r.Role), r.Stream)
	if err != nil {
		return refuse(wire.CloseRefused, reasonOf(err))
	}
	if !l.group.floors.admits(&token) {
		return refuse(wire.CloseRevoked, revoked)
	}
	if l.group.sessions.Load() >= int64(l.cfg.MaxSessions) {
		return refuse(wire.CloseLimit, "the relay has as many sessions as it may have; try again later")
	}
	owner := l.group.home(r.Stream)
	st := l.streams[r.Stream] // of another loop's stream no more is known here: who has no place there is told when it is confirmed
	switch {
	case owner != l:
	case st == nil && l.group.streams.Load() >= int64(l.cfg.MaxStreams):
		return refuse(wire.CloseLimit, "the relay has as many streams as it may have; try again later")
	case st == nil:
	case r.Role == wire.RolePush && st.pub != nil && st.pub.who() != token.Party:
		return refuse(wire.CloseBusy, "another party pushes this stream")
	case r.Role == wire.RolePlay && len(st.players) >= l.cfg.MaxPlayers:
		return refuse(wire.CloseLimit, "the stream has as many players as it may have; try again later")
	}
	id, err := l.newID(owner)
	if err != nil {
		return refuse(wire.CloseLimit, "the relay has no randomness")
	}
	return transport.Admission{Code: wire.CloseOK, SessionID: id, Alloc: owner.packets.get, Policy: owner.policy}
}

func refuse(code wire.CloseCode, reason string) transport.Admission {
	return transport.Admission{Code: code, Reason: reason}
}

// newID draws a session ID. Its low byte names the owning loop.
func (l *Loop) newID(owner *Loop) (uint64, error) {
	b := [8]byte{7: byte(owner.index)}
	for {
		if _, err := io.ReadFull(l.rand, b[:7]); err != nil {
			return 0, err
		}
		if id := binary.BigEndian.Uint64(b[:]); id>>8 != 0 && l.sessions[id] == nil { // another loop looks when the session gets there
			return id, nil
		}
	}
}

// reasonOf tells a person what is wrong with a token, without telling the token.
func reasonOf(err error) string {
	for _, known := range []error{crypto.ErrTokenExpired, crypto.ErrTokenAction, crypto.ErrTokenStream, crypto.ErrTokenForged, crypto.ErrTokenMalformed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return "the token is not valid"
}
