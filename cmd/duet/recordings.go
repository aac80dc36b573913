package main

import (
	"archive/zip"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"duet/record"
	"duet/signaling"
	"duet/signaling/desk"
)

// recordings is the library of a data directory, for the HTTP interface.
type recordings struct {
	dir string
	key ed25519.PublicKey
}

// openRecordings is the library of a data directory; nil if calls were never recorded there.
func openRecordings(data string) (signaling.Recordings, error) {
	key, err := openRecordKey(data, false)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &recordings{filepath.Join(data, recordDir), publicKey(key)}, nil
}

// refusal says in the interface's terms why something can't be done.
func refusal(call string, err error) error {
	switch {
	case errors.Is(err, record.ErrNone), errors.Is(err, record.ErrNoTrack), errors.Is(err, os.ErrNotExist):
		return signaling.NoRecording(call)
	case errors.Is(err, record.ErrRetained):
		return &desk.Error{Code: desk.Conflict, Text: err.Error()}
	}
	return err
}

func viewOf(s *record.Summary) signaling.RecordingView {
	v := signaling.RecordingView{
		Call: s.Call, Kind: s.Kind, Queue: s.Queue, Policy: s.Policy, Consent: s.Consent, Parties: []signaling.PartyName{}, Tracks: []string{}, Began: s.Began, Ended: s.Ended,
		Milli: s.Milli, Reason: s.Reason, State: string(s.State), Parts: s.Parts, Sealed: s.Sealed, Size: s.Size, Uploaded: s.Uploaded,
	}
	for _, p := range s.Parties {
		v.Parties = append(v.Parties, signaling.PartyName{User: p.User, Name: p.Name, Role: p.Role})
	}
	for _, t := range s.Tracks {
		v.Tracks = append(v.Tracks, t.User+", "+t.Detail)
	}
	if !s.Retain.IsZero() {
		v.Retain = &s.Retain
	}
	if s.Hold != nil {
		v.Hold = s.Hold.By + ": " + s.Hold.Reason
	}
	return v
}

// List lists them, the newest first.
func (l *recordings) List() ([]signaling.RecordingView, error) {
	list, err := record.List(l.dir)
	if err != nil {
		return nil, err
	}
	views := make([]signaling.RecordingView, 0, len(list))
	for i := range list {
		views = append(views, viewOf(&list[i]))
	}
	return views, nil
}

// Find finds one.
func (l *recordings) Find(call string) (*signaling.RecordingView, error) {
	s, err := record.Find(l.dir, call)
	if err != nil {
		return nil, refusal(call, err)
	}
	v := viewOf(s)
	return &v, nil
}

// Verify checks one.
func (l *recordings) Verify(_ context.Context, call string) (json.RawMessage, error) {
	s, err := record.Find(l.dir, call)
	if err != nil {
		return nil, refusal(call, err)
	}
	report, err := record.Verify(s.Folder, record.VerifyOptions{Key: l.key})
	if err != nil {
		return nil, err
	}
	return json.Marshal(report)
}

// Open opens the media of one, or one party's of it.
func (l *recordings) Open(call string, part int, party string) (io.ReadSeekCloser, time.Time, error) {
	s, err := record.Find(l.dir, call)
	if err != nil {
		return nil, time.Time{}, refusal(call, err)
	}
	name, legible := s.Media(part)
	if !legible {
		return nil, time.Time{}, &desk.Error{Code: desk.Conflict, Text: "the recording is sealed"}
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, time.Time{}, refusal(call, err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, time.Time{}, errors.Join(err, f.Close())
	}
	if party == "" {
		return f, info.ModTime(), nil
	}
	view, err := record.PartyView(f, party)
	if err != nil {
		_ = f.Close()
		return nil, time.Time{}, refusal(call, err)
	}
	return view, info.ModTime(), nil
}

// Export writes all files of one as a ZIP.
func (l *recordings) Export(w io.Writer, call string) error {
	s, err := record.Find(l.dir, call)
	if err != nil {
		return refusal(call, err)
	}
	return zipFolder(w, s.Folder, call)
}

// zipFolder writes a folder's files as they are: media does not get smaller.
func zipFolder(w io.Writer, folder, name string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, e := range entries {
		if !e.Type().IsRegular() {
			continue
		}
		if err := zipFile(z, filepath.Join(folder, e.Name()), name+"/"+e.Name()); err != nil {
			return err
		}
	}
	return z.Close()
}

func zipFile(z *zip.Writer, from, to string) (err error) {
	f, err := os.Open(filepath.Clean(from))
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	out, err := z.CreateHeader(&zip.FileHeader{Name: to, Method: zip.Store, Modified: info.ModTime()})
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, f); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	return nil
}

// Delete deletes one.
func (l *recordings) Delete(call string) error {
	if err := record.Delete(l.dir, call, time.Now()); err != nil {
		return refusal(call, err)
	}
	return nil
}

// Hold begins or ends a hold.
func (l *recordings) Hold(call, by, reason string) error {
	var h *record.Hold
	if reason != "" {
		h = &record.Hold{By: by, Reason: reason, Since: time.Now().UTC()}
	}
	if err := record.SetHold(l.dir, call, h); err != nil {
		return refusal(call, err)
	}
	return nil
}

// Key is what recordings are checked with.
func (l *recordings) Key() string { return record.FormatKey(l.key) }
