package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const logFiles = "nats/jetstream/$G/streams/duet-log"

// TestDamage: files that are not whole are told, at the latest when the entry is read.
func TestDamage(t *testing.T) {
	t.Parallel()
	const n = 200
	flip := func(t *testing.T, name string, at func(size int) int) {
		t.Helper()
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[at(len(b))] ^= 0x55
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	middle := func(size int) int { return size / 2 }
	for name, damage := range map[string]func(t *testing.T, dir string){
		"description changed": func(t *testing.T, dir string) { flip(t, filepath.Join(dir, logFiles, "meta.inf"), middle) },
		"description gone":    func(t *testing.T, dir string) { remove(t, filepath.Join(dir, logFiles, "meta.inf")) },
		"log gone":            func(t *testing.T, dir string) { remove(t, filepath.Join(dir, logFiles)) },
		"all files gone":      func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "nats")) },
		"marker changed":      func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "log"), middle) },
		"marker of another":   func(t *testing.T, dir string) { flip(t, filepath.Join(dir, "log"), func(n int) int { return n - 3 }) },
		"entry changed":       func(t *testing.T, dir string) { flip(t, filepath.Join(dir, logFiles, "msgs/1.blk"), middle) },
		"entry changed, no index": func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, logFiles, "msgs/1.blk"), middle)
			remove(t, filepath.Join(dir, logFiles, "msgs/index.db"))
		},
		"last entry changed, no index": func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, logFiles, "msgs/1.blk"), func(n int) int { return n - 20 })
			remove(t, filepath.Join(dir, logFiles, "msgs/index.db"))
		},
		"last entry changed": func(t *testing.T, dir string) {
			flip(t, filepath.Join(dir, logFiles, "msgs/1.blk"), func(n int) int { return n - 20 })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := Open(t.Context(), Config{Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			fill(t, s, 0, n)
			closeStore(t, s)
			damage(t, dir)
			s, err = Open(within(t), Config{Dir: dir})
			if err == nil {
				defer closeStore(t, s)
				x := expect{t, 1}
				err = s.Read(within(t), 1, n, x.take)
				t.Logf("read %d entries", x.next-1)
			}
			if !errors.Is(err, ErrDamaged) {
				t.Fatalf("%v, want ErrDamaged", err)
			}
			t.Log(err)
			if strings.Contains(name, "gone") && !strings.Contains(err.Error(), "backup") {
				t.Errorf("%q does not say what to do", err)
			}
		})
	}
}

func remove(t *testing.T, name string) {
	t.Helper()
	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
}
