package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"duet/client"
	"duet/rtmpchunk"
)

// maxInputs bounds --input: more steps nobody sees.
const maxInputs = 8

// sameLength is by how much renditions' lengths may differ, in ms: encoders end a frame or two apart.
const sameLength = 250

// renditionInfo is what must agree between renditions of one source, and the bitrate, by which they differ.
type renditionInfo struct {
	path    string
	codec   rtmpchunk.Codec
	keys    []keyFrame
	first   uint32 // lowest timestamp
	from    uint32 // timestamp of the first frame of video
	until   uint32 // and of the last
	bytes   int64  // of video
	bitrate int64  // bit/s of video
}

type keyFrame struct {
	at          uint32 // decoding time
	composition int32  // from there to the presentation
}

// readRendition reads a file through.
func readRendition(ctx context.Context, path string) (*renditionInfo, error) {
	if path == "-" {
		return nil, misusef("--input - can't be one of several: a pipe can't be looked through before")
	}
	s, err := openSource(path, nil, false)
	if err != nil {
		return nil, err
	}
	defer s.close()
	if !s.paced {
		return nil, misusef("--input %s can't be one of several: it is no file that can be looked through before", path)
	}
	r := &renditionInfo{path: path}
	for n := 0; ; n++ {
		m, err := s.read()
		switch {
		case errors.Is(err, io.EOF):
			return r, r.sum()
		case errors.Is(err, rtmpchunk.ErrTruncated):
			return nil, &client.CodeError{Code: client.CodeIO, Text: path + " is cut off", Err: err}
		case err != nil:
			return nil, err
		case ctx.Err() != nil:
			return nil, ctx.Err()
		}
		if n == 0 || before(m.Timestamp, r.first) {
			r.first = m.Timestamp
		}
		r.count(m)
	}
}

func (r *renditionInfo) count(m rtmpchunk.Message) {
	info := rtmpchunk.Classify(m)
	if m.Type != rtmpchunk.TypeVideo || info.Record {
		return
	}
	if r.codec == rtmpchunk.CodecUnknown {
		r.codec, r.from = info.Codec, m.Timestamp
	}
	if info.Packet == rtmpchunk.PacketSequenceEnd {
		return
	}
	r.until = m.Timestamp
	r.bytes += int64(len(m.Payload))
	if info.Key {
		r.keys = append(r.keys, keyFrame{m.Timestamp, info.Composition})
	}
}

func (r *renditionInfo) sum() error {
	if len(r.keys) == 0 {
		return fmt.Errorf("--input %s: there is no key frame of video in it", r.path)
	}
	r.bitrate = r.bytes * 8 * 1000 / max(1, int64(r.until-r.from))
	return nil
}

// alignHint says how files are made that fit.
const alignHint = `for each: ffmpeg -i IN -c:v libx264 -b:v 800k -maxrate 800k -bufsize 800k -force_key_frames "expr:gte(t,n_forced*2)" -sc_threshold 0 -c:a aac -f flv OUT.flv`

// checkRenditions fails unless all are renditions of one source, between which a stream can be switched.
func checkRenditions(list []*renditionInfo) error {
	a := list[0]
	for _, b := range list[1:] {
		if a.codec != b.codec {
			return withHint(fmt.Errorf("--input %s has %v video, %s has %v: renditions need one codec", b.path, b.codec, a.path, a.codec), alignHint)
		}
		for i, k := range b.keys {
			if i >= len(a.keys) {
				break
			}
			if want := a.keys[i]; k.at != want.at {
				return misaligned(b.path, fmt.Sprintf("key frame %d is at %s, in %s at %s", i+1, stamp(k.at), a.path, stamp(want.at)))
			} else if k.composition != want.composition {
				return misaligned(b.path, fmt.Sprintf("key frame %d at %s is shown %d ms later, in %s %d ms: give all the same number of B-frames (-bf)",
					i+1, stamp(k.at), k.composition, a.path, want.composition))
			}
		}
		if d := int32(b.until-b.from) - int32(a.until-a.from); d > sameLength || d < -sameLength {
			return withHint(fmt.Errorf("--input %s is %s long, %s is %s: they are not renditions of one source",
				b.path, stamp(b.until-b.from), a.path, stamp(a.until-a.from)), alignHint)
		}
		if na, nb := len(a.keys), len(b.keys); na != nb {
			more, less := a, b
			if nb > na {
				more, less = b, a
			}
			return misaligned(less.path, fmt.Sprintf("there is no key frame at %s, where %s has one", stamp(more.keys[len(less.keys)].at), more.path))
		}
	}
	return nil
}

func misaligned(path, what string) error {
	return withHint(fmt.Errorf("--input %s: %s; a stream can only be switched where all have a key frame", path, what), alignHint)
}

// stamp is a timestamp in seconds.
func stamp(ms uint32) string { return fmt.Sprintf("%d.%03d s", ms/1000, ms%1000) }
