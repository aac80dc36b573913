package rtmpchunk

import (
	"errors"
	"fmt"
)

// FLV, Adobe Video File Format Specification 10.1, annex E: a header of 9 bytes, then, before the first and after each
// tag, the size of the tag before it (4 bytes). A tag is a header of 11 bytes and a body:
//
//	1  2 bits reserved, 1 bit encrypted, 5 bits type
//	3  length of the body
//	3  timestamp in ms, low 24 bits
//	1  timestamp, high 8 bits
//	3  stream ID, 0
const (
	flvHeader     = 9
	flvTagHeader  = 11
	flvTagSize    = 4 // the size of the tag before
	flvMaxBody    = 1<<24 - 1
	flvVersion    = 1
	flvHasVideo   = 1 << 0
	flvHasAudio   = 1 << 2
	flvEncrypted  = 1 << 5
	flvReserved   = 3 << 6
	flvTypeMask   = 0x1f
	flvMaxDataOff = 1 << 12 // a header is not longer than this; only one of 9 bytes was ever specified
)

// Errors of [Reader.Read].
var (
	// ErrNotFLV means an input that does not begin like an FLV file.
	ErrNotFLV = errors.New("not an FLV file; one is made without loss of quality by: ffmpeg -i in.mp4 -c copy out.flv")
	// ErrTruncated means an input that ends inside a tag. Every message before was delivered.
	ErrTruncated = errors.New("the FLV file ends inside a tag")
	// ErrEncrypted means a tag under Adobe's content protection.
	ErrEncrypted = errors.New("the FLV file is encrypted")
)

// FormatError says where an FLV file is damaged.
type FormatError struct {
	Offset int64 // of the tag, in bytes from the input's start
	Reason string
}

// Error returns place and reason.
func (e *FormatError) Error() string {
	return fmt.Sprintf("the FLV file is damaged at byte %d: %s", e.Offset, e.Reason)
}

// isTagType reports whether FLV has tags of an RTMP message type.
func isTagType(t uint8) bool {
	return t == TypeAudio || t == TypeVideo || t == TypeData || t == TypeData3
}

// putTagHeader writes the 11 bytes before a tag's body.
func putTagHeader(b []byte, messageType uint8, timestamp uint32, body int) {
	_ = b[flvTagHeader-1]
	b[0] = messageType
	putUint24(b[1:], uint32(body))
	putUint24(b[4:], timestamp)
	b[7] = byte(timestamp >> 24)
	putUint24(b[8:], 0)
}

// tagTimestamp reads the timestamp of a tag's header.
func tagTimestamp(b []byte) uint32 { return uint32(b[7])<<24 | uint24(b[4:]) }
