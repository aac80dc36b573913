package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"duet/client"
	"duet/rtmpchunk"
)

// source reads messages from an FLV file or pipe.
type source struct {
	path   string
	in     io.Reader // for "-"
	data   []byte    // in memory, in place of a file
	file   *os.File
	reader *rtmpchunk.Reader
	paced  bool // a file is paced by its timestamps, a pipe is read as it comes
	loop   bool

	first  *rtmpchunk.Message // read already, to see that it is FLV
	shift  uint32             // of timestamps, in later rounds
	begin  uint32             // timestamp of this round's first message
	latest uint32             // highest timestamp so far, shifted
	step   uint32             // distance between the latest two different timestamps
	any    bool
	pace   pace
}

// openSource opens path, or in for "-", and reads the first message, so that what is no FLV is found before anything is sent.
func openSource(path string, in io.Reader, loop bool) (*source, error) {
	s := &source{path: path, in: in, loop: loop, step: 40}
	if path == "-" && loop {
		return nil, misusef("--loop needs a file: standard input can't be read twice")
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	m, err := s.reader.Read()
	switch {
	case errors.Is(err, io.EOF):
		err = fmt.Errorf("%s holds no message", s.name())
	case err != nil:
		err = s.wrap(err)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	s.first = &m
	return s, nil
}

// newSource reads from memory, paced.
func newSource(name string, data []byte, loop bool) *source {
	return &source{path: name, data: data, loop: loop, reader: rtmpchunk.NewReader(bytes.NewReader(data)), paced: true, step: 40}
}

func (s *source) open() error {
	if s.data != nil {
		s.reader = rtmpchunk.NewReader(bytes.NewReader(s.data))
		return nil
	}
	if s.path == "-" {
		s.reader = rtmpchunk.NewReader(s.in)
		return nil
	}
	f, err := os.Open(s.path)
	if err != nil {
		return &client.CodeError{Code: client.CodeIO, Text: "--input: " + err.Error(), Err: err}
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return fmt.Errorf("--input: %w", err)
	}
	s.paced = info.Mode().IsRegular()
	s.file, s.reader = f, rtmpchunk.NewReader(f)
	return nil
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}

func (s *source) name() string {
	if s.path == "-" {
		return "standard input"
	}
	return s.path
}

// wrap gives a reading error the field's code and says what to do.
func (s *source) wrap(err error) error {
	switch {
	case errors.Is(err, rtmpchunk.ErrNotFLV):
		return withHint(&client.CodeError{Code: client.CodeIO, Text: s.name() + ": " + err.Error(), Err: err}, "ffmpeg -i IN -c copy OUT.flv makes one")
	case errors.Is(err, rtmpchunk.ErrTruncated):
		return &client.CodeError{Code: client.CodeIO, Text: s.name() + " is cut off; everything before that was sent", Err: err}
	default:
		return &client.CodeError{Code: client.CodeIO, Text: s.name() + ": " + err.Error(), Err: err}
	}
}

// next returns the next message when its time has come: io.EOF at the end, ctx's error if that ends.
func (s *source) next(ctx context.Context) (rtmpchunk.Message, error) {
	m, err := s.read()
	if err != nil {
		return m, err
	}
	if !s.any {
		s.begin = m.Timestamp
	}
	m.Timestamp += s.shift
	if d := m.Timestamp - s.latest; !s.any || d < 1<<31 {
		if s.any && d > 0 {
			s.step = d
		}
		s.latest = m.Timestamp
	}
	s.any = true
	if !s.paced {
		return m, ctx.Err()
	}
	return m, s.pace.wait(ctx, m.Timestamp)
}

// read takes the next message, from the beginning again where the file is looped.
func (s *source) read() (rtmpchunk.Message, error) {
	if s.first != nil {
		m := *s.first
		s.first = nil
		s.begin = m.Timestamp
		return m, nil
	}
	for {
		m, err := s.reader.Read()
		switch {
		case err == nil:
			return m, nil
		case errors.Is(err, rtmpchunk.ErrTooLarge): // skipped; the rest can be sent
			return m, s.wrap(err)
		case errors.Is(err, io.EOF) && s.loop:
			s.close()
			if err := s.open(); err != nil {
				return m, err
			}
			s.shift = s.latest + s.step - s.begin
			continue
		case errors.Is(err, io.EOF):
			return m, io.EOF
		default:
			return m, s.wrap(err)
		}
	}
}
