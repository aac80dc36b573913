package record

import (
	"bytes"
	"fmt"
	"time"

	"duet/rtmpchunk"
)

// Frame is a message of a stream.
type Frame struct {
	Message  rtmpchunk.Message
	Run      uint32    // of the pusher: another one begins its timestamps anew
	Captured time.Time // with a monotonic reading; when it came, where that is not known
}

// Stream is a party's, as it is to be recorded.
type Stream struct {
	Name  string `json:"stream"` // live/…
	User  string `json:"user"`
	Title string `json:"name,omitempty"` // of the user
	Role  string `json:"role,omitempty"`
}

// source is a stream at work.
type source struct {
	Stream
	number  int
	time    timeline
	video   *track
	audio   *track
	config  [2][]byte // of the decoder, the newest, by kind
	codec   [2]rtmpchunk.Codec
	meta    rtmpchunk.Metadata
	side    *side
	newest  []byte // key frame
	refused bool   // there are too many tracks
}

// side is a file for media that MP4 has no place for.
type side struct {
	name  string
	out   bytes.Buffer
	write *rtmpchunk.Writer
	from  time.Duration
	to    time.Duration
	any   bool
}

// frame takes a message of a stream.
func (r *Recording) frame(s *source, f *Frame) error {
	at := s.time.at(f.Message.Timestamp, f.Run, f.Captured.Sub(r.zero))
	info := rtmpchunk.Classify(f.Message)
	body, ok := rtmpchunk.Body(f.Message)
	switch {
	case !info.Media:
		if f.Message.Type == rtmpchunk.TypeData {
			if meta, err := rtmpchunk.ParseMetadata(f.Message.Payload); err == nil {
				s.meta = meta
			}
		}
		return nil
	case !ok:
		return nil
	case info.Packet == rtmpchunk.PacketSequenceStart:
		if info.Multitrack && info.Track != 0 {
			return nil
		}
		return r.configure(s, info, bytes.Clone(body))
	case info.Packet != rtmpchunk.PacketFrames && info.Packet != rtmpchunk.PacketFramesX, len(body) == 0:
		return nil
	case entryNames[info.Codec] == "" || info.Multitrack:
		return r.aside(s, at, f)
	}
	t := s.trackOf(info.Kind)
	if *t == nil || (*t).coding.codec != info.Codec {
		if needsConfig(info.Codec) && (s.codec[info.Kind] != info.Codec || s.config[info.Kind] == nil) || info.Kind == rtmpchunk.Video && !info.Key {
			return nil // nobody could decode it
		}
		c := coding{codec: info.Codec}
		if s.codec[info.Kind] == info.Codec {
			c.config = s.config[info.Kind]
		}
		if info.Kind == rtmpchunk.Video {
			c.picture(body, &s.meta)
		}
		if err := r.newTrack(s, t, info.Kind, c); err != nil || *t == nil {
			return err
		}
	}
	data := body
	if info.Key && (*t).sets != nil {
		data = append(bytes.Clone((*t).sets), data...)
	}
	if info.Key {
		s.newest = data
	}
	if at < -longGap && info.Kind == rtmpchunk.Audio {
		return nil // from before the recording began, as after a restart; of the picture it is kept, at the beginning: what follows can't be decoded without
	}
	(*t).add(at, info.Composition, info.Key, data)
	return nil
}

func (s *source) trackOf(k rtmpchunk.Kind) **track {
	if k == rtmpchunk.Video {
		return &s.video
	}
	return &s.audio
}

// configure takes a decoder's configuration. One that a running track can't take makes a new track.
func (r *Recording) configure(s *source, info rtmpchunk.Info, config []byte) error {
	k := info.Kind
	same := s.codec[k] == info.Codec && bytes.Equal(s.config[k], config)
	s.codec[k], s.config[k] = info.Codec, config
	t := s.trackOf(k)
	if same || *t == nil {
		return nil
	}
	if c := (coding{codec: info.Codec, config: config}); (*t).coding.codec == info.Codec && k == rtmpchunk.Video {
		(*t).sets = c.parameterSets()
		c.picture(nil, &s.meta)
		return r.note(&Note{Text: "picture", Stream: s.Name, User: s.User, Detail: fmt.Sprintf("%d×%d", c.width, c.height)})
	}
	*t = nil // a new one with its next frame
	return nil
}

func (r *Recording) newTrack(s *source, t **track, k rtmpchunk.Kind, c coding) error {
	name := fmt.Sprintf("%s%s) %s", trackOwner(s.User), s.Role, k)
	if *t = r.mux.addTrack(name, k, c); *t == nil {
		if s.refused {
			return nil
		}
		s.refused = true
		return r.note(&Note{Text: "too-many-tracks", Stream: s.Name, User: s.User, Detail: fmt.Sprintf("there are %d: this one is left out", maxTracks)})
	}
	(*t).sets = c.parameterSets()
	detail := fmt.Sprintf("track %d: %s", (*t).id, c.codec)
	if k == rtmpchunk.Video {
		detail += fmt.Sprintf(", %d×%d", c.width, c.height)
	}
	return r.note(&Note{Text: noteTrack, Stream: s.Name, User: s.User, Name: s.Title, Role: s.Role, Detail: detail})
}

// aside keeps a frame in a file of its own, as it came.
func (r *Recording) aside(s *source, at time.Duration, f *Frame) error {
	if s.side == nil {
		s.side = &side{name: fmt.Sprintf("side-%d.flv", s.number)}
		s.side.write = rtmpchunk.NewWriter(&s.side.out)
		codec := rtmpchunk.Classify(f.Message).Codec
		if err := r.note(&Note{Text: noteTrack, Stream: s.Name, User: s.User, Name: s.Title, Role: s.Role, Detail: fmt.Sprintf("%s: %s, which MP4 has no place for; timestamps are ms of the recording", s.side.name, codec)}); err != nil {
			return err
		}
	}
	m := f.Message
	m.Timestamp = uint32(max(at, 0).Milliseconds())
	if !s.side.any {
		s.side.any, s.side.from = true, at
	}
	s.side.to = max(s.side.to, at)
	return s.side.write.Write(m)
}

// snapshot keeps the newest key frame as a file.
func (r *Recording) snapshot(s *source) error {
	if s.newest == nil || s.video == nil {
		return nil
	}
	b, err := picture(s.video.coding, s.User, s.newest)
	if err != nil {
		return err
	}
	r.snapshots++
	name := fmt.Sprintf("snapshot-%d.mp4", r.snapshots)
	l := r.part.stamp(KindSnapshot)
	l.From, l.To = r.sinceZero().Milliseconds(), r.sinceZero().Milliseconds()
	if err := r.part.add(name, b, l); err != nil {
		return err
	}
	return r.note(&Note{Text: "snapshot", Stream: s.Name, User: s.User, Detail: name})
}
