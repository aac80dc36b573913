package record

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/Eyevinn/mp4ff/mp4"
)

// ErrNoTrack says that a party has no track in a media.mp4.
var ErrNoTrack = errors.New("record: the party has no track")

// PartyView is a media.mp4 with one party's tracks: programs that play one picture and one sound, browsers say, then play that party's. Every byte has the place that
// it has in f: the others' descriptions are boxes of another name, and media without a description is passed over. Closing it closes f.
func PartyView(f io.ReadSeekCloser, user string) (io.ReadSeekCloser, error) {
	region := make([]byte, initSize)
	n, err := io.ReadFull(f, region)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, fmt.Errorf("record: a media.mp4 without a beginning: %w", err)
	}
	region = region[:n]
	file, err := mp4.DecodeFile(bytes.NewReader(trimInit(region)))
	if err != nil {
		return nil, fmt.Errorf("record: media.mp4: %w", err)
	}
	if file.Moov == nil {
		return nil, ErrNoTrack
	}
	found := false
	at := file.Moov.StartPos + boxHeader
	for _, box := range file.Moov.Children {
		if trak, ok := box.(*mp4.TrakBox); ok {
			if trak.Mdia != nil && trak.Mdia.Hdlr != nil && strings.HasPrefix(trak.Mdia.Hdlr.Name, trackOwner(user)) {
				found = true
			} else {
				copy(region[at+4:], "free")
			}
		}
		at += box.Size()
	}
	if !found {
		return nil, ErrNoTrack
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("record: %w", err)
	}
	return &overlay{ReadSeekCloser: f, head: region}, nil
}

// trackOwner is what the names of a user's tracks begin with.
func trackOwner(user string) string { return user + " (" }

// overlay is a file whose beginning reads as head.
type overlay struct {
	io.ReadSeekCloser
	head []byte
	at   int64
}

func (o *overlay) Read(b []byte) (int, error) {
	n, err := o.ReadSeekCloser.Read(b)
	if o.at < int64(len(o.head)) {
		copy(b[:n], o.head[o.at:])
	}
	o.at += int64(n)
	return n, err
}

func (o *overlay) Seek(offset int64, whence int) (int64, error) {
	at, err := o.ReadSeekCloser.Seek(offset, whence)
	if err == nil {
		o.at = at
	}
	return at, err
}
