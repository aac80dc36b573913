package main

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math/rand/v2"
	"time"
)

// The media: video of 1.5 Mbit/s with a key frame every two seconds, and audio beside it.
const (
	fps         = 30
	videoRate   = 1_500_000 // bit/s
	gop         = 60        // frames from one key frame to the next
	keySize     = 3         // a key frame is so many times the size of another
	audioPerSec = 50
	audioSize   = 120 // bytes
)

type kind uint8

const (
	audio kind = iota
	video
	kinds
)

// frame is one frame of either kind.
type frame struct {
	kind  kind
	key   bool
	index uint32        // among those of its kind
	at    time.Duration // when it is captured, from the beginning
	body  []byte
}

// A frame's body begins like the body of an FLV tag, so that RTMP can carry it: two bytes that tell the codec and the packet's type,
// for video three more. What proves that it is whole follows.
const (
	offKind    = 5
	offIndex   = 6
	offCapture = 10
	offSum     = 18
	headSize   = 22
)

var errDamaged = errors.New("not the frame that was sent")

// source makes frames in the order of their capture: the same ones for the same seed.
type source struct {
	rng  *rand.Rand
	next [kinds]uint32
}

func newSource(seed uint64) *source {
	return &source{rng: rand.New(rand.NewPCG(seed, 1))} //nolint:gosec // sizes and contents of frames, the same for the same seed
}

// frame gives the next frame. Its capture time is put in by stamp.
func (s *source) frame() frame {
	vt := time.Duration(s.next[video]) * time.Second / fps
	at := time.Duration(s.next[audio]) * time.Second / audioPerSec
	f := frame{kind: audio, at: at}
	size, codec := audioSize, byte(0xaf)
	if vt <= at {
		f.kind, f.at = video, vt
		unit := videoRate / 8 / fps * gop / (gop - 1 + keySize)
		if f.key = s.next[video]%gop == 0; f.key {
			size, codec = unit*keySize, 0x17
		} else {
			size, codec = unit*(80+s.rng.IntN(41))/100, 0x27
		}
	}
	f.index = s.next[f.kind]
	s.next[f.kind]++
	b := make([]byte, size)
	for i := headSize; i < size; i += 8 {
		var word [8]byte
		binary.BigEndian.PutUint64(word[:], s.rng.Uint64())
		copy(b[i:], word[:])
	}
	b[0], b[1], b[offKind] = codec, 1, byte(f.kind)
	binary.BigEndian.PutUint32(b[offIndex:], f.index)
	f.body = b
	return f
}

// stamp puts the capture time and the checksum into the body.
func (f *frame) stamp(captured time.Duration) {
	binary.BigEndian.PutUint64(f.body[offCapture:], uint64(captured))
	binary.BigEndian.PutUint32(f.body[offSum:], sum(f.body))
}

// open reads what stamp wrote, and fails unless the body is exactly as it was then.
func open(body []byte) (k kind, index uint32, captured time.Duration, err error) {
	if len(body) < headSize || body[offKind] >= byte(kinds) || binary.BigEndian.Uint32(body[offSum:]) != sum(body) {
		return 0, 0, 0, errDamaged
	}
	captured = time.Duration(binary.BigEndian.Uint64(body[offCapture:])) //nolint:gosec // stamp wrote it from a Duration
	return kind(body[offKind]), binary.BigEndian.Uint32(body[offIndex:]), captured, nil
}

// sum is over everything but itself, and over the length, so that a body that is cut short does not pass.
func sum(body []byte) uint32 {
	c := crc32.ChecksumIEEE(body[:offSum])
	c = crc32.Update(c, crc32.IEEETable, body[headSize:])
	return c ^ uint32(len(body)) //nolint:gosec // a frame is far below 4 GiB
}
