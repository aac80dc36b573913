package record

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// memory is a file system that forgets what was not synced, and fails when told to.
type memory struct {
	mu    sync.Mutex
	files map[string]*memoryFile
	room  int64 // bytes that still fit; negative: no limit
	fail  error // of every write
	ops   int
	after func(ops int) // a write or sync was done
}

type memoryFile struct {
	m      *memory
	now    []byte
	synced []byte
	writes []write // since the last sync
}

// write is what may be lost: data at an offset, or, with nil, a truncation.
type write struct {
	at   int64
	data []byte
}

func newMemory() *memory { return &memory{files: make(map[string]*memoryFile), room: -1} }

func (m *memory) MkdirAll(string) error { return nil }
func (m *memory) SyncDir(string) error  { return nil }

func (m *memory) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	name = filepath.ToSlash(name)
	f := m.files[name]
	if f == nil {
		f = &memoryFile{m: m}
		m.files[name] = f
	}
	return f, nil
}

func (m *memory) OpenRead(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[filepath.ToSlash(name)]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return f, nil
}

func (m *memory) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.files, filepath.ToSlash(name))
	return nil
}

func (m *memory) ReadFile(name string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.files[filepath.ToSlash(name)]
	if f == nil {
		return nil, fs.ErrNotExist
	}
	return slices.Clone(f.now), nil
}

type memoryEntry struct {
	fs.DirEntry
	name string
}

func (e memoryEntry) Name() string { return e.name }

func (m *memory) ReadDir(dir string) (list []fs.DirEntry, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		if path.Dir(name) == filepath.ToSlash(dir) {
			list = append(list, memoryEntry{name: path.Base(name)})
		}
	}
	return list, nil
}

func (f *memoryFile) Close() error { return nil }

func (f *memoryFile) Size() (int64, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return int64(len(f.now)), nil
}

func (f *memoryFile) ReadAt(b []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if at >= int64(len(f.now)) {
		return 0, io.EOF
	}
	n := copy(b, f.now[at:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func put(have []byte, at int64, b []byte) []byte {
	if over := at + int64(len(b)) - int64(len(have)); over > 0 {
		have = append(have, make([]byte, over)...)
	}
	copy(have[at:], b)
	return have
}

func (f *memoryFile) WriteAt(b []byte, at int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.fail != nil {
		return 0, f.m.fail
	}
	if f.m.room >= 0 {
		if int64(len(b)) > f.m.room {
			return 0, syscall.ENOSPC
		}
		f.m.room -= int64(len(b))
	}
	f.writes = append(f.writes, write{at, slices.Clone(b)})
	f.now = put(f.now, at, b)
	f.m.did()
	return len(b), nil
}

func (f *memoryFile) Truncate(n int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if n <= int64(len(f.now)) {
		f.now = f.now[:n:n]
	}
	f.writes = append(f.writes, write{at: n})
	return nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if f.m.fail != nil {
		return f.m.fail
	}
	f.synced, f.writes = slices.Clone(f.now), nil
	f.m.did()
	return nil
}

// did counts an operation; the lock is held.
func (m *memory) did() {
	m.ops++
	if m.after != nil {
		m.after(m.ops)
	}
}

// crash is what a power cut leaves: of what was not synced, some writes, some of them in part. The lock is held.
func (m *memory) crash(rng *rand.Rand) *memory {
	left := newMemory()
	for _, name := range slices.Sorted(maps.Keys(m.files)) {
		f := m.files[name]
		now := slices.Clone(f.synced)
		for _, w := range f.writes {
			switch {
			case w.data == nil:
				now = now[:min(w.at, int64(len(now)))]
			case rng.IntN(3) == 0: // lost
			case rng.IntN(3) == 0: // torn
				now = put(now, w.at, w.data[:rng.IntN(len(w.data)+1)])
			default:
				now = put(now, w.at, w.data)
			}
		}
		left.files[name] = &memoryFile{m: left, now: now, synced: slices.Clone(now)}
	}
	return left
}

// TestPowerCut cuts the power at random moments of a call: what is there afterwards is a recording that holds, and at most 2 s are missing.
func TestPowerCut(t *testing.T) {
	cuts := 150
	if os.Getenv("DUET_LONG") != "" {
		cuts = 10_000
	}
	const lasts = 8 * time.Second
	ops := 0
	run := func(m *memory) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r, err := New(Config{Dir: "r", Key: testKey(), FS: m})
			if err != nil {
				t.Fatal(err)
			}
			rec, err := r.Start(Info{Call: "c1"})
			if err != nil {
				t.Fatal(err)
			}
			parties := twoParties(t, rec, "c1")
			for at := time.Duration(0); at < lasts; at += 200 * time.Millisecond {
				for _, p := range parties {
					p.send(begin, at, at+200*time.Millisecond, nil)
				}
				<-time.After(200 * time.Millisecond)
			}
			if err := rec.Close("hangup"); err != nil {
				t.Error(err)
			}
			ops = m.ops
		})
	}
	run(newMemory()) // counts the operations
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 3))
	// One call leaves many cuts behind: a copy of what is left is taken at each of the operations that were drawn.
	for done := 0; done < cuts; {
		at := make(map[int]int)
		for range min(cuts-done, 2*ops) {
			at[1+rng.IntN(ops)]++
			done++
		}
		type cut struct {
			left  *memory
			clock time.Duration
		}
		var all []cut
		m := newMemory()
		var begin time.Time
		m.after = func(n int) {
			if begin.IsZero() {
				begin = time.Now()
			}
			for range at[n] {
				all = append(all, cut{m.crash(rng), time.Since(begin)})
			}
		}
		run(m)
		for _, c := range all {
			checkCut(t, c.left, c.clock)
			if t.Failed() {
				return
			}
		}
	}
	t.Logf("%d cuts at %d operations", cuts, ops)
}

// checkCut starts again on what a cut has left.
func checkCut(t *testing.T, m *memory, clock time.Duration) {
	r, err := New(Config{Dir: "r", Key: testKey(), FS: m})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Recover(); err != nil {
		t.Fatal(err)
	}
	if m.files["r/c1/"+chainFile] == nil || len(m.files["r/c1/"+chainFile].now) == 0 {
		if clock > 2*time.Second {
			t.Errorf("nothing is there after %v", clock)
		}
		return
	}
	report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: m})
	if err != nil {
		t.Fatal(err)
	}
	if len(report.Parts) > 0 && !report.Parts[0].Complete && clock < time.Second { // its first line was lost
		return
	}
	if report.Verdict != Genuine {
		t.Errorf("after %v: %s: %+v", clock, report.Verdict, report.Findings)
	}
	if lost := clock - report.Length; lost > 2*time.Second+100*time.Millisecond {
		t.Errorf("after %v there are %v", clock, report.Length)
	}
	if report.Length > 0 {
		f := m.files["r/c1/"+mediaFile]
		name := filepath.Join(t.TempDir(), mediaFile)
		if err := os.WriteFile(name, f.now, 0o600); err != nil {
			t.Fatal(err)
		}
		if d := decode(t, name); len(d.tracks) != 4 || slices.Max(d.ends) < report.Length-100*time.Millisecond {
			t.Errorf("after %v: %d tracks, %v of %v", clock, len(d.tracks), d.ends, report.Length)
		}
	}
}

// A disk that is full, or fails, ends the recording with an error, and what was written is whole.
func TestDiskFails(t *testing.T) {
	for name, broken := range map[string]func(m *memory){
		"full":  func(m *memory) { m.room = 100 },
		"fails": func(m *memory) { m.fail = errors.New("input/output error") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newMemory()
				failed := make(chan error, 1)
				r, err := New(Config{Dir: "r", Key: testKey(), FS: m, OnFail: func(_ string, err error) { failed <- err }})
				if err != nil {
					t.Fatal(err)
				}
				rec, err := r.Start(Info{Call: "c1"})
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				parties := twoParties(t, rec, "c1")
				for at := time.Duration(0); at < 6*time.Second; at += 200 * time.Millisecond {
					for _, p := range parties {
						p.send(begin, at, at+200*time.Millisecond, nil)
					}
					<-time.After(200 * time.Millisecond)
					if at == 3*time.Second {
						m.mu.Lock()
						broken(m)
						m.mu.Unlock()
					}
				}
				if err := <-failed; err == nil || rec.Err() == nil {
					t.Errorf("it failed with %v, %v", err, rec.Err())
				}
				if err := rec.Close("hangup"); err == nil {
					t.Error("the end is well")
				}
				m.room, m.fail = -1, nil
				if _, err := r.Recover(); err != nil {
					t.Fatal(err)
				}
				report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: m})
				if err != nil || report.Verdict != Genuine || report.Length < 2*time.Second {
					t.Errorf("%v: %+v", err, report)
				}
			})
		})
	}
}

// A disk that stands still for 5 s delays nobody and loses nothing.
func TestDiskStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		stalled := false
		m.after = func(n int) {
			if n == 20 {
				stalled = true
				<-time.After(5 * time.Second)
			}
		}
		r, err := New(Config{Dir: "r", Key: testKey(), FS: m})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Start(Info{Call: "c1"})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		parties := twoParties(t, rec, "c1")
		for at := time.Duration(0); at < 12*time.Second; at += 200 * time.Millisecond {
			before := time.Now()
			for _, p := range parties {
				p.send(begin, at, at+200*time.Millisecond, nil)
			}
			if took := time.Since(before); took > 0 {
				t.Fatalf("a frame waited for %v", took)
			}
			<-time.After(200 * time.Millisecond)
		}
		if err := rec.Close("hangup"); err != nil {
			t.Fatal(err)
		}
		report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: m})
		if err != nil || report.Verdict != Genuine || report.Length < 11*time.Second {
			t.Errorf("%v: %+v", err, report)
		}
		if !stalled {
			t.Error("the disk never stood still")
		}
	})
}
