package record

import (
	"bytes"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"duet/rtmpchunk"
)

// Whatever a decoder had before, from wherever it comes: each key frame brings the parameter sets that it is decoded with.
func TestEveryKeyFrameCanBeEntered(t *testing.T) {
	var first []byte
	for _, m := range clip(t) {
		if info := rtmpchunk.Classify(m); info.Kind == rtmpchunk.Video && info.Packet == rtmpchunk.PacketSequenceStart {
			first = m.Payload
			break
		}
	}
	second := bytes.Clone(first)
	second[len(second)-1] ^= 1 // the end of its picture parameters
	dir := t.TempDir()
	var sets [2][]byte
	for i, config := range [][]byte{first, second} {
		body, _ := rtmpchunk.Body(rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: config})
		if sets[i] = (&coding{codec: rtmpchunk.CodecAVC, config: body}).parameterSets(); len(sets[i]) == 0 {
			t.Fatal("no parameter sets")
		}
	}
	if bytes.Equal(sets[0], sets[1]) {
		t.Fatal("the configurations do not differ")
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{Dir: dir, Key: testKey()})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Start(Info{Call: "c1"})
		if err != nil {
			t.Fatal(err)
		}
		rec.AddStream(Stream{Name: "live/anna", User: "anna", Role: "agent"})
		begin := time.Now()
		for i, config := range [][]byte{first, second, first} {
			for j, payload := range [][]byte{config, append([]byte{0x17, 1, 0, 0, 0}, "key"...), append([]byte{0x27, 1, 0, 0, 0}, "more"...)} {
				at := time.Duration(3*i+j) * 40 * time.Millisecond
				rec.Frame("live/anna", Frame{Message: rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(at.Milliseconds()), Payload: payload}, Run: 1, Captured: begin.Add(at)})
			}
		}
		if err := rec.Close("hangup"); err != nil {
			t.Fatal(err)
		}
	})
	d := decode(t, filepath.Join(dir, "c1", mediaFile))
	bodies := d.bodies[d.trackOf(t, "anna", rtmpchunk.Video)]
	want := [][]byte{
		append(bytes.Clone(sets[0]), "key"...), []byte("more"), append(bytes.Clone(sets[1]), "key"...), []byte("more"), append(bytes.Clone(sets[0]), "key"...), []byte("more"),
	}
	if !same(bodies, want) || len(bodies) != len(want) {
		t.Errorf("%q", bodies)
	}
}
