package rtmpchunk

// Enhanced RTMP, versions 1 and 2 (Veovera). The first byte of a video tag has bit 7 set, frame type in bits 6 to 4 and
// packet type in bits 3 to 0; that of an audio tag has 9 in its upper half and the packet type in the lower. Then follow,
// in this order, the ModEx prefixes, the multitrack header, FourCC, track number and track length, as far as there are such,
// and the body.

// Packet types. The first three are common to audio and video.
const (
	exSequenceStart = 0
	exFrames        = 1
	exSequenceEnd   = 2

	exVideoFramesX      = 3
	exVideoMetadata     = 4
	exVideoMPEG2TS      = 5
	exVideoMultitrack   = 6
	exVideoModEx        = 7
	exAudioMultichannel = 4
	exAudioMultitrack   = 5
	exAudioModEx        = 7
)

// Multitrack types.
const (
	oneTrack             = 0
	manyTracksManyCodecs = 2
)

// enhancedHeader is what stands before the body of an enhanced tag.
type enhancedHeader struct {
	packet     uint8 // inside ModEx and multitrack
	fourCC     [4]byte
	multitrack bool
	track      uint8
	command    bool // video command: no FourCC, no body
}

// parseEnhanced reads the header of an enhanced audio or video tag of at least one byte. body is what follows, in a multitrack
// message with several tracks only that of the first. It returns false if the header is cut off.
func parseEnhanced(b []byte, video bool) (h enhancedHeader, body []byte, ok bool) {
	modEx, multitrack := uint8(exAudioModEx), uint8(exAudioMultitrack)
	if video {
		modEx, multitrack = exVideoModEx, exVideoMultitrack
	}
	h.packet = b[0] & 0x0f
	frame := b[0] >> 4 & 7
	b = b[1:]

	// Each prefix: length minus one in 1 byte, or 0xFF and then in 2; data; type of the prefix and of what follows.
	for h.packet == modEx {
		if len(b) == 0 {
			return h, nil, false
		}
		size := int(b[0]) + 1
		b = b[1:]
		if size == 256 {
			if len(b) < 2 {
				return h, nil, false
			}
			size = int(b[0])<<8 + int(b[1]) + 1
			b = b[2:]
		}
		if len(b) <= size {
			return h, nil, false
		}
		h.packet = b[size] & 0x0f
		b = b[size+1:]
	}

	if video && frame == frameCommand && h.packet != exVideoMetadata {
		h.command = true
		return h, b, true
	}
	kind := uint8(oneTrack)
	if h.packet == multitrack {
		if len(b) == 0 {
			return h, nil, false
		}
		h.multitrack = true
		kind, h.packet = b[0]>>4, b[0]&0x0f
		b = b[1:]
	}
	if len(b) < len(h.fourCC) { // of the only codec, or of the first track's
		return h, nil, false
	}
	b = b[copy(h.fourCC[:], b):]
	if !h.multitrack {
		return h, b, true
	}
	if len(b) == 0 {
		return h, nil, false
	}
	h.track = b[0]
	b = b[1:]
	if kind == oneTrack {
		return h, b, true
	}
	if len(b) < 3 {
		return h, nil, false
	}
	size := int(uint24(b))
	b = b[3:]
	if size > len(b) {
		return h, nil, false
	}
	// A message with several tracks is a whole of its own: what it holds is not told by the number of its first track.
	h.track = 0
	return h, b[:size], true
}

func classifyEnhancedAudio(b []byte) Info {
	info := Info{Kind: Audio, Media: true, Enhanced: true}
	h, _, ok := parseEnhanced(b, false)
	if !ok {
		return info
	}
	info.Codec = audioFourCC(h.fourCC)
	info.Multitrack, info.Track = h.multitrack, h.track
	switch h.packet {
	case exSequenceStart:
		info.Packet = PacketSequenceStart
		info.setSlot(SlotAudioConfig)
	case exFrames:
		info.Packet = PacketFrames
	case exSequenceEnd:
		info.Packet = PacketSequenceEnd
	case exAudioMultichannel:
		info.Packet = PacketMultichannel
		info.setSlot(SlotAudioMetadata)
	}
	return info
}

func (d *decoderConfig) classifyEnhancedVideo(b []byte) Info {
	info := Info{Kind: Video, Media: true, Enhanced: true}
	h, body, ok := parseEnhanced(b, true)
	if !ok || h.command {
		return info
	}
	info.Codec = videoFourCC(h.fourCC)
	info.Multitrack, info.Track = h.multitrack, h.track
	switch h.packet {
	case exSequenceStart:
		info.Packet = PacketSequenceStart
		info.setSlot(SlotVideoConfig)
		return info
	case exVideoMPEG2TS:
		info.Packet = PacketMPEG2TSStart
		info.setSlot(SlotVideoConfig)
		return info
	case exVideoMetadata:
		info.Packet = PacketMetadata
		info.setSlot(SlotVideoMetadata)
		return info
	case exSequenceEnd:
		info.Packet = PacketSequenceEnd
		return info
	case exFrames:
		info.Packet = PacketFrames
		if info.Codec == CodecAVC || info.Codec == CodecHEVC || info.Codec == CodecVVC {
			if len(body) < 3 {
				return info
			}
			info.Composition = int24(body)
			body = body[3:]
		}
	case exVideoFramesX:
		info.Packet = PacketFramesX
	default:
		return info
	}
	// One track's frame may be discardable where another's in the same message is not.
	if !info.Multitrack {
		d.describe(&info, body)
	}
	frame := b[0] >> 4 & 7
	info.Key = frame == frameKey
	info.Discardable = !info.Key && (info.Discardable || frame == frameDisposable)
	return info
}

func audioFourCC(c [4]byte) Codec {
	switch string(c[:]) {
	case "Opus":
		return CodecOpus
	case "mp4a":
		return CodecAAC
	case ".mp3":
		return CodecMP3
	case "fLaC":
		return CodecFLAC
	case "ac-3":
		return CodecAC3
	case "ec-3":
		return CodecEAC3
	}
	return CodecUnknown
}

func videoFourCC(c [4]byte) Codec {
	switch string(c[:]) {
	case "avc1":
		return CodecAVC
	case "hvc1":
		return CodecHEVC
	case "vvc1":
		return CodecVVC
	case "av01":
		return CodecAV1
	case "vp08":
		return CodecVP8
	case "vp09":
		return CodecVP9
	}
	return CodecUnknown
}
