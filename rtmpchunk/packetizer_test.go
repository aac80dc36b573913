package rtmpchunk

import (
	"bytes"
	"errors"
	"testing"
)

func TestPacketizerNumbers(t *testing.T) {
	p := NewPacketizer(0xffffffff)
	if p.Instance() != 0xfffffffe {
		t.Errorf("instance %x; its low bit must be 0", p.Instance())
	}
	config := Message{Type: TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1}}
	frame := message(TypeVideo, 0, 3000)
	var seq uint16
	// 300 configurations, each followed by a frame that needs it: IDs wrap to 1, sequence numbers wrap to 0 in time.
	p.seq[Video], seq = 65000, 65000
	for i := range uint64(300) {
		if p.Next() != 2*i {
			t.Fatalf("next order %d; want %d", p.Next(), 2*i)
		}
		_, rec, err := push(p, config, 0)
		if err != nil {
			t.Fatal(err)
		}
		id := uint8(i%255) + 1
		if rec.Order != 2*i || rec.ID != id || rec.Slot != SlotVideoConfig {
			t.Fatalf("record %d: %+v", i, rec)
		}
		_, err = p.Push(frame, 0, func() []byte { return make([]byte, MaxPacket) }, func(packet []byte, h Header) {
			if h.Seq != seq || h.Order != uint16(2*i+1) || h.Config != id {
				t.Fatalf("frame %d: %+v; want sequence number %d, configuration %d", i, h, seq, id)
			}
			seq++
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if p.NextSeq(Video) != seq || p.NextSeq(Audio) != 0 {
		t.Errorf("next sequence numbers %d and %d", p.NextSeq(Video), p.NextSeq(Audio))
	}
}

func TestPushRefuses(t *testing.T) {
	p := NewPacketizer(2)
	for name, c := range map[string]struct {
		m    Message
		want error
	}{
		"a frame of more than 4 MiB": {message(TypeVideo, 0, MaxMessage+1), ErrTooLarge},
		"a large configuration":      {Message{Type: TypeAudio, Payload: append([]byte{0xaf, 0}, make([]byte, MaxRecord)...)}, ErrRecordTooLarge},
		"large data":                 {Message{Type: TypeData, Payload: make([]byte, MaxRecord+1)}, ErrRecordTooLarge},
	} {
		packets, rec, err := push(p, c.m, 0)
		if !errors.Is(err, c.want) || rec != nil || packets != nil {
			t.Errorf("%s: %d packets, %v, %v", name, len(packets), rec, err)
		}
	}
	if p.Next() != 0 || p.NextSeq(Video) != 0 || p.config[Audio] != 0 {
		t.Error("a refused message took a number")
	}
	for name, m := range map[string]Message{
		"the largest data":  {Type: TypeData, Payload: make([]byte, MaxRecord)},
		"the largest frame": message(TypeAudio, 0, MaxMessage),
	} {
		if _, _, err := push(p, m, 0); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestRecordIsACopy(t *testing.T) {
	m := Message{Type: TypeData, Timestamp: 3, Payload: []byte("text")}
	_, rec, err := push(NewPacketizer(2), m, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := Message{Type: TypeData, Timestamp: 3, Payload: []byte("text")}
	m.Payload[0] = 'n'
	if !equalMessage(rec.Message(), want) {
		t.Errorf("the record changed with the caller's buffer: %q", rec.Body)
	}
}

// TestConfigurationsOfAudioReachALateJoiner: a sequence start and the channel layout after it do not replace each other.
func TestConfigurationsOfAudioReachALateJoiner(t *testing.T) {
	p := NewPacketizer(2)
	cached := map[Slot][]byte{}
	for _, body := range [][]byte{[]byte("\x90OpusOpusHead"), []byte("\x94Opus\x01\x02\x00\x00\x00\x03")} {
		_, rec, err := push(p, Message{Type: TypeAudio, Payload: body}, 0)
		if err != nil {
			t.Fatal(err)
		}
		cached[rec.Slot] = body
	}
	if cached[SlotNone] != nil || len(cached) != 2 {
		t.Errorf("cached: %q", cached)
	}
	packets, _, err := push(p, Message{Type: TypeAudio, Payload: []byte("\x91Opusframe")}, 0)
	var h Header
	if err == nil {
		_, err = new(Parser).Parse(packets[0], &h)
	}
	if err != nil || h.Config != 1 {
		t.Errorf("the frame names configuration %d, %v; want that of the sequence start, 1", h.Config, err)
	}
}

func nal(units ...[]byte) []byte {
	var b []byte
	for _, u := range units {
		b = append(b, 0, 0, byte(len(u)>>8), byte(len(u)))
		b = append(b, u...)
	}
	return b
}

func TestDiscardable(t *testing.T) {
	avc := func(frame ...[]byte) []byte { return append([]byte{0x27, 1, 0, 0, 0}, nal(frame...)...) }
	hevc := func(frame ...[]byte) []byte { return append([]byte("\xa3hvc1"), nal(frame...)...) }
	avcConfig := []byte{0x17, 0, 0, 0, 0, 1, 66, 0, 10, 0xff}
	hvcc := make([]byte, 23)
	hvcc[21] = 1<<3 | 3
	hevcConfig := append([]byte("\x90hvc1"), hvcc...)
	layered := bytes.Clone(hevcConfig)
	layered[5+21] = 2<<3 | 3
	shortLengths := append([]byte{0x17, 0, 0, 0, 0, 1, 66, 0, 10, 0xfd}, 0)
	for _, c := range []struct {
		name   string
		config []byte
		frame  []byte
		want   bool
	}{
		{"a slice that no other refers to", avcConfig, avc([]byte{0x01, 9}), true},
		{"two of them, and SEI", avcConfig, avc([]byte{0x06, 9}, []byte{0x01, 9}, []byte{0x01, 9}), true},
		{"without a configuration", nil, avc([]byte{0x01, 9}), true},
		{"a reference slice", avcConfig, avc([]byte{0x41, 9}), false},
		{"one reference slice among others", avcConfig, avc([]byte{0x01, 9}, []byte{0x41, 9}), false},
		{"with a parameter set", avcConfig, avc([]byte{0x68, 9}, []byte{0x01, 9}), false},
		{"no slice", avcConfig, avc([]byte{0x06, 9}), false},
		{"an IDR slice", avcConfig, avc([]byte{0x65, 9}), false},
		{"a key frame by its frame type", avcConfig, append([]byte{0x17, 1, 0, 0, 0}, nal([]byte{0x01, 9})...), false},
		{"a unit cut off", avcConfig, avc([]byte{0x01, 9})[:10], false},
		{"an empty unit", avcConfig, avc([]byte{0x01, 9}, nil), false},
		{"lengths of 2 bytes", shortLengths, []byte{0x27, 1, 0, 0, 0, 0, 2, 0x01, 9}, true},
		{"HEVC, TRAIL_N in a stream of one layer", hevcConfig, hevc([]byte{0 << 1, 1, 9}), true},
		{"HEVC, RASL_N and SEI", hevcConfig, hevc([]byte{39 << 1, 1, 9}, []byte{8 << 1, 1, 9}), true},
		{"HEVC, TRAIL_R", hevcConfig, hevc([]byte{1 << 1, 1, 9}), false},
		{"HEVC, IDR", hevcConfig, hevc([]byte{19 << 1, 1, 9}), false},
		{"HEVC, with a parameter set", hevcConfig, hevc([]byte{34 << 1, 1, 9}, []byte{0, 1, 9}), false},
		{"HEVC, TRAIL_N where a layer above may refer to it", layered, hevc([]byte{0 << 1, 1, 9}), false},
		{"HEVC, no configuration", nil, hevc([]byte{0 << 1, 1, 9}), false},
	} {
		p := NewPacketizer(2)
		if c.config != nil {
			if _, rec, err := push(p, Message{Type: TypeVideo, Payload: c.config}, 0); err != nil || rec.Slot != SlotVideoConfig {
				t.Fatalf("%s: %v, %v", c.name, rec, err)
			}
		}
		var got Header
		_, err := p.Push(Message{Type: TypeVideo, Payload: c.frame}, 0,
			func() []byte { return make([]byte, MaxPacket) }, func(_ []byte, h Header) { got = h })
		if err != nil || got.Count != 1 || got.Discardable != c.want {
			t.Errorf("%s: discardable %v, %v; want %v", c.name, got.Discardable, err, c.want)
		}
	}
}

func TestTemporalLayer(t *testing.T) {
	m := Message{Type: TypeVideo, Payload: append([]byte("\xa3hvc1"), nal([]byte{2 << 1, 3, 9})...)}
	if info := Classify(m); info.Layer != 2 {
		t.Errorf("layer %d of TSA_N with temporal ID plus 1 of 3; want 2", info.Layer)
	}
}

func TestCodecNames(t *testing.T) {
	if CodecEAC3.String() != "E-AC-3" || Codec(200).String() != "unknown" || len(codecNames) != int(CodecEAC3)+1 {
		t.Errorf("%v, %v", CodecEAC3, Codec(200))
	}
}

func FuzzClassify(f *testing.F) {
	f.Add(uint8(TypeVideo), []byte{0x27, 1, 0, 0, 0, 0, 0, 0, 2, 1, 9})
	f.Add(uint8(TypeVideo), []byte("\xd7\x02\x00\x01\xf4\x01av01\x12\x00"))
	f.Add(uint8(TypeAudio), []byte("\x95\x00Opus\x02OpusHead"))
	f.Add(uint8(TypeData), append([]byte{2, 0, 10}, "onMetaData\x08\x00\x00\x00\x00\x00\x00\x09"...))
	f.Fuzz(func(t *testing.T, typ uint8, body []byte) {
		m := Message{Type: typ, Payload: body}
		info := Classify(m)
		switch {
		case info.Slot != SlotNone && !info.Record, !info.Media && !info.Record:
			t.Errorf("%+v: kept, but no record", info)
		case info.Record && (info.Key || info.Discardable), info.Key && info.Discardable:
			t.Errorf("%+v: contradicts itself", info)
		case info.Slot >= Slots || info.Layer > MaxLayer:
			t.Errorf("%+v: out of range", info)
		}
		// The same message through a packetizer, twice, so that what was learnt from it counts: it comes out as it went in.
		p := NewPacketizer(2)
		for range 2 {
			packets, rec, err := push(p, m, 0)
			if err != nil {
				return // too large
			}
			if rec != nil {
				if !equalMessage(rec.Message(), m) {
					t.Fatalf("the record differs: %+v", rec)
				}
				continue
			}
			checkRebuilt(t, m, packets)
		}
	})
}
