package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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
	expiry alarm  // the table's
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
	f.Members = slices.Clone(f.Members)
	inForce, held, err := s.floors.apply(time.Now(), f)
	if err != nil {
		return err
	}
	for _, d := range s.drivers { // whoever comes from now on is held against it already
		if err := d.loop.mail.call(ctx, func(now time.Time) { d.loop.revoke(now, held) }); err != nil {
			return err
		}
	}
	if inForce == nil {
		return nil
	}
	return s.file.keep(inForce)
}

// Apply is Server.Apply without the file, for drivers of a Loop. It keeps f.Members.
func (l *Loop) Apply(now time.Time, f Floor) error {
	_, held, err := l.group.floors.apply(now, f)
	if err != nil {
		return err
	}
	for _, other := range l.group.loops {
		other.revoke(now, held)
	}
	return nil
}

// floorTable has the floors in force, for all loops of a relay. It is asked when somebody comes, not for datagrams.
type floorTable struct {
	mu       sync.Mutex        // guards what follows; held for a moment
	floors   map[string]*floor // by call; at most limit
	limit    int
	expiries deadlines
	seq      uint64 // of the last one applied
	refused  uint64 // there were as many as are kept
}

func newFloorTable(limit int) *floorTable {
	return &floorTable{floors: make(map[string]*floor), limit: limit}
}

// admits reports whether the floor of a token's call, if there is one, lets the token pass.
func (t *floorTable) admits(token *crypto.Token) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.floors[token.Call].admits(token)
}

// apply returns the floor that is in force then, nil if nobody needs one, and the one that those who are here are to be held against, nil if they have been.
func (t *floorTable) apply(now time.Time, f Floor) (inForce, held *floor, err error) {
	if err := f.check(); err != nil {
		return nil, nil, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
	old := t.floors[f.Call]
	switch {
	case old != nil && f.Epoch < old.Epoch:
		return old, nil, nil
	case old != nil && f.Expires.Before(old.Expires): // tokens that the older one is for may still be about
		f.Expires = old.Expires
	case old == nil && !now.Before(f.Expires):
		return nil, &floor{Floor: f}, nil // a session may live longer than its token
	case old == nil && len(t.floors) >= t.limit:
		t.refused++
		return nil, nil, ErrFloors
	}
	t.seq++
	k := &floor{Floor: f, seq: t.seq}
	t.put(k)
	return k, k, nil
}

// keep puts a floor in force.
func (t *floorTable) keep(f *floor) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.put(f)
}

func (t *floorTable) put(f *floor) {
	if old := t.floors[f.Call]; old != nil {
		t.expiries.remove(&old.expiry)
	}
	t.floors[f.Call] = f
	f.expiry.ring = func(time.Time) { delete(t.floors, f.Call) }
	t.expiries.set(&f.expiry, f.Expires)
}

// forget drops those that have run out, some at a time.
func (t *floorTable) forget(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sweep(now)
}

func (t *floorTable) sweep(now time.Time) {
	for range floorSweep {
		a := t.expiries.due(now)
		if a == nil {
			return
		}
		a.ring(now)
	}
}

func (t *floorTable) counts() (inForce int, refused uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.floors), t.refused
}

// revoke ends what a floor does not admit; nil admits everybody.
func (l *Loop) revoke(now time.Time, f *floor) {
	if f == nil {
		return
	}
	for _, g := range slices.Clone(l.calls[f.Call]) { // the revoked are taken out
		if p := g.here(); !f.admits(&p.token) {
			l.stats.Revoked++
			l.exit(now, p)
			g.revoke(now)
		}
	}
}
