package record

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// FS is the part of a file system that recordings need; tests have one that fails and forgets.
type FS interface {
	MkdirAll(dir string) error
	// Open opens a file for reading and writing, and makes it if it is not there.
	Open(name string) (File, error)
	// OpenRead opens a file for reading, which has to be there.
	OpenRead(name string) (File, error)
	ReadFile(name string) ([]byte, error)
	ReadDir(dir string) ([]fs.DirEntry, error)
	Remove(name string) error
	// SyncDir makes the names in a folder last.
	SyncDir(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Sync() error
	Truncate(size int64) error
	Size() (int64, error)
}

// Disk is the system's own.
type Disk struct{}

const (
	dirMode  = 0o700
	fileMode = 0o600
)

// MkdirAll makes a folder and those above it.
func (Disk) MkdirAll(dir string) error { return os.MkdirAll(dir, dirMode) }

// Open opens a file for reading and writing.
func (Disk) Open(name string) (File, error) {
	f, err := os.OpenFile(filepath.Clean(name), os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// OpenRead opens a file for reading.
func (Disk) OpenRead(name string) (File, error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	return diskFile{f}, nil
}

// ReadFile reads a whole file.
func (Disk) ReadFile(name string) ([]byte, error) { return os.ReadFile(filepath.Clean(name)) }

// ReadDir lists a folder.
func (Disk) ReadDir(dir string) ([]fs.DirEntry, error) { return os.ReadDir(dir) }

// Remove removes a file or an empty folder.
func (Disk) Remove(name string) error { return os.Remove(name) }

// SyncDir makes the names in a folder last; systems that can't do so do not fail.
func (Disk) SyncDir(dir string) error {
	d, err := os.Open(filepath.Clean(dir))
	if err != nil {
		return err
	}
	_ = d.Sync() // Windows has no such thing
	return d.Close()
}

type diskFile struct{ *os.File }

func (f diskFile) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
