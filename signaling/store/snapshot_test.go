package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
)

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	rng := rand.New(rand.NewPCG(seed, seed))
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func checkSnapshot(t *testing.T, s *Store, want uint64, data []byte) {
	t.Helper()
	seq, b, err := s.LoadSnapshot(within(t))
	if err != nil || seq != want || !bytes.Equal(b, data) {
		t.Fatalf("LoadSnapshot: %d with %d bytes, %v; want %d with %d", seq, len(b), err, want, len(data))
	}
}

func save(t *testing.T, s *Store, seq uint64, data []byte) {
	t.Helper()
	if err := s.SaveSnapshot(within(t), seq, data); err != nil {
		t.Fatal(err)
	}
}

func testSnapshots(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 10)
	checkSnapshot(t, s, 0, nil)
	if err := s.SaveSnapshot(within(t), 0, nil); err == nil {
		t.Error("a snapshot of no entry was saved")
	}
	sizes := []int{0, 1, chunkSize - 1, chunkSize, chunkSize + 1, 3*chunkSize + 7}
	for i, size := range sizes {
		seq := uint64(i) + 1
		save(t, s, seq, noise(seq, size))
		checkSnapshot(t, s, seq, noise(seq, size))
	}
	if whole, err := s.snapshots(within(t)); err != nil || !reflect.DeepEqual(whole, []uint64{6, 5}) {
		t.Errorf("kept are %d, %v", whole, err)
	}
	if info, err := s.snaps.Info(within(t)); err != nil || info.State.Msgs != 2+2+4 {
		t.Errorf("%d messages are kept, %v", info.State.Msgs, err)
	}
	save(t, s, 3, nil) // an older one changes nothing
	checkSnapshot(t, s, 6, noise(6, sizes[5]))
	save(t, s, 6, noise(60, 10)) // the same once more
	checkSnapshot(t, s, 6, noise(60, 10))
	closeStore(t, s)
	checkSnapshot(t, p.open(t), 6, noise(60, 10))
}

// testSnapshotCrash: whatever a process that died left behind, the last whole snapshot is there, and what was left is removed in time.
func testSnapshotCrash(t *testing.T, p place) {
	s := p.open(t)
	fill(t, s, 0, 10)
	good := noise(1, 2*chunkSize)
	save(t, s, 2, good)

	// Died before the manifest.
	ctx := within(t)
	for range 3 {
		if _, err := s.publishSnap(ctx, s.cfg.Name+snapSubject+chunkSubject+"3.DEAD", noise(2, chunkSize)); err != nil {
			t.Fatal(err)
		}
	}
	checkSnapshot(t, s, 2, good)

	// Canceled while it is saved.
	for i := range 4 {
		ctx, cancel := context.WithCancel(ctx)
		s := &Store{cfg: s.cfg, js: &canceling{JetStream: s.js, cancel: cancel, left: i}, snaps: s.snaps, log: s.log, life: s.life, server: s.server}
		if err := s.SaveSnapshot(ctx, 4, noise(3, 3*chunkSize)); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		checkSnapshot(t, s, 2, good)
	}

	// Manifests that lie.
	sum := sha256.Sum256(good)
	for i, m := range [][]byte{
		nil, []byte("{}"),
		(&manifest{Seq: 5, Size: len(good), Hash: sum, Chunks: []uint64{1, 1 << 40}}).encode(),
		(&manifest{Seq: 5, Size: len(good), Hash: sum, Chunks: []uint64{2, 1}}).encode(),
		(&manifest{Seq: 5, Size: len(good) - 1, Hash: sum, Chunks: []uint64{1, 2}}).encode(),
		(&manifest{Seq: 6, Size: len(good), Hash: sum, Chunks: []uint64{1, 2}}).encode(),
	} {
		if _, err := s.publishSnap(ctx, s.wholeSubject(5), m); err != nil {
			t.Fatal(err)
		}
		seq, b, err := s.LoadSnapshot(ctx)
		if err != nil || seq != 2 || !bytes.Equal(b, good) {
			t.Fatalf("manifest %d: %d, %v", i, seq, err)
		}
	}

	save(t, s, 8, good)
	save(t, s, 9, good)
	subjects, err := s.snapSubjects(ctx, ">")
	if err != nil {
		t.Fatal(err)
	}
	for subject, seq := range subjects {
		if seq < 8 {
			t.Errorf("left behind: %s", subject)
		}
	}

	// The newest is broken: the one before it is taken.
	if err := s.snaps.Purge(ctx, jetstream.WithPurgeSubject(s.cfg.Name+snapSubject+chunkSubject+"9.>")); err != nil {
		t.Fatal(err)
	}
	checkSnapshot(t, s, 8, good)
}

// canceling ends a context instead of the publication that comes after left others.
type canceling struct {
	jetstream.JetStream
	cancel context.CancelFunc
	left   int
}

func (c *canceling) PublishMsg(ctx context.Context, m *natsMsg, opts ...jetstream.PublishOpt) (*jetstream.PubAck, error) {
	if c.left--; c.left < 0 {
		c.cancel()
		return nil, context.Canceled
	}
	return c.JetStream.PublishMsg(ctx, m, opts...)
}

// TestPowerCut: with syncs at intervals, a log that ends too early is told, and a snapshot that is ahead of it passed over.
func TestPowerCut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := mustOpen(t, Config{Dir: dir, Sync: minSync})
	fill(t, s, 0, 100)
	save(t, s, 10, []byte("ten"))
	save(t, s, 90, []byte("ninety"))
	closeStore(t, s)
	cut(t, filepath.Join(dir, logFiles, "msgs/1.blk"))
	remove(t, filepath.Join(dir, logFiles, "msgs/index.db"))

	log, out := captured()
	s = mustOpen(t, Config{Dir: dir, Sync: minSync, Logger: log})
	last, err := s.Last(within(t))
	if err != nil || last < 20 || last > 80 {
		t.Fatalf("Last: %d, %v", last, err)
	}
	checkSnapshot(t, s, 10, []byte("ten"))
	if text := out(); !strings.Contains(text, "not synced") || !strings.Contains(text, "last="+strconv.FormatUint(last, 10)) {
		t.Errorf("it was not told: %s", text)
	}
	fill(t, s, last, 100)
	checkSnapshot(t, s, 90, []byte("ninety"))
	closeStore(t, s)

	// Without intervals the same is damage.
	remove(t, filepath.Join(dir, "last"))
	s = mustOpen(t, Config{Dir: dir})
	fill(t, s, last+100, 1)
	closeStore(t, s)
	cut(t, filepath.Join(dir, logFiles, "msgs/1.blk"))
	remove(t, filepath.Join(dir, logFiles, "msgs/index.db"))
	if _, err := Open(within(t), Config{Dir: dir}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a log that was cut: %v", err)
	}
	remove(t, filepath.Join(dir, "last")) // as the error says
	mustOpen(t, Config{Dir: dir})
}

func FuzzManifest(f *testing.F) {
	f.Add((&manifest{Seq: 1}).encode())
	f.Add((&manifest{Seq: 77, Size: chunkSize + 1, Hash: sha256.Sum256(nil), Chunks: []uint64{4, 5}}).encode())
	f.Add([]byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := parseManifest(b)
		if err != nil {
			return
		}
		if m.Size > len(m.Chunks)*chunkSize {
			t.Fatalf("%d bytes in %d chunks", m.Size, len(m.Chunks))
		}
		if again := m.encode(); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
