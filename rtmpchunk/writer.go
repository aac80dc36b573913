package rtmpchunk

import (
	"encoding/binary"
	"io"
)

// Writer writes messages as an FLV file or stream. Every call makes at most one call of the underlying Write, with a whole
// tag, so what was written before an error is a playable file. It is not safe for concurrent use.
type Writer struct {
	w     io.Writer
	buf   []byte
	begun bool
}

// NewWriter returns a writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// WriteHeader writes the file's header, which says what kinds of media to expect. It comes first, and only once; a Write
// without it writes a header that announces both.
func (w *Writer) WriteHeader(hasAudio, hasVideo bool) error {
	w.begin(hasAudio, hasVideo)
	return w.flush()
}

// Write writes one message. A message that FLV has no tag for, such as a command, is left out. A body that no tag can hold
// gives [ErrTooLarge]. The payload is not retained.
func (w *Writer) Write(m Message) error {
	if !isTagType(m.Type) {
		return nil
	}
	if len(m.Payload) > flvMaxBody {
		return tooLarge(len(m.Payload))
	}
	if !w.begun {
		w.begin(true, true)
	}
	var header [flvTagHeader]byte
	putTagHeader(header[:], m.Type, m.Timestamp, len(m.Payload))
	w.buf = append(w.buf, header[:]...)
	w.buf = append(w.buf, m.Payload...)
	w.buf = binary.BigEndian.AppendUint32(w.buf, uint32(flvTagHeader+len(m.Payload)))
	return w.flush()
}

// begin puts the file's header, with the size 0 of no tag before the first, into the buffer.
func (w *Writer) begin(hasAudio, hasVideo bool) {
	var flags byte
	if hasAudio {
		flags |= flvHasAudio
	}
	if hasVideo {
		flags |= flvHasVideo
	}
	w.begun = true
	w.buf = append(w.buf, 'F', 'L', 'V', flvVersion, flags, 0, 0, 0, flvHeader, 0, 0, 0, 0)
}

// flush writes the buffer out and empties it.
func (w *Writer) flush() error {
	_, err := w.w.Write(w.buf)
	w.buf = w.buf[:0]
	return err
}
