package rtmpchunk

import (
	"bytes"
	"io"
)

// maxHeld is how many messages a LiveWriter holds back at most. A stream begins with one of each slot.
const maxHeld = 16

// LiveWriter writes a stream as FLV while it comes. It holds the first messages back until it is known which kinds of media there
// are, because the file's header announces them, and one that announces what never comes keeps readers waiting for it: ffmpeg
// opens a stream without audio most of a minute late. After that each message is written at once, with one Write to the io.Writer.
type LiveWriter struct {
	w            *Writer
	held         []Message
	begun        bool
	audio, video bool // configured, or named by the metadata
	told         bool // there was metadata
}

// NewLiveWriter returns a LiveWriter on w.
func NewLiveWriter(w io.Writer) *LiveWriter { return &LiveWriter{w: NewWriter(w)} }

// Write writes a message or holds it back, and then keeps its payload. It fails with the io.Writer's errors and as [Writer.Write] does.
func (l *LiveWriter) Write(m Message) error {
	if l.begun {
		return l.w.Write(m)
	}
	info := Classify(m)
	switch {
	case info.Media:
		l.audio = l.audio || info.Kind == Audio
		l.video = l.video || info.Kind == Video
	case info.Slot == SlotMetadata: // it names a codec for each kind that is there
		l.told = true
		l.audio = l.audio || bytes.Contains(m.Payload, []byte("audiocodecid"))
		l.video = l.video || bytes.Contains(m.Payload, []byte("videocodecid"))
	}
	l.held = append(l.held, m)
	if info.Record && len(l.held) < maxHeld {
		return nil
	}
	return l.Flush()
}

// Flush writes the header and what is held back, if that has not happened. A stream without metadata may have either kind.
func (l *LiveWriter) Flush() error {
	if l.begun {
		return nil
	}
	l.begun = true
	if err := l.w.WriteHeader(l.audio || !l.told, l.video || !l.told); err != nil {
		return err
	}
	for _, m := range l.held {
		if err := l.w.Write(m); err != nil {
			return err
		}
	}
	l.held = nil
	return nil
}
