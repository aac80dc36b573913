package record

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"duet/rtmpchunk"
)

// sample is a coded frame on its way into a fragment.
type sample struct {
	at     time.Duration // decoding time in the recording
	dts    uint64        // in the track's scale
	dur    uint32
	offset int32 // of composition
	key    bool
	data   []byte
}

// track is one of media.mp4.
type track struct {
	id     uint32
	name   string
	kind   rtmpchunk.Kind
	coding coding
	scale  uint32
	sets   []byte // before each key frame: a decoder that goes back to one before a change of size has the later ones

	samples []*sample // whole: how long each lasts is known
	pending *sample   // the newest: the next one will tell
	next    uint64    // where the pending one would end by itself
}

// maxTracks of a recording: 64 KiB describe some 80.
const maxTracks = 64

// mux makes media.mp4. It belongs to one goroutine.
type mux struct {
	tracks   []*track
	fresh    bool // a track has come since the region was made
	fragment uint32
	length   time.Duration
}

func (m *mux) addTrack(name string, kind rtmpchunk.Kind, c coding) *track {
	if len(m.tracks) >= maxTracks {
		return nil
	}
	_, scale := c.entry()
	t := &track{id: uint32(len(m.tracks) + 1), name: name, kind: kind, coding: c, scale: scale}
	m.tracks = append(m.tracks, t)
	m.fresh = true
	return t
}

// Where frames follow each other as their codec says, give or take snap, they are taken to do so: timestamps are in ms.
const (
	snap    = 20 * time.Millisecond
	longGap = time.Second // of video without a frame: what came before does not last over it
)

func (t *track) ticks(d time.Duration) uint64 {
	return uint64(max(d, 0)) * uint64(t.scale) / uint64(time.Second)
}

// add takes the next frame. at is its decoding time in the recording.
func (t *track) add(at time.Duration, composition int32, key bool, data []byte) {
	s := &sample{at: at, dts: t.ticks(at), key: key, data: data, offset: int32(int64(composition) * int64(t.scale) / 1000)}
	if prev := t.pending; prev != nil {
		if off := int64(s.dts) - int64(t.next); t.kind == rtmpchunk.Audio && uint64(max(off, -off)) <= t.ticks(snap) {
			s.dts = t.next
		}
		s.dts = max(s.dts, prev.dts+1)
		if gap := s.dts - prev.dts; gap <= t.ticks(longGap) {
			prev.dur = uint32(gap)
		}
		t.samples = append(t.samples, prev)
	}
	s.dur = uint32(max(t.ticks(t.coding.nominal(data)), 1))
	t.pending, t.next = s, s.dts+uint64(s.dur)
}

// take is what is to be written: all but the newest, which waits for the next for at most a second.
func (t *track) take(now time.Duration, all bool) []*sample {
	list := t.samples
	t.samples = nil
	if p := t.pending; p != nil && (all || now-p.at > longGap) {
		list = append(list, p)
		t.pending = nil
	}
	return list
}

// region is the beginning of media.mp4 for the tracks that there are.
func (m *mux) region() ([]byte, error) {
	init := mp4.CreateEmptyInit()
	for _, t := range m.tracks {
		kind := "audio"
		if t.kind == rtmpchunk.Video {
			kind = "video"
		}
		trak := init.AddEmptyTrack(t.scale, kind, "und")
		trak.Mdia.Hdlr.Name = t.name
		if t.kind == rtmpchunk.Video {
			trak.Tkhd.Width, trak.Tkhd.Height = mp4.Fixed32(t.coding.width<<16), mp4.Fixed32(t.coding.height<<16)
		}
		e, _ := t.coding.entry()
		stsd := trak.Mdia.Minf.Stbl.Stsd // AddChild would want a type of its own for each codec
		stsd.Children = append(stsd.Children, e)
		stsd.SampleCount++
	}
	if m.length > 0 {
		init.Moov.Mvex.AddChild(&mp4.MehdBox{FragmentDuration: int64(m.length.Seconds() * float64(init.Moov.Mvhd.Timescale))})
	}
	var b bytes.Buffer
	if err := init.Encode(&b); err != nil {
		return nil, err
	}
	m.fresh = false
	return padInit(b.Bytes())
}

// piece is a fragment of what has come, nil if nothing has. from and to are the time that it covers.
func (m *mux) piece(now time.Duration, all bool) (b []byte, from, to time.Duration, err error) {
	var ids []uint32
	lists := make([][]*sample, len(m.tracks))
	for i, t := range m.tracks {
		if lists[i] = t.take(now, all); len(lists[i]) > 0 {
			ids = append(ids, t.id)
		}
	}
	if len(ids) == 0 {
		return nil, 0, 0, nil
	}
	m.fragment++
	f, err := mp4.CreateMultiTrackFragment(m.fragment, ids)
	if err != nil {
		return nil, 0, 0, err
	}
	from = time.Duration(1) << 62
	size := 0
	for i, t := range m.tracks {
		for _, s := range lists[i] {
			flags := mp4.NonSyncSampleFlags
			if s.key || t.kind == rtmpchunk.Audio {
				flags = mp4.SyncSampleFlags
			}
			if err := f.AddSampleToTrack(mp4.Sample{Flags: flags, Dur: s.dur, Size: uint32(len(s.data)), CompositionTimeOffset: s.offset}, t.id, s.dts); err != nil {
				return nil, 0, 0, err
			}
			begin := time.Duration(s.dts) * time.Second / time.Duration(t.scale)
			from = min(from, begin)
			to = max(to, begin+time.Duration(s.dur)*time.Second/time.Duration(t.scale))
			size += len(s.data)
		}
	}
	m.length = max(m.length, to)
	f.SetTrunDataOffsets()
	if size > math.MaxUint32-boxHeader {
		return nil, 0, 0, fmt.Errorf("record: a fragment of %d bytes", size)
	}
	var out bytes.Buffer
	out.Grow(int(f.Moof.Size()) + boxHeader + size)
	if err := f.Moof.Encode(&out); err != nil {
		return nil, 0, 0, err
	}
	b = append(binary.BigEndian.AppendUint32(out.Bytes(), uint32(boxHeader+size)), "mdat"...)
	for _, list := range lists {
		for _, s := range list {
			b = append(b, s.data...)
		}
	}
	return b, from, to, nil
}

// picture is an MP4 file of one key frame.
func picture(c coding, name string, data []byte) ([]byte, error) {
	var m mux
	t := m.addTrack(name, rtmpchunk.Video, c)
	t.add(0, 0, true, data)
	frame, _, _, err := m.piece(0, true)
	if err != nil {
		return nil, err
	}
	region, err := m.region()
	if err != nil {
		return nil, err
	}
	return slices.Concat(trimInit(region), frame), nil
}
