package load

import (
	"encoding/binary"
	"time"

	"duet/rtmpchunk"
)

// Shape is what a stream's media is like: a constant bitrate, a key frame every two seconds.
type Shape struct {
	Bitrate int // of video, bits a second of messages
	FPS     int
	Audio   int // bits a second, in a frame every 20 ms; 0: none
}

const (
	audioEvery  = 20 * time.Millisecond
	keyEvery    = 2 * time.Second
	keySize     = 4  // a key frame is as large as so many others
	leastFrame  = 16 // bytes: a tag's head and a NAL unit
	audioHead   = 2
	videoUnitAt = 9
)

// source makes the frames of one stream, one after the other. Its payloads are shared: what is in them does not matter.
type source struct {
	shape        Shape
	video, audio int // made so far
	wantKey      bool
	buf          []byte // shared by all sources of a worker; only its head is written
}

// next is when the next frame is captured, since the stream began, and its kind.
func (s *source) next() (at time.Duration, kind rtmpchunk.Kind) {
	video := time.Duration(s.video) * time.Second / time.Duration(s.shape.FPS)
	if s.shape.Audio > 0 {
		if audio := time.Duration(s.audio) * audioEvery; audio < video {
			return audio, rtmpchunk.Audio
		}
	}
	return video, rtmpchunk.Video
}

// frame makes the frame that next told of. Its payload is valid until the next frame of any source with the same buffer.
func (s *source) frame() rtmpchunk.Message {
	at, kind := s.next()
	m := rtmpchunk.Message{Type: kind.MessageType(), Timestamp: uint32(at / time.Millisecond)}
	if kind == rtmpchunk.Audio {
		s.audio++
		m.Payload = s.buf[:max(audioHead+1, s.shape.Audio/8*int(audioEvery/time.Millisecond)/1000)]
		m.Payload[0], m.Payload[1] = 0xaf, 1 // AAC, raw
		return m
	}
	gop := max(1, s.shape.FPS*int(keyEvery/time.Second))
	size, tag, unit := s.shape.delta(), byte(0x27), byte(0x41)
	if s.video%gop == 0 || s.wantKey {
		size, tag, unit = size*keySize, 0x17, 0x65
		s.wantKey = false
	}
	s.video++
	b := s.buf[:size]
	clear(b[:videoUnitAt])
	b[0], b[1] = tag, 1
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)-videoUnitAt))
	b[videoUnitAt] = unit
	m.Payload = b
	return m
}

// delta is the size of a frame that is no key frame.
func (s Shape) delta() int {
	gop := max(1, s.FPS*int(keyEvery/time.Second))
	return max(leastFrame, s.Bitrate/8/s.FPS*gop/(gop-1+keySize))
}

// largest is the size of the largest frame.
func (s Shape) largest() int { return max(s.delta()*keySize, s.Audio/8) }
