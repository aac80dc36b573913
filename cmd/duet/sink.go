package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"duet/client"
	"duet/rtmpchunk"
)

// sink writes messages to an FLV file or pipe, each at once. Its file is playable at any moment. Where a new run of the pusher
// begins, timestamps go on from the last one.
type sink struct {
	path   string
	w      io.Writer
	file   *os.File
	writer *rtmpchunk.LiveWriter

	bytes  int64 // written
	any    bool
	run    uint32
	shift  uint32
	latest uint32
}

func openSink(path string, out io.Writer) (*sink, error) {
	s := &sink{path: path, w: out}
	if path != "-" {
		f, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("--output: %w", err)
		}
		s.file, s.w = f, f
	}
	s.writer = rtmpchunk.NewLiveWriter(s)
	return s, nil
}

// Write counts what goes out.
func (s *sink) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	s.bytes += int64(n)
	return n, err
}

// write appends one message.
func (s *sink) write(f *client.Frame) error {
	m := f.Message
	if !s.any {
		s.run, s.any = f.Run, true
	}
	if f.Run != s.run {
		s.run = f.Run
		s.shift = s.latest + runGap - m.Timestamp
	}
	m.Timestamp += s.shift
	if int32(m.Timestamp-s.latest) > 0 {
		s.latest = m.Timestamp
	}
	return s.guarded(func() error { return s.writer.Write(m) })
}

// guarded writes, and takes back what a failure leaves: a tag that is half there would be an error to a reader.
func (s *sink) guarded(write func() error) error {
	whole := s.bytes
	err := write()
	if err == nil {
		return nil
	}
	if s.file != nil {
		_ = s.file.Truncate(whole)
	}
	return s.wrap(err)
}

// runGap is the time between two runs of a pusher in the output, in ms: one frame.
const runGap = 40

// wrap says what became of the output.
func (s *sink) wrap(err error) error {
	text := "writing " + s.path + " failed: " + reasonOf(err) + "; what was written is playable"
	if s.path == "-" {
		text = "writing to standard output failed: " + reasonOf(err)
	}
	ce := &client.CodeError{Code: client.CodeIO, Text: text, Err: err}
	if errors.Is(err, syscall.ENOSPC) {
		return withHint(ce, "free some space or give --output on another disk")
	}
	return ce
}

// reasonOf is an error without the path that its message names again.
func reasonOf(err error) string {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}

func (s *sink) close() error {
	err := s.guarded(s.writer.Flush)
	if s.file == nil {
		return err
	}
	cerr := s.file.Close()
	s.file = nil
	if err == nil && cerr != nil {
		err = s.wrap(cerr)
	}
	return err
}
