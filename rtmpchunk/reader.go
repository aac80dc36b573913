package rtmpchunk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// readStep is how much of a tag's body is asked for at once, so that a length costs memory only as fast as bytes come.
const readStep = 64 << 10

// Reader reads the messages of an FLV file or stream. It is not safe for concurrent use.
type Reader struct {
	r      *bufio.Reader
	offset int64
	begun  bool
	err    error
}

// NewReader returns a reader of r. It reads nothing before the first Read; from then on it may read ahead.
func NewReader(r io.Reader) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, readStep)}
}

// Read returns the next message, whose payload is the caller's to keep. At the input's end it returns io.EOF, or
// [ErrTruncated] if that is inside a tag. Other errors are [ErrNotFLV], [ErrEncrypted], a [*FormatError], or the input's own;
// they are final, and come again. A tag larger than [MaxMessage] is passed over and gives [ErrTooLarge]: then reading can
// go on. The size that follows a tag is not looked at, because many writers get it wrong.
func (r *Reader) Read() (Message, error) {
	if r.err != nil {
		return Message{}, r.err
	}
	m, err := r.read()
	if err != nil && !errors.Is(err, ErrTooLarge) {
		r.err = err
	}
	return m, err
}

func (r *Reader) read() (Message, error) {
	if !r.begun {
		if err := r.readHeader(); err != nil {
			return Message{}, err
		}
		r.begun = true
	}
	var b [flvTagSize + flvTagHeader]byte
	switch n, err := io.ReadFull(r.r, b[:]); {
	case err == io.EOF, err == io.ErrUnexpectedEOF && n <= flvTagSize:
		return Message{}, io.EOF // a last size that is missing or cut off takes nothing away
	case err == io.ErrUnexpectedEOF:
		return Message{}, r.truncated()
	case err != nil:
		return Message{}, err
	}
	r.offset += flvTagSize
	tag := b[flvTagSize:]
	m := Message{Type: tag[0] & flvTypeMask, Timestamp: tagTimestamp(tag)}
	size := int(uint24(tag[1:]))
	switch {
	case tag[0]&flvReserved != 0 || !isTagType(m.Type):
		return Message{}, &FormatError{r.offset, fmt.Sprintf("no tag begins with the byte %#02x", tag[0])}
	case tag[0]&flvEncrypted != 0:
		return Message{}, fmt.Errorf("%w (tag at byte %d)", ErrEncrypted, r.offset)
	case size > MaxMessage:
		switch _, err := r.r.Discard(size); {
		case err == io.EOF:
			return Message{}, r.truncated()
		case err != nil:
			return Message{}, err
		}
		at := r.offset
		r.offset += flvTagHeader + int64(size)
		return Message{}, fmt.Errorf("%w (tag at byte %d)", tooLarge(size), at)
	}
	payload, err := readBody(r.r, size)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return Message{}, r.truncated()
	case err != nil:
		return Message{}, err
	}
	m.Payload = payload
	r.offset += flvTagHeader + int64(size)
	return m, nil
}

// readHeader reads the file's header.
func (r *Reader) readHeader() error {
	var b [flvHeader]byte
	n, err := io.ReadFull(r.r, b[:])
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if !bytes.HasPrefix(b[:n], []byte("FLV")) {
		return ErrNotFLV
	}
	if n < flvHeader {
		return r.truncated()
	}
	header := int(b[5])<<24 | int(uint24(b[6:]))
	if header < flvHeader || header > flvMaxDataOff {
		return ErrNotFLV
	}
	switch _, err := r.r.Discard(header - flvHeader); {
	case err == io.EOF:
		return r.truncated()
	case err != nil:
		return err
	}
	r.offset = int64(header)
	return nil
}

func (r *Reader) truncated() error {
	return fmt.Errorf("%w at byte %d", ErrTruncated, r.offset)
}

// readBody reads size bytes. Memory is taken as they arrive.
func readBody(r io.Reader, size int) ([]byte, error) {
	b := make([]byte, min(size, readStep))
	for n := 0; ; {
		k, err := io.ReadFull(r, b[n:])
		if err != nil {
			return nil, err
		}
		n += k
		if n == size {
			return b, nil
		}
		b = append(b, make([]byte, min(size-n, n))...) // at most doubled by what is there
	}
}
