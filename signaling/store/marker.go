package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	d, err := os.Open(e.dir)
	if err != nil {
		return err
	}
	_ = d.Sync() // not every system can; without it the name comes a moment later
	return d.Close()
}
