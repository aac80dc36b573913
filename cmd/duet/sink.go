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
	writer *rtmpchunk.Writer

	whole  int64 // bytes written as whole tags
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
	s.writer = rtmpchunk.NewWriter(s.w)
	return s, nil
}

// write appends one message.
func (s *sink) write(f *client.Frame) error {
	m := f.Message
	if !s.any {
		if err := s.writer.WriteHeader(true, true); err != nil {
			return s.wrap(err)
		}
		s.run, s.any, s.whole = f.Run, true, flvHeader
	}
	if f.Run != s.run {
		s.run = f.Run
		s.shift = s.latest + runGap - m.Timestamp
	}
	m.Timestamp += s.shift
	if int32(m.Timestamp-s.latest) > 0 {
		s.latest = m.Timestamp
	}
	if err := s.writer.Write(m); err != nil {
		if s.file != nil { // a tag that is half there would be an error to a reader
			_ = s.file.Truncate(s.whole)
		}
		return s.wrap(err)
	}
	s.whole += int64(flvTag + len(m.Payload))
	return nil
}

// Bytes that FLV adds: at its beginning, and to each message.
const (
	flvHeader = 13
	flvTag    = 15
)

// runGap is the time between two runs of a pusher in the output, in ms: one frame.
const runGap = 40

// wrap says what became of the output.
func (s *sink) wrap(err error) error {
	text := "writing " + s.path + " failed"
	if s.path == "-" {
		text = "writing to standard output failed"
	}
	ce := &client.CodeError{Code: client.CodeIO, Text: text + ": " + reasonOf(err) + "; what was written is playable", Err: err}
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
	if s.file == nil {
		return nil
	}
	err := s.file.Close()
	s.file = nil
	if err != nil {
		return s.wrap(err)
	}
	return nil
}
