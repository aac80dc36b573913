package rtmpchunk

import (
	"errors"
	"fmt"
)

// RTMP message types, which are FLV tag types too (but TypeCommand, which only a connection has).
const (
	TypeAudio   = 8
	TypeVideo   = 9
	TypeData3   = 15 // data in AMF3: one byte 0, then AMF0 in practice
	TypeData    = 18 // data in AMF0, such as onMetaData
	TypeCommand = 20
)

// MaxMessage is the size of the largest message in bytes. A key frame of 4K video stays below 2 MiB; what is larger is
// taken for an error before it costs memory in every hop.
const MaxMessage = 4 << 20

// ErrTooLarge means a message larger than [MaxMessage].
var ErrTooLarge = errors.New("message is larger than 4 MiB")

// Message is one RTMP message: Payload is the body of an FLV tag, without the tag's header. Timestamp is in ms, for video
// the decoding time, and wraps.
type Message struct {
	Type      uint8
	Timestamp uint32
	Payload   []byte
}

// Kind is one of the two kinds of media. Each has its own packet numbering.
type Kind uint8

// The kinds of media.
const (
	Audio Kind = 0
	Video Kind = 1
)

// String returns "audio" or "video".
func (k Kind) String() string {
	switch k {
	case Audio:
		return "audio"
	case Video:
		return "video"
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// MessageType returns the RTMP message type of frames of this kind.
func (k Kind) MessageType() uint8 {
	if k == Video {
		return TypeVideo
	}
	return TypeAudio
}

// kindOf returns the kind of an RTMP message type; media is false for messages that are neither audio nor video.
func kindOf(messageType uint8) (k Kind, media bool) {
	switch messageType {
	case TypeAudio:
		return Audio, true
	case TypeVideo:
		return Video, true
	}
	return Audio, false
}

// tooLarge wraps ErrTooLarge with the size met.
func tooLarge(size int) error {
	return fmt.Errorf("%w: it has %d bytes", ErrTooLarge, size)
}
