package rtmpchunk

// Body is what a message of audio or video holds behind its header: coded frames, or a decoder configuration. Of a message with several tracks it is
// the first track's. ok is false if the header is cut off. The body shares the payload's memory.
func Body(m Message) (body []byte, ok bool) {
	b := m.Payload
	info := Classify(m)
	if !info.Media || len(b) == 0 {
		return nil, false
	}
	if info.Enhanced {
		_, body, ok = parseEnhanced(b, info.Kind == Video)
		if ok && info.Kind == Video && info.Packet == PacketFrames && (info.Codec == CodecAVC || info.Codec == CodecHEVC || info.Codec == CodecVVC) {
			if len(body) < compositionSize {
				return nil, false
			}
			body = body[compositionSize:]
		}
		return body, ok
	}
	header := 1
	switch info.Codec {
	case CodecAAC:
		header = 2 // and the packet type
	case CodecAVC, CodecHEVC, CodecAV1:
		header = legacyVideoHeader
	}
	if len(b) < header {
		return nil, false
	}
	return b[header:], true
}

// compositionSize is of the composition time in front of coded frames of H.264, HEVC and VVC.
const compositionSize = 3
