package rtmpchunk

// Codec is a coding of audio or video. Where legacy RTMP and enhanced RTMP have different codes for the same coding, it is
// the same Codec.
type Codec uint8

// The codecs that Classify tells apart. A message of any other one is passed on as a plain frame.
const (
	CodecUnknown Codec = iota
	CodecH263          // Sorenson Spark
	CodecAVC
	CodecHEVC
	CodecVVC
	CodecAV1
	CodecVP8
	CodecVP9
	CodecMP3
	CodecG711A
	CodecG711U
	CodecAAC
	CodecSpeex
	CodecOpus
	CodecFLAC
	CodecAC3
	CodecEAC3
)

// codecNames is in the order of the constants.
var codecNames = [...]string{
	"unknown", "H.263", "H.264", "HEVC", "VVC", "AV1", "VP8", "VP9",
	"MP3", "G.711 A-law", "G.711 mu-law", "AAC", "Speex", "Opus", "FLAC", "AC-3", "E-AC-3",
}

// String returns the codec's usual name.
func (c Codec) String() string {
	if int(c) < len(codecNames) {
		return codecNames[c]
	}
	return codecNames[CodecUnknown]
}

// PacketType says what a message of audio or video holds. Legacy RTMP and enhanced RTMP number them differently; these are
// numbers of our own.
type PacketType uint8

// The packet types.
const (
	PacketOther         PacketType = iota // no media, or a type that we do not know: passed on as a plain frame
	PacketFrames                          // coded frames; for video with Info.Composition
	PacketFramesX                         // coded video frames whose composition time is 0 and not written
	PacketSequenceStart                   // decoder configuration
	PacketSequenceEnd                     // the sequence ends; no frame
	PacketMetadata                        // AMF side information of the video, such as colorInfo
	PacketMPEG2TSStart                    // decoder configuration as an MPEG-2 TS descriptor
	PacketMultichannel                    // channel layout of the audio
)

// Info is what Classify tells of a message.
type Info struct {
	Kind     Kind // of an audio or video message; Audio for any other
	Media    bool // the message is audio or video
	Codec    Codec
	Packet   PacketType
	Enhanced bool // the message has an enhanced RTMP header

	// Multitrack: the message holds one track, whose number is Track, or several; then Track is 0, and Codec, Packet and
	// Composition are those of the first one in it.
	Multitrack bool
	Track      uint8

	Key         bool  // video frame at which decoding can begin
	Discardable bool  // no other frame refers to this one
	Layer       uint8 // temporal layer, where the frame tells it
	Composition int32 // presentation time minus decoding time, in ms

	// Record: the message is no frame and must not be lost; it travels on the reliable channel. Slot says whether, and as
	// what, a relay keeps it for players that join.
	Record bool
	Slot   Slot
}

// Classify tells what a message is, from its first bytes and (for H.264 and HEVC) its NAL units' headers. It never fails:
// what it does not know is a plain frame if it is audio or video, else a record that is not cached. It retains nothing.
//
// Three decisions about slots deserve a word. A channel layout (PacketMultichannel) does not replace the sequence start that
// it belongs to, for a decoder needs both: it is side information and goes to SlotAudioMetadata, so that both reach a player
// that joins. Of a multitrack message with a single track other than track 0, a configuration is a record but not cached,
// because it would replace that of track 0. A sequence end is an ordinary frame: nothing refers to it.
func Classify(m Message) Info {
	var d decoderConfig
	return d.classify(m)
}

// decoderConfig is what the newest video configuration says about how to read its frames. Its zero value reads frames whose
// configuration was not seen.
type decoderConfig struct {
	nalLength  uint8 // bytes of a NAL unit's length, 0 as good as 4
	hevcLayers uint8 // temporal layers of an HEVC stream, 0 unknown
}

func (d *decoderConfig) classify(m Message) Info {
	switch m.Type {
	case TypeAudio:
		return classifyAudio(m.Payload)
	case TypeVideo:
		return d.classifyVideo(m.Payload)
	case TypeData, TypeData3:
		info := Info{Record: true}
		if isMetadata(m) {
			info.Slot = SlotMetadata
		}
		return info
	}
	return Info{Record: true}
}

// learn takes a configuration for the frames to come.
func (d *decoderConfig) learn(m Message, info Info) {
	if info.Kind != Video || info.Multitrack {
		return
	}
	*d = decoderConfig{}
	if info.Packet != PacketSequenceStart {
		return
	}
	config := m.Payload
	if info.Enhanced {
		_, config, _ = parseEnhanced(m.Payload, true)
	} else if len(config) >= legacyVideoHeader {
		config = config[legacyVideoHeader:]
	}
	switch {
	case info.Codec == CodecAVC && len(config) > 4: // AVCDecoderConfigurationRecord, ISO/IEC 14496-15, 5.3.3
		d.nalLength = config[4]&3 + 1
	case info.Codec == CodecHEVC && len(config) > 21: // HEVCDecoderConfigurationRecord, 8.3.3
		d.nalLength = config[21]&3 + 1
		d.hevcLayers = config[21] >> 3 & 7
	}
}

// setSlot completes the info of a message that holds a configuration.
func (i *Info) setSlot(s Slot) {
	i.Record = true
	if i.Track == 0 {
		i.Slot = s
	}
}

// SoundFormat of a legacy audio tag, its first byte's upper half.
const (
	soundMP3      = 2
	soundG711A    = 7
	soundG711U    = 8
	soundEnhanced = 9
	soundAAC      = 10
	soundSpeex    = 11
	soundMP3At8k  = 14
)

func classifyAudio(b []byte) Info {
	info := Info{Kind: Audio, Media: true}
	if len(b) == 0 {
		return info
	}
	switch b[0] >> 4 {
	case soundEnhanced:
		return classifyEnhancedAudio(b)
	case soundAAC:
		info.Codec = CodecAAC
		if len(b) < 2 {
			return info
		}
		if b[1] == 0 {
			info.Packet = PacketSequenceStart
			info.setSlot(SlotAudioConfig)
			return info
		}
	case soundMP3, soundMP3At8k:
		info.Codec = CodecMP3
	case soundG711A:
		info.Codec = CodecG711A
	case soundG711U:
		info.Codec = CodecG711U
	case soundSpeex:
		info.Codec = CodecSpeex
	}
	info.Packet = PacketFrames
	return info
}

// Frame type of a video tag: bits 6 to 4 of its first byte.
const (
	frameKey        = 1
	frameDisposable = 3
	frameCommand    = 5
)

// Codec ID of a legacy video tag. HEVC and AV1 have no number in the FLV specification; these are in use by encoders that
// came before enhanced RTMP, with the tag layout of H.264.
const (
	videoH263 = 2
	videoAVC  = 7
	videoHEVC = 12
	videoAV1  = 13
)

// legacyVideoHeader is the length of the header of a legacy H.264 tag: frame type and codec, packet type, composition time.
const legacyVideoHeader = 5

// Packet types of a legacy H.264 tag.
const (
	avcSequenceStart = 0
	avcFrames        = 1
	avcSequenceEnd   = 2
)

func (d *decoderConfig) classifyVideo(b []byte) Info {
	info := Info{Kind: Video, Media: true}
	if len(b) == 0 {
		return info
	}
	if b[0]&0x80 != 0 {
		return d.classifyEnhancedVideo(b)
	}
	frame := b[0] >> 4
	switch b[0] & 0x0f {
	case videoAVC:
		info.Codec = CodecAVC
	case videoHEVC:
		info.Codec = CodecHEVC
	case videoAV1:
		info.Codec = CodecAV1
	case videoH263:
		info.Codec = CodecH263
	}
	if frame == frameCommand {
		return info
	}
	switch info.Codec {
	case CodecAVC, CodecHEVC, CodecAV1:
		if len(b) < legacyVideoHeader {
			return info
		}
		switch b[1] {
		case avcSequenceStart:
			info.Packet = PacketSequenceStart
			info.setSlot(SlotVideoConfig)
			return info
		case avcFrames:
			info.Composition = int24(b[2:])
			d.describe(&info, b[legacyVideoHeader:])
		case avcSequenceEnd:
			info.Packet = PacketSequenceEnd
			return info
		default:
			return info
		}
	}
	info.Packet = PacketFrames
	info.Key = frame == frameKey
	info.Discardable = !info.Key && (info.Discardable || frame == frameDisposable)
	return info
}

// describe looks at a frame's NAL units.
func (d *decoderConfig) describe(info *Info, frame []byte) {
	switch info.Codec {
	case CodecAVC:
		info.Discardable = avcDiscardable(frame, d.nalLength)
	case CodecHEVC:
		var unreferenced bool
		info.Layer, unreferenced = hevcLayer(frame, d.nalLength)
		// A sub-layer non-reference picture may be referred to from the layers above its own: with one layer, from nowhere.
		info.Discardable = unreferenced && d.hevcLayers == 1
	}
}

func int24(b []byte) int32 { return int32(uint24(b)<<8) >> 8 }
