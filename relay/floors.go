package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"duet/crypto"
)

// Floor says which tokens of a call are still good: those of Epoch and later, and those of Members whatever their epoch.
type Floor struct {
	Call    string    `json:"call"` // not empty: a token without a call has no floor
	Epoch   uint64    `json:"epoch"`
	Members []string  `json:"members,omitempty"` // parties, at most 64
	Expires time.Time `json:"expires"`           // by then every token below Epoch has expired by itself, and the floor is forgotten
}

const (
	// DefaultMaxFloors is how many floors are kept at a time; beyond, Apply fails. One takes some 500 bytes, in the file about 100.
	DefaultMaxFloors = 1 << 20
	maxFloorMembers  = 64
	maxFloorName     = 255 // bytes of a call or a party: a token has no room for more
	floorSweep       = 256 // floors forgotten at a time, so that a great many that run out together do not hold up media
)

var (
	// ErrFloor means that a Floor says nothing that a token could be held against.
	ErrFloor = errors.New("relay: not a floor")
	// ErrFloors means that there are as many floors as the relay keeps.
	ErrFloors = errors.New("relay: too many floors")
	// ErrRevoked means that a floor does not admit a token, or not any more.
	ErrRevoked = errors.New("relay: " + revoked)
)

// revoked is for the person whose token a floor does not admit.
const revoked = "you are not in the call any more"

// floor is one in force. A later one of the same call takes its place: what other goroutines read of it does not change.
type floor struct {
	Floor
	seq    uint64 // rises with each one that is applied: the file may get them in another order
	expiry alarm  // the loop's
}

// check reports what is wrong with a floor.
func (f *Floor) check() error {
	if f.Call == "" {
		return fmt.Errorf("%w: it names no call", ErrFloor)
	}
	if len(f.Members) > maxFloorMembers {
		return fmt.Errorf("%w: %d members, at most %d", ErrFloor, len(f.Members), maxFloorMembers)
	}
	odd := func(name string) bool { return len(name) > maxFloorName || !utf8.ValidString(name) } // the file could not give it back
	if odd(f.Call) || slices.ContainsFunc(f.Members, odd) {
		return fmt.Errorf("%w: the names of calls and parties are UTF-8 of at most %d bytes", ErrFloor, maxFloorName)
	}
	return nil
}

// admits reports whether the floor of a token's call, which may be nil, lets the token pass.
func (f *floor) admits(t *crypto.Token) bool {
	return f == nil || t.Epoch >= f.Epoch || slices.Contains(f.Members, t.Party)
}

// Apply sets a call's floor: what it does not admit is closed with wire.CloseRevoked and refused from now on, at gateways too. It returns
// when that is done and the floor is on disk. A floor with a lower epoch than the one in force changes nothing; one with the same epoch
// takes its place. It fails with ErrFloor, ErrFloors, ErrStopped, ctx's error, or that of the disk: then the floor may be in force and not
// kept, and Apply should be called again. It keeps nothing of f.
func (s *Server) Apply(ctx context.Context, f Floor) error {
	var inForce *floor
	var failed error
	f.Members = slices.Clone(f.Members)
	if err := s.loop.mail.call(ctx, func(now time.Time) { inForce, failed = s.loop.apply(now, f) }); err != nil {
		return err
	}
	if failed != nil || inForce == nil {
		return failed
	}
	return s.floors.keep(inForce)
}

// Apply is Server.Apply without the file, for drivers of a Loop. It keeps f.Members.
func (l *Loop) Apply(now time.Time, f Floor) error {
	_, err := l.apply(now, f)
	return err
}

// apply returns the floor that is in force then: nil if nobody needs one.
func (l *Loop) apply(now time.Time, f Floor) (*floor, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	l.forgetFloors(now)
	old := l.floors[f.Call]
	switch {
	case old != nil && f.Epoch < old.Epoch:
		return old, nil
	case old != nil && f.Expires.Before(old.Expires): // tokens that the older one is for may still be about
		f.Expires = old.Expires
	case old == nil && !now.Before(f.Expires):
		l.revoke(now, &floor{Floor: f}) // a session may live longer than its token
		return nil, nil
	case old == nil && len(l.floors) >= l.cfg.MaxFloors:
		l.stats.FloorsRefused++
		return nil, ErrFloors
	}
	l.floorSeq++
	k := &floor{Floor: f, seq: l.floorSeq}
	l.keep(k)
	l.revoke(now, k)
	return k, nil
}

// keep puts a floor in force.
func (l *Loop) keep(f *floor) {
	if old := l.floors[f.Call]; old != nil {
		l.expiries.remove(&old.expiry)
	}
	l.floors[f.Call] = f
	f.expiry.ring = func(time.Time) { delete(l.floors, f.Call) }
	l.expiries.set(&f.expiry, f.Expires)
}

// forgetFloors drops those that have run out, some at a time.
func (l *Loop) forgetFloors(now time.Time) {
	for range floorSweep {
		a := l.expiries.due(now)
		if a == nil {
			return
		}
		a.ring(now)
	}
}

// revoke ends what a floor does not admit.
func (l *Loop) revoke(now time.Time, f *floor) {
	for _, g := range slices.Clone(l.calls[f.Call]) { // the revoked are taken out
		if p := g.here(); !f.admits(&p.token) {
			l.stats.Revoked++
			l.exit(now, p)
			g.revoke(now)
		}
	}
}
