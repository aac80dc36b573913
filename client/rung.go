package client

import (
	"bytes"
	"time"

	"duet/rtmpchunk"
)

const (
	rateWindow = 4 * time.Second        // of timestamps, over which a bitrate is measured
	rateLeast  = 500 * time.Millisecond // a shorter piece is joined with the next: streams of key frames only
	maxPiece   = 60 * time.Second       // a longer one is a jump of the timestamps, and counts for nothing
	// staleAfter is how far behind, by timestamps, a rendition counts as gone.
	staleAfter = time.Second
)

// before reports whether timestamp a comes before b; they wrap.
func before(a, b uint32) bool { return int32(a-b) < 0 }

// span is the time from timestamp a to b.
func span(a, b uint32) time.Duration { return time.Duration(int32(b-a)) * time.Millisecond }

// mediaRate measures a bitrate by timestamps, over whole pieces: for video from key frame to key frame, because a key frame and what
// follows it differ too much in size to be looked at apart.
type mediaRate struct {
	begun  bool
	from   uint32 // timestamp of the open piece
	open   int    // its bytes
	pieces []ratePiece
	bytes  int // in pieces
	length time.Duration
}

type ratePiece struct {
	bytes  int
	length time.Duration
}

// add counts a message; mark says that a piece may end before it.
func (r *mediaRate) add(timestamp uint32, size int, mark bool) {
	if mark {
		d := span(r.from, timestamp)
		switch {
		case !r.begun, d < 0, d > maxPiece:
			r.begun, r.from, r.open = true, timestamp, 0
		case d >= rateLeast:
			r.close(ratePiece{r.open, d})
			r.from, r.open = timestamp, 0
		}
	}
	r.open += size
}

func (r *mediaRate) close(p ratePiece) {
	r.pieces = append(r.pieces, p)
	r.bytes, r.length = r.bytes+p.bytes, r.length+p.length
	for len(r.pieces) > 1 && r.length-r.pieces[0].length >= rateWindow {
		r.bytes, r.length = r.bytes-r.pieces[0].bytes, r.length-r.pieces[0].length
		r.pieces = r.pieces[1:]
	}
}

// value is in bit/s, 0 until one piece is whole.
func (r *mediaRate) value() int64 {
	if r.length <= 0 {
		return 0
	}
	return int64(float64(r.bytes) * bitsPerByte / r.length.Seconds())
}

// rung is one rendition of a ladder.
type rung struct {
	declared int64 // bit/s of the video: what the caller said, else onMetaData
	rate     mediaRate
	records  [rtmpchunk.Slots]*rtmpchunk.Message // the newest of each slot that is cached
	size     [2]int                              // of the pictures, by onMetaData
	seen     bool                                // a key frame has come
	ended    bool
	latest   uint32 // timestamp of the newest video frame

	fitsSince time.Time     // since when the target has had room for it, zero: it has not
	hold      time.Duration // how long that must last before it is taken
	takenAt   time.Time     // when it was taken from below
}

// keep takes a record, with a copy of its payload.
func (r *rung) keep(slot rtmpchunk.Slot, m rtmpchunk.Message) {
	m.Payload = bytes.Clone(m.Payload)
	r.records[slot] = &m
	if slot != rtmpchunk.SlotMetadata {
		return
	}
	meta, err := rtmpchunk.ParseMetadata(m.Payload)
	if err != nil {
		return
	}
	r.size = [2]int{meta.Width, meta.Height}
	if r.declared == 0 {
		r.declared = int64(meta.VideoBitrate * bitsPerKbit)
	}
}

// bitrate is the video's, measured or declared, 0 while nothing is known.
func (r *rung) bitrate() int64 {
	if v := r.rate.value(); v > 0 {
		return v
	}
	return r.declared
}

// usable reports whether the stream could go on with it at a timestamp.
func (r *rung) usable(at uint32) bool { return r.seen && !r.ended && span(r.latest, at) < staleAfter }
