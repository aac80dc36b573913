package endpoint

import (
	"encoding/binary"
	"math"

	"duet/rtmpchunk"
)

// Codec numbers of frames that go in and come out: rtmpchunk's own, which the worker knows by these names.
const (
	codecAVC  = rtmpchunk.CodecAVC
	codecAV1  = rtmpchunk.CodecAV1
	codecVP8  = rtmpchunk.CodecVP8
	codecVP9  = rtmpchunk.CodecVP9
	codecAAC  = rtmpchunk.CodecAAC
	codecOpus = rtmpchunk.CodecOpus
)

// Numbers of the FLV tag formats, legacy and enhanced (Enhanced RTMP v2, "Enhanced Video" and "Enhanced Audio").
const (
	frameKey        = 1 << 4
	frameInter      = 2 << 4
	legacyAVC       = 7
	legacyAACStereo = 0xaf // AAC, and constants where AAC has its own
	exVideo         = 1 << 7
	exAudio         = 9 << 4
	exSequenceStart = 0
	exCodedFrames   = 1
	exCodedFramesX  = 3
)

// fourCC names a codec in an enhanced header, "" if this package does not send it so.
func fourCC(c rtmpchunk.Codec) string {
	switch c {
	case codecAV1:
		return "av01"
	case codecVP8:
		return "vp08"
	case codecVP9:
		return "vp09"
	case codecOpus:
		return "Opus"
	default:
		return ""
	}
}

// appendBody appends the body of the message for a frame or a configuration. H.264 goes in the legacy form, which everything reads; what
// legacy RTMP does not know goes in the enhanced one. ok is false for a codec that is not sent.
func appendBody(b []byte, codec rtmpchunk.Codec, flags uint8, data []byte) (body []byte, kind rtmpchunk.Kind, ok bool) {
	config, frame := flags&FlagConfig != 0, byte(frameInter)
	if flags&(FlagKey|FlagConfig) != 0 {
		frame = frameKey
	}
	name := fourCC(codec)
	switch {
	case codec == codecAVC:
		packet := byte(1)
		if config {
			packet = 0
		}
		b, kind = append(b, frame|legacyAVC, packet, 0, 0, 0), rtmpchunk.Video
	case codec == codecAAC:
		packet := byte(1)
		if config {
			packet = 0
		}
		b, kind = append(b, legacyAACStereo, packet), rtmpchunk.Audio
	case codec == codecOpus:
		packet := byte(exCodedFrames)
		if config {
			packet = exSequenceStart
		}
		b, kind = append(append(b, exAudio|packet), name...), rtmpchunk.Audio
	case name != "":
		packet := byte(exCodedFramesX)
		switch {
		case config:
			packet = exSequenceStart
		case codec != codecAV1: // for VP8 and VP9 both forms mean the same; more readers know this one
			packet = exCodedFrames
		}
		b, kind = append(append(b, exVideo|frame|packet), name...), rtmpchunk.Video
	default:
		return b, 0, false
	}
	return append(b, data...), kind, true
}

// AMF0 markers.
const (
	amfNumber = 0
	amfString = 2
	amfArray  = 8
	amfEnd    = "\x00\x00\x09"
)

// dataMessage is the name of the data message that carries a user's text within a stream.
const dataMessage = "onDuetMessage"

// maxDataMessage bounds that text: it travels on the control stream, before media.
const maxDataMessage = 2048

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// metadata is the body of an onMetaData with the picture's size and rate.
func metadata(width, height, fps uint16) []byte {
	b := append(appendString([]byte{amfString}, "onMetaData"), amfArray, 0, 0, 0, 3)
	for _, f := range []struct {
		name  string
		value uint16
	}{{"width", width}, {"height", height}, {"framerate", fps}} {
		b = append(appendString(b, f.name), amfNumber)
		b = binary.BigEndian.AppendUint64(b, math.Float64bits(float64(f.value)))
	}
	return append(b, amfEnd...)
}

// textMessage is the body of a data message with a text.
func textMessage(text string) []byte {
	return appendString(append(appendString([]byte{amfString}, dataMessage), amfString), text)
}

// parseText is the text of a data message that textMessage made.
func parseText(body []byte) (string, bool) {
	body = rtmpchunk.StripSetDataFrame(body)
	name, rest, ok := takeString(body)
	if !ok || name != dataMessage {
		return "", false
	}
	text, _, ok := takeString(rest)
	return text, ok && len(text) <= maxDataMessage
}

func takeString(b []byte) (s string, rest []byte, ok bool) {
	if len(b) < 3 || b[0] != amfString {
		return "", nil, false
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < 3+n {
		return "", nil, false
	}
	return string(b[3 : 3+n]), b[3+n:], true
}
