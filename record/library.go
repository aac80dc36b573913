package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// State is how a recording stands.
type State string

// The states.
const (
	Complete    State = "complete"
	Interrupted State = "interrupted" // the server went down in the middle; what there is holds
	Open        State = "open"        // being recorded, or a crash that no start has looked after yet
)

// Summary is a recording in a list. It says what the recording says of itself: Verify checks it.
type Summary struct {
	Call     string    `json:"call"`
	Kind     string    `json:"kind,omitempty"`
	Queue    string    `json:"queue,omitempty"`
	Policy   string    `json:"policy,omitempty"`
	Consent  string    `json:"consent,omitempty"`
	Parties  []Note    `json:"parties"`
	Tracks   []Note    `json:"tracks"`
	Began    string    `json:"began"`
	Ended    string    `json:"ended,omitempty"`
	Milli    int64     `json:"ms"`
	Reason   string    `json:"reason,omitempty"`
	State    State     `json:"state"`
	Parts    int       `json:"parts"`
	Sealed   bool      `json:"sealed"`
	Size     int64     `json:"size"` // bytes of all files
	Retain   time.Time `json:"retain,omitzero"`
	Hold     *Hold     `json:"hold,omitempty"`
	Uploaded string    `json:"uploaded,omitempty"` // where to
	Folder   string    `json:"-"`
}

// Hold keeps a recording from being deleted, whatever its time.
type Hold struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
}

const (
	holdFile   = keeperPrefix + "hold.json"
	uploadFile = keeperPrefix + "upload.json"
)

var (
	// ErrRetained means that a recording must not be deleted yet.
	ErrRetained = errors.New("record: the recording has to be kept")
	// ErrNone means that there is no such recording.
	ErrNone = errors.New("record: there is no such recording")
)

// List reads all recordings of a directory, the newest first. A folder that can't be read is left out.
func List(dir string) ([]Summary, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Summary
	for _, e := range entries {
		if !e.IsDir() || !validName(e.Name()) {
			continue
		}
		if s, err := Find(dir, e.Name()); err == nil {
			list = append(list, *s)
		}
	}
	slices.SortStableFunc(list, func(a, b Summary) int { return strings.Compare(b.Began, a.Began) })
	return list, nil
}

// Find reads one. It fails with ErrNone if it is not there.
func Find(dir, call string) (*Summary, error) {
	if !validName(call) {
		return nil, fmt.Errorf("%w: %.40q", ErrNone, call)
	}
	folder := filepath.Join(dir, call)
	parts, err := listParts(Disk{}, folder)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrNone, call)
	}
	s := &Summary{Call: call, State: Complete, Parts: len(parts), Parties: []Note{}, Tracks: []Note{}, Folder: folder}
	for _, n := range parts {
		m, open, err := manifest(folder, n)
		if err != nil {
			return nil, err
		}
		if s.Began == "" {
			s.Began = m.Began
		}
		s.Kind, s.Queue, s.Policy, s.Consent, s.Reason, s.Ended = m.Kind, m.Queue, m.Policy, m.Consent, m.Reason, m.Ended
		s.Milli += m.Milli
		s.Sealed = s.Sealed || len(m.Sealed) > 0
		s.Tracks = append(s.Tracks, m.Tracks...)
		for _, p := range m.Parties {
			if !slices.ContainsFunc(s.Parties, func(have Note) bool { return have.User == p.User }) {
				s.Parties = append(s.Parties, p)
			}
		}
		if m.Interrupted && s.State == Complete {
			s.State = Interrupted
		}
		if open {
			s.State = Open
		}
		if t, err := time.Parse(wallFormat, m.Retain); err == nil && t.After(s.Retain) {
			s.Retain = t
		}
	}
	files, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		if info, err := f.Info(); err == nil {
			s.Size += info.Size()
		}
	}
	if s.Hold, err = readKeeper[Hold](folder, holdFile); err != nil {
		return nil, err
	}
	up, err := readKeeper[uploaded](folder, uploadFile)
	if err == nil && up != nil && up.Done {
		s.Uploaded = up.Target
	}
	return s, err
}

// manifest reads a part's, or makes it of the chain as far as that goes; open: there is no end yet.
func manifest(folder string, n int) (m *Manifest, open bool, err error) {
	b, err := readFile(Disk{}, folder, partName(manifestFile, n))
	if err == nil && hasEnd(filepath.Join(folder, partName(chainFile, n))) {
		m = new(Manifest)
		return m, false, json.Unmarshal(b, m)
	}
	chain, err := readChain(Disk{}, folder, n)
	if errors.Is(err, errNoChain) {
		return &Manifest{}, true, nil
	}
	if err != nil {
		return nil, false, err
	}
	return manifestOf(&chain.begin, chain.links), true, nil
}

// hasEnd reports whether the last line of a chain is an end.
func hasEnd(name string) bool {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return false
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return false
	}
	tail := make([]byte, min(info.Size(), maxEndLine))
	if _, err := f.ReadAt(tail, info.Size()-int64(len(tail))); err != nil {
		return false
	}
	line, whole := bytes.CutSuffix(tail, []byte("\n"))
	l, err := parseLink(line[bytes.LastIndexByte(line, '\n')+1:])
	return whole && err == nil && l.Kind == KindEnd
}

const maxEndLine = 8 << 10

func readKeeper[T any](folder, name string) (*T, error) {
	b, err := readFile(Disk{}, folder, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v := new(T)
	return v, json.Unmarshal(b, v)
}

func writeKeeper(folder, name string, v any) error {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	part := filepath.Join(folder, name+".part")
	if err := os.WriteFile(part, append(b, '\n'), fileMode); err != nil {
		return err
	}
	return os.Rename(part, filepath.Join(folder, name))
}

// SetHold begins a hold, or with nil ends it.
func SetHold(dir, call string, h *Hold) error {
	s, err := Find(dir, call)
	if err != nil {
		return err
	}
	if h != nil {
		return writeKeeper(s.Folder, holdFile, h)
	}
	if err := os.Remove(filepath.Join(s.Folder, holdFile)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Delete removes a recording. It fails with ErrRetained while it has to be kept.
func Delete(dir, call string, now time.Time) error {
	s, err := Find(dir, call)
	switch {
	case err != nil:
		return err
	case s.Hold != nil:
		return fmt.Errorf("%w: %s holds it since %s: %s", ErrRetained, s.Hold.By, s.Hold.Since.Format(time.DateOnly), s.Hold.Reason)
	case now.Before(s.Retain):
		return fmt.Errorf("%w until %s", ErrRetained, s.Retain.Format(time.DateOnly))
	case s.State == Open:
		return fmt.Errorf("%w: it is being recorded", ErrRetained)
	}
	gone := filepath.Join(dir, "."+call+".deleted") // at once, or not at all
	if err := os.Rename(s.Folder, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}

// Media is the path of a part's media.mp4; false if it is sealed.
func (s *Summary) Media(part int) (string, bool) {
	return filepath.Join(s.Folder, partName(mediaFile, part)), !s.Sealed
}
