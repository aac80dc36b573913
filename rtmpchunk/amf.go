package rtmpchunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
)

// AMF0 is read here with a reader of our own that skips what it does not need: yutopp/go-amf0 recurses as deep as the sender
// says, which can exhaust the stack (and that cannot be recovered from), makes arrays as long as the sender says before a
// byte of them is there, and gives up on undefined values and long strings, which real metadata holds.

// maxDepth bounds the nesting of AMF values. Metadata of cameras and encoders nests two or three deep.
const maxDepth = 16

// ErrMetadata means a message that is no onMetaData, or AMF0 that cannot be read.
var ErrMetadata = errors.New("rtmpchunk: not readable as onMetaData")

// AMF0 type markers.
const (
	amfNumber      = 0
	amfBoolean     = 1
	amfString      = 2
	amfObject      = 3
	amfNull        = 5
	amfUndefined   = 6
	amfReference   = 7
	amfECMAArray   = 8
	amfObjectEnd   = 9
	amfStrictArray = 10
	amfDate        = 11
	amfLongString  = 12
	amfUnsupported = 13
	amfXML         = 15
	amfTypedObject = 16
)

var (
	onMetaData   = amfName("onMetaData")
	setDataFrame = amfName("@setDataFrame")
)

// amfName returns a short string as AMF0 writes it.
func amfName(s string) []byte {
	return append([]byte{amfString, byte(len(s) >> 8), byte(len(s))}, s...)
}

// StripSetDataFrame returns the body of a data message without the leading string "@setDataFrame", by which an RTMP
// publisher tells a server to keep what follows. FLV files and RTMP players have the body without it. Any other body comes
// back as it is; nothing is copied. Classify sees through the wrapper, and Packetizer keeps it: taking it away where RTMP
// comes in is the gateway's part.
func StripSetDataFrame(body []byte) []byte {
	if rest, ok := bytes.CutPrefix(body, setDataFrame); ok {
		return rest
	}
	return body
}

// isMetadata reports whether a data message is onMetaData.
func isMetadata(m Message) bool {
	b := m.Payload
	if m.Type == TypeData3 {
		if len(b) == 0 || b[0] != 0 { // the byte before AMF0
			return false
		}
		b = b[1:]
	}
	return bytes.HasPrefix(StripSetDataFrame(b), onMetaData)
}

// Metadata is what onMetaData says of a stream. A zero field was not there, or was not a sensible number; nothing that
// decodes media depends on it.
type Metadata struct {
	Width, Height int // pixels
	FPS           float64
	Duration      float64 // seconds
	VideoBitrate  float64 // kbit/s
	AudioBitrate  float64 // kbit/s
	SampleRate    float64 // Hz
	Encoder       string
}

// ParseMetadata reads the body of an onMetaData message, with or without "@setDataFrame". It never panics and allocates no
// more than a string. If the body is cut off or malformed it returns [ErrMetadata] with what it read up to there.
func ParseMetadata(body []byte) (Metadata, error) {
	var m Metadata
	b, ok := bytes.CutPrefix(StripSetDataFrame(body), onMetaData)
	if !ok || len(body) > MaxRecord || len(b) == 0 {
		return m, ErrMetadata
	}
	switch b[0] {
	case amfObject:
		b = b[1:]
	case amfECMAArray:
		if len(b) < 5 {
			return m, ErrMetadata
		}
		b = b[5:] // the count is a hint; the end marker counts
	default:
		return m, ErrMetadata
	}
	for len(b) > 0 { // some writers leave the end marker out
		key, rest, ok := amfKey(b)
		if !ok || len(rest) == 0 {
			return m, ErrMetadata
		}
		if len(key) == 0 && rest[0] == amfObjectEnd {
			return m, nil
		}
		value := rest
		b, ok = amfSkip(rest, 1)
		if !ok {
			return m, ErrMetadata
		}
		m.set(string(key), value[:len(value)-len(b)])
	}
	return m, nil
}

// set takes one property; value is a whole AMF0 value.
func (m *Metadata) set(key string, value []byte) {
	if key == "encoder" && value[0] == amfString {
		m.Encoder = string(value[3:])
		return
	}
	if value[0] != amfNumber {
		return
	}
	n := math.Float64frombits(binary.BigEndian.Uint64(value[1:]))
	if !(n >= 0 && n <= math.MaxInt32) { // false for a NaN too
		return
	}
	switch key {
	case "width":
		m.Width = int(n)
	case "height":
		m.Height = int(n)
	case "framerate":
		m.FPS = n
	case "duration":
		m.Duration = n
	case "videodatarate":
		m.VideoBitrate = n
	case "audiodatarate":
		m.AudioBitrate = n
	case "audiosamplerate":
		m.SampleRate = n
	}
}

// amfKey reads a property's name.
func amfKey(b []byte) (key, rest []byte, ok bool) {
	if len(b) < 2 {
		return nil, nil, false
	}
	n := int(binary.BigEndian.Uint16(b))
	if len(b)-2 < n {
		return nil, nil, false
	}
	return b[2 : 2+n], b[2+n:], true
}

// amfSkip returns what follows the value at the start of b.
func amfSkip(b []byte, depth int) (rest []byte, ok bool) {
	if len(b) == 0 || depth > maxDepth {
		return nil, false
	}
	marker := b[0]
	b = b[1:]
	switch marker {
	case amfNumber:
		return amfDrop(b, 8)
	case amfBoolean:
		return amfDrop(b, 1)
	case amfNull, amfUndefined, amfUnsupported:
		return b, true
	case amfReference:
		return amfDrop(b, 2)
	case amfDate:
		return amfDrop(b, 10)
	case amfString:
		_, rest, ok = amfKey(b)
		return rest, ok
	case amfLongString, amfXML:
		if len(b) < 4 {
			return nil, false
		}
		return amfDrop(b[4:], uint64(binary.BigEndian.Uint32(b)))
	case amfStrictArray:
		if len(b) < 4 {
			return nil, false
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		for ; n > 0; n-- { // ends with b: every value takes a byte
			if b, ok = amfSkip(b, depth+1); !ok {
				return nil, false
			}
		}
		return b, true
	case amfTypedObject:
		if _, b, ok = amfKey(b); !ok {
			return nil, false
		}
	case amfECMAArray:
		if b, ok = amfDrop(b, 4); !ok {
			return nil, false
		}
	case amfObject:
	default:
		return nil, false
	}
	for { // the properties of an object
		key, rest, ok := amfKey(b)
		if !ok || len(rest) == 0 {
			return nil, false
		}
		if len(key) == 0 && rest[0] == amfObjectEnd {
			return rest[1:], true
		}
		if b, ok = amfSkip(rest, depth+1); !ok {
			return nil, false
		}
	}
}

func amfDrop(b []byte, n uint64) (rest []byte, ok bool) {
	if uint64(len(b)) < n {
		return nil, false
	}
	return b[n:], true
}
