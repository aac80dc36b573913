package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/gofrs/flock"
)

const (
	lockName  = "lock"
	maxHolder = 32 // bytes: a process number
)

// dirLock keeps others from a directory. The system lets go of it when the process ends, however it ends, so it is never left behind.
type dirLock struct{ file *flock.Flock }

// lockDir takes the directory for this Store, or tells who has it. The file stays when the lock is released: who removes it may take it
// from under somebody who has just locked it.
func lockDir(dir string) (*dirLock, error) {
	name := filepath.Join(dir, lockName)
	file := flock.New(name)
	ok, err := file.TryLock()
	if err != nil {
		return nil, fmt.Errorf("store: %s can't be locked: %w", dir, err)
	}
	if !ok {
		return nil, fmt.Errorf("%w: %s is used by %s: stop that one, or give each its own directory", ErrInUse, dir, holder(name))
	}
	// For holder; where a locked file can't be written, it is not told.
	_ = os.WriteFile(name, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o600)
	return &dirLock{file}, nil
}

// release lets the next one in.
func (d *dirLock) release() error {
	if err := d.file.Unlock(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// holder names the process that has the lock.
func holder(name string) string {
	b, err := os.ReadFile(name)
	pid := strings.TrimSpace(string(b))
	if err != nil || pid == "" || len(pid) > maxHolder {
		return "another process"
	}
	return "process " + pid
}
