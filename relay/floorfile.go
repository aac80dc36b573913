package relay

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

const (
	floorSlack   = 1024    // lines that a file may have beyond twice those that are in force
	maxFloorLine = 1 << 18 // more than the longest floor with every byte escaped
)

// ErrFloorFile means that Config.FloorFile is damaged; its text says where and what to do.
var ErrFloorFile = errors.New("relay: the file of floors is damaged")

// floorFile keeps floors over a restart: a line of JSON each, of which the last one of a call counts. Its methods may be called from any
// goroutine but the loop's, which must not wait for a disk.
type floorFile struct {
	path string // "": nothing is kept

	mu      sync.Mutex // guards what follows; held for a moment
	waiting *floorBatch

	disk    sync.Mutex // guards what follows; held while the disk is written
	f       *os.File
	broken  bool // an error left the end of the file in doubt: it has to be made anew
	closed  bool
	lines   int
	compact int               // as soon as there would be more lines, the file is made anew
	live    map[string]*floor // what the file says or, if it is broken, ought to say. May hold some that have run out, until compaction
}

// floorBatch is what is written, and synced, at once: everything that came while the disk was busy.
type floorBatch struct {
	floors []*floor
	done   bool // guarded by disk
	err    error
}

// openFloors reads the file and makes it anew with what is in force.
func openFloors(path string, now time.Time, limit int) (*floorFile, error) {
	k := &floorFile{path: path, live: make(map[string]*floor)}
	if path == "" {
		return k, nil
	}
	if err := k.read(now, limit); err != nil {
		return nil, err
	}
	return k, k.rewrite(now)
}

func (k *floorFile) read(now time.Time, limit int) error {
	f, err := os.Open(k.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	defer func() { _ = f.Close() }() // only read
	in := bufio.NewScanner(f)
	in.Buffer(nil, maxFloorLine)
	bad := 0 // line that can't be read. A crash may leave one as the last: nobody was told that what it says is kept
	n := 1
	for ; bad == 0 && in.Scan(); n++ {
		var d Floor
		if json.Unmarshal(in.Bytes(), &d) != nil || d.check() != nil {
			bad = n
			continue
		}
		if old := k.live[d.Call]; old != nil && old.Epoch > d.Epoch || !now.Before(d.Expires) {
			continue
		}
		k.live[d.Call] = &floor{Floor: d}
	}
	more := bad != 0 && in.Scan()
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong) && bad == 0:
		return damagedFloors(k.path, n)
	case more, errors.Is(err, bufio.ErrTooLong):
		return damagedFloors(k.path, bad)
	case err != nil:
		return fmt.Errorf("relay: floors: %w", err)
	}
	if len(k.live) > limit {
		return fmt.Errorf("%w: %s holds %d and Config.MaxFloors is %d", ErrFloors, k.path, len(k.live), limit)
	}
	return nil
}

func damagedFloors(path string, line int) error {
	return fmt.Errorf("%w: line %d of %s cannot be read: restore the file from a backup; or remove it and change the token key as well, since without it "+
		"URLs that were revoked open their streams again until they expire", ErrFloorFile, line, path)
}

// keep returns when a floor, or one that was applied after it, is on disk. Those that come at the same time share a write.
func (k *floorFile) keep(f *floor) error {
	if k.path == "" {
		return nil
	}
	k.mu.Lock()
	if k.waiting == nil {
		k.waiting = &floorBatch{}
	}
	b := k.waiting
	b.floors = append(b.floors, f)
	k.mu.Unlock()

	k.disk.Lock()
	defer k.disk.Unlock()
	if b.done { // somebody else's write had it
		return b.err
	}
	k.mu.Lock()
	k.waiting = nil // b is complete
	k.mu.Unlock()
	b.err = k.write(b.floors)
	b.done = true
	return b.err
}

// write appends what the file does not say yet.
func (k *floorFile) write(list []*floor) error {
	if k.closed {
		return ErrStopped
	}
	var text []byte
	added := 0
	for _, f := range list {
		if have := k.live[f.Call]; have != nil && have.seq >= f.seq {
			continue
		}
		line, err := json.Marshal(f.Floor)
		if err != nil {
			return fmt.Errorf("relay: floors: %w", err)
		}
		k.live[f.Call] = f
		text = append(append(text, line...), '\n')
		added++
	}
	if k.broken || k.lines+added > k.compact {
		return k.rewrite(time.Now())
	}
	if added == 0 {
		return nil
	}
	_, err := k.f.Write(text)
	if err == nil {
		err = k.f.Sync()
	}
	if err != nil {
		k.broken = true
		return fmt.Errorf("relay: floors: %w", err)
	}
	k.lines += added
	return nil
}

// rewrite makes the file anew with what is in force.
func (k *floorFile) rewrite(now time.Time) error {
	k.broken = true
	if k.f != nil {
		_ = k.f.Close() // what counts in it was synced
		k.f = nil
	}
	temp := k.path + ".new"
	lines, err := k.writeAll(temp, now)
	if err == nil {
		err = os.Rename(temp, k.path)
	}
	if err == nil {
		syncDir(filepath.Dir(k.path))
		k.f, err = os.OpenFile(k.path, os.O_WRONLY|os.O_APPEND, 0)
	}
	if err != nil {
		return fmt.Errorf("relay: floors: %w", err)
	}
	k.broken, k.lines, k.compact = false, lines, 2*lines+floorSlack
	return nil
}

// writeAll writes what is in force into a file of its own, down to the disk, and forgets what has run out.
func (k *floorFile) writeAll(name string, now time.Time) (lines int, err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriter(f)
	enc := json.NewEncoder(out)
	for call, d := range k.live {
		if !now.Before(d.Expires) {
			delete(k.live, call)
			continue
		}
		if err = enc.Encode(d.Floor); err != nil {
			break
		}
		lines++
	}
	if err == nil {
		err = errors.Join(out.Flush(), f.Sync())
	}
	return lines, errors.Join(err, f.Close())
}

// syncDir makes a rename last. Not every system can do so; there it comes a moment later.
func syncDir(dir string) {
	if d, err := os.Open(dir); err == nil {
		_ = d.Sync()
		_ = d.Close()
	}
}

// close ends keeping, after what is being written.
func (k *floorFile) close() {
	k.disk.Lock()
	defer k.disk.Unlock()
	k.closed = true
	if k.f != nil {
		_ = k.f.Close() // every line was synced
		k.f = nil
	}
}
