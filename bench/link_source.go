package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"duet/rtmpchunk"
)

// The synthetic audio: the size and pace of AAC or Opus at 48 kbit/s.
const (
	linkAudioSize  = 120
	linkAudioEvery = 20 * time.Millisecond
	linkAudioRate  = linkAudioSize * 8 * int64(time.Second/linkAudioEvery)
)

// A frame carries its order, so that the far end knows which it is: in audio behind the tag's two bytes, in video as the beginning of a
// NAL unit.
const (
	linkAudioHead = 2
	linkVideoHead = 10
	linkOrderSize = 8
)

// linkSource makes a call's frames, one after the other.
type linkSource struct {
	cfg   *LinkConfig
	rng   *rand.Rand
	order uint64
	made  [2]int // by kind
}

func newLinkSource(cfg *LinkConfig) *linkSource {
	return &linkSource{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1))} //nolint:gosec // sizes of frames, the same for the same seed
}

// next is when the next frame is captured, since the call began, and its kind; false: the call is over.
func (s *linkSource) next() (at time.Duration, kind rtmpchunk.Kind, ok bool) {
	video := time.Duration(s.made[rtmpchunk.Video]) * time.Second / time.Duration(s.cfg.FPS)
	audio := time.Duration(s.made[rtmpchunk.Audio]) * linkAudioEvery
	at, kind = video, rtmpchunk.Video
	if audio < video {
		at, kind = audio, rtmpchunk.Audio
	}
	return at, kind, at < s.cfg.Duration
}

// frame makes the frame that next told of. target is what is to be made now, in bit/s of audio and video.
func (s *linkSource) frame(target int64) rtmpchunk.Message {
	at, kind, _ := s.next()
	m := rtmpchunk.Message{Type: kind.MessageType(), Timestamp: uint32(at / time.Millisecond)}
	head := linkAudioHead
	if kind == rtmpchunk.Audio {
		m.Payload = make([]byte, linkAudioSize)
		m.Payload[0], m.Payload[1] = 0xaf, 1 // AAC, raw
	} else {
		head = linkVideoHead
		m.Payload = s.video(target)
	}
	binary.BigEndian.PutUint64(m.Payload[head:], s.order)
	s.order++
	s.made[kind]++
	return m
}

// video is an AVC frame of one slice. Sizes vary by a fifth, as an encoder's do that is held to a rate.
func (s *linkSource) video(target int64) []byte {
	rate := s.videoRate(target)
	size := rate / 8 / s.cfg.FPS * s.cfg.GOP / (s.cfg.GOP - 1 + s.cfg.KeySize)
	tag, unit := byte(0x27), byte(0x41)
	if s.made[rtmpchunk.Video]%s.cfg.GOP == 0 {
		size, tag, unit = size*s.cfg.KeySize, 0x17, 0x65
	} else {
		size = size * (80 + s.rng.IntN(41)) / 100
	}
	b := make([]byte, max(size, linkVideoHead+linkOrderSize))
	b[0], b[1] = tag, 1
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)-linkVideoHead+1))
	b[linkVideoHead-1] = unit
	return b
}

// videoRate is the video's part of a target, in bit/s.
func (s *linkSource) videoRate(target int64) int {
	if s.cfg.Fixed {
		return s.cfg.Bitrate
	}
	return min(max(int(target-linkAudioRate), s.cfg.MinBitrate), s.cfg.Bitrate)
}

// linkOrder reads a frame's order back.
func linkOrder(kind rtmpchunk.Kind, payload []byte) (order uint64, ok bool) {
	head := linkAudioHead
	if kind == rtmpchunk.Video {
		head = linkVideoHead
	}
	if len(payload) < head+linkOrderSize {
		return 0, false
	}
	return binary.BigEndian.Uint64(payload[head:]), true
}
