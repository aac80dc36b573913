package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// marker is the file that tells which log the directory holds: its first line is markerHead, its second the time at which the log was made. A
// server that finds the log's own description damaged goes on without it, and a new log would be made in its place: that is noticed here.
const (
	markerName = "log"
	markerHead = "duet log 1\n"
)

// readMarker returns the second line, "" if there is no log yet.
func (e *embedded) readMarker() (string, error) {
	b, err := os.ReadFile(filepath.Join(e.dir, markerName))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("store: %w", err)
	}
	made, ok := strings.CutPrefix(string(b), markerHead)
	made, whole := strings.CutSuffix(made, "\n")
	if !ok || !whole {
		return "", fmt.Errorf("%w: %s is not readable: it was made by another version, or is damaged", ErrDamaged, filepath.Join(e.dir, markerName))
	}
	return made, nil
}

// writeMarker is on disk when it returns.
func (e *embedded) writeMarker(made string) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("store: %w", err)
		}
	}()
	name := filepath.Join(e.dir, markerName)
	f, err := os.OpenFile(name+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(markerHead + made + "\n")
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(name+".new", name); err != nil {
		return err
	}
	return syncFile(e.dir)
}

// clear removes the description of a stream that the server does not know. A server that is killed while it writes a
// description leaves one without a checksum, which it then does not read; nor does it write another, since there is one, and what is made in its place is
// unknown again at the next start. What the stream holds stays.
func (e *embedded) clear(stream string) error {
	dir := filepath.Join(e.dir, serverDir, server.JetStreamStoreDir, server.DEFAULT_GLOBAL_ACCOUNT, "streams", stream)
	for _, name := range []string{server.JetStreamMetaFile, server.JetStreamMetaFileSum} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("store: %w", err)
		}
	}
	return nil
}

// syncFiles syncs all that the server has written. With syncs at intervals it leaves descriptions, which it writes only once, to the system.
func (e *embedded) syncFiles() error {
	return filepath.WalkDir(e.dir, func(name string, _ os.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) { // a temporary one
			return nil
		}
		if err != nil {
			return fmt.Errorf("store: %w", err)
		}
		return syncFile(name)
	})
}

// syncFile syncs a file or a directory. Not every system can do so with directories, or with files that are open for reading: there it comes a moment later.
func syncFile(name string) error {
	f, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) { // a temporary one
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	_ = f.Sync()
	return f.Close()
}
