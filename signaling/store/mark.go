package store

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// mark is a file that holds the number of the last entry that was acknowledged. A server that finds a bad record in the log's last file cuts
// off everything from there, without an error: the mark tells. It is written after every append and never synced, so a kill leaves it right, and a
// power cut leaves it behind a log that is synced, which does no harm. A log that is synced at intervals may itself be behind.
//
//	8     number of the entry, big-endian; the highest bit is set if the log was synced at intervals
//	8     the same with all bits inverted
const (
	markName     = "last"
	markSize     = 16
	markInterval = 1 << 63
)

type mark struct {
	interval bool // the log is synced at intervals

	mu   sync.Mutex // guards what follows
	file *os.File
	last uint64
}

// openMark opens the file, and returns what it says: 0 if that can't be told.
func openMark(dir string, interval bool) (m *mark, last uint64, synced bool, err error) {
	f, err := os.OpenFile(filepath.Join(dir, markName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, 0, false, fmt.Errorf("store: %w", err)
	}
	m = &mark{interval: interval, file: f}
	b := make([]byte, markSize)
	if n, _ := f.ReadAt(b, 0); n < markSize { // new, or cut by a crash
		return m, 0, false, nil
	}
	last = binary.BigEndian.Uint64(b)
	if binary.BigEndian.Uint64(b[8:]) != ^last {
		return m, 0, false, nil
	}
	return m, last &^ markInterval, last&markInterval == 0, nil
}

// raise notes that an entry was acknowledged.
func (m *mark) raise(seq uint64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if seq <= m.last {
		return nil
	}
	last := seq
	if m.interval {
		last |= markInterval
	}
	b := binary.BigEndian.AppendUint64(make([]byte, 0, markSize), last)
	b = binary.BigEndian.AppendUint64(b, ^last)
	if _, err := m.file.WriteAt(b, 0); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	m.last = seq
	return nil
}

func (m *mark) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.file.Close()
}
