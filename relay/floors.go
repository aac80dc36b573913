package relay

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"duet/crypto"
	"duet/transport/wire"
)

// Floor says which tokens of a call are still good: those of Epoch and later, and those of Members whatever their epoch.
type Floor struct {
	Call    string    `json:"call"`
	Epoch   uint64    `json:"epoch"`
	Members []string  `json:"members,omitempty"` // parties
	Expires time.Time `json:"expires"`           // then every token below it has expired by itself, and the floor is forgotten
}

const (
	maxFloors  = 1 << 20 // beyond, Apply fails
	floorSlack = 1024    // lines of the file that may be out of date
)

// ErrFloors means that there are as many floors as a relay keeps.
var ErrFloors = errors.New("relay: too many floors")

// admits reports whether a floor lets a token pass.
func (f *Floor) admits(t *crypto.Token) bool {
	return f == nil || t.Epoch >= f.Epoch || slices.Contains(f.Members, t.Party)
}

// Apply sets a call's floor: sessions that it does not admit are closed, tokens are refused from now on. It returns when that is done and the
// floor is on disk. A floor below the one that there is changes nothing.
func (s *Server) Apply(ctx context.Context, f Floor) error {
	var full, late bool
	err := s.loop.mail.call(ctx, func(now time.Time) {
		if old := s.loop.floors[f.Call]; old != nil && old.Epoch > f.Epoch {
			late = true
			return
		} else if old == nil && len(s.loop.floors) >= maxFloors {
			full = true
			return
		}
		s.loop.floors[f.Call] = &f
		s.loop.revoke(now, &f)
	})
	switch {
	case err != nil:
		return err
	case full:
		return ErrFloors
	case late:
		return nil
	}
	return s.floorFile.add(f)
}

// revoke closes what a floor does not admit.
func (l *Loop) revoke(now time.Time, f *Floor) {
	for _, s := range l.sessions {
		if s.token.Call == f.Call && !f.admits(&s.token) {
			s.conn.Close(now, wire.CloseRevoked, "you are not in the call any more")
			s.drain(now)
			l.touch(s)
		}
	}
}

// forgetFloors drops those that have run out.
func (l *Loop) forgetFloors(now time.Time) {
	for call, f := range l.floors {
		if !now.Before(f.Expires) {
			delete(l.floors, call)
		}
	}
}

// Admits reports whether a token that is valid by itself is still good: for gateways.
func (s *Server) Admits(ctx context.Context, t *crypto.Token) (ok bool, err error) {
	err = s.loop.mail.call(ctx, func(time.Time) { ok = s.loop.floors[t.Call].admits(t) })
	return ok, err
}

// floorFile keeps floors over a restart: a line each, the last one of a call counts.
type floorFile struct {
	path string

	mu    sync.Mutex // guards what follows
	f     *os.File
	lines int
	live  map[string]Floor
}

// openFloors reads the file; without a path nothing is kept.
func openFloors(path string, now time.Time) (*floorFile, error) {
	k := &floorFile{path: path, live: make(map[string]Floor)}
	if path == "" {
		return k, nil
	}
	if err := k.read(now); err != nil {
		return nil, err
	}
	return k, k.rewrite(now)
}

func (k *floorFile) read(now time.Time) error {
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	in := bufio.NewScanner(f)
	var bad error
	for n := 1; in.Scan(); n++ {
		if bad != nil {
			return bad
		}
		var d Floor
		if err := json.Unmarshal(in.Bytes(), &d); err != nil { // the last line may have been cut by a crash: then nobody was told that it is kept
			bad = fmt.Errorf("relay: line %d of %s can't be read: restore it from a backup; or remove it, and change the token key so that no old URL is valid", n, k.path)
			continue
		}
		if now.Before(d.Expires) {
			k.live[d.Call] = d
		}
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	return nil
}

// rewrite makes the file anew with what is in force.
func (k *floorFile) rewrite(now time.Time) error {
	temp, err := os.CreateTemp(filepath.Dir(k.path), ".floors-*")
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	out := json.NewEncoder(temp)
	lines := 0
	for call, f := range k.live {
		if !now.Before(f.Expires) {
			delete(k.live, call)
		} else if err = out.Encode(f); err != nil {
			break
		} else {
			lines++
		}
	}
	if err = errors.Join(err, temp.Sync(), os.Rename(temp.Name(), k.path)); err != nil {
		return errors.Join(fmt.Errorf("relay: floors: %w", err), temp.Close(), os.Remove(temp.Name()))
	}
	if k.f != nil {
		_ = k.f.Close() // has another name's place
	}
	k.f, k.lines = temp, lines
	return nil
}

// add keeps a floor, down to the disk.
func (k *floorFile) add(f Floor) error {
	if k.path == "" {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live[f.Call] = f
	if k.lines > 2*len(k.live)+floorSlack {
		return k.rewrite(time.Now())
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	if _, err = k.f.Write(append(b, '\n')); err == nil {
		err = k.f.Sync()
	}
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	k.lines++
	return nil
}

func (k *floorFile) close() {
	if k.f != nil {
		_ = k.f.Close() // every line was synced
	}
}
