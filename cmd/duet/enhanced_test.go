package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"duet/rtmpchunk"
)

// enhancedMessages is a second of a stream in enhanced RTMP: FourCC headers, video with composition times and without, an audio
// configuration of several channels, colour information.
func enhancedMessages(video, audio string) []rtmpchunk.Message {
	const key, inter = 0x90, 0xa0 // enhanced bit and frame type
	v := func(ts uint32, first byte, body ...byte) rtmpchunk.Message {
		return rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: ts, Payload: append(append([]byte{first}, video...), body...)}
	}
	a := func(ts uint32, packet byte, body ...byte) rtmpchunk.Message {
		return rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: append(append([]byte{0x90 | packet}, audio...), body...)}
	}
	fill := func(n, seed int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(i*7 + seed)
		}
		return b
	}
	list := []rtmpchunk.Message{
		v(0, key, 1, 2, 3, 4, 5, 6, 7, 8),                                    // sequence start
		v(0, key|4, 2, 0, 9, 'c', 'o', 'l', 'o', 'r', 'I', 'n', 'f', 'o', 5), // metadata
		a(0, 0, []byte("OpusHead-or-another-configuration")...),
		a(0, 4, 1, 2, 0, 0, 0, 3), // multichannel: native order, stereo
	}
	for i := range 25 {
		ts, first := uint32(i*40), byte(inter|3) // coded frames without composition time
		body := fill(900+i*100, i)
		switch {
		case i == 0:
			first, body = key|1, append([]byte{0, 0, 0}, fill(30_000, 1)...)
		case i%3 == 0:
			first, body = inter|1, append([]byte{0, 0, 80}, body...)
		}
		list = append(list, v(ts, first, body...), a(ts, 1, fill(160, i)...), a(ts+20, 1, fill(160, i+1)...))
	}
	return append(list, v(1000, key|2)) // sequence end
}

// HEVC, AV1 and VP9 with Opus and FLAC come out as they went in, and reach a player that joins midway with what it needs.
func TestEnhancedRTMP(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	for _, codecs := range [][2]string{{"hvc1", "Opus"}, {"av01", "Opus"}, {"vp09", "fLaC"}} {
		stream := "live/" + codecs[0]
		sent := enhancedMessages(codecs[0], codecs[1])
		in := filepath.Join(t.TempDir(), "in.flv")
		f, err := os.Create(in)
		if err != nil {
			t.Fatal(err)
		}
		w := rtmpchunk.NewWriter(f)
		for _, m := range sent {
			if err := w.Write(m); err != nil {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(t.TempDir(), "out.flv")
		played := make(chan result, 1)
		url, before := h.url("play", stream), players(h)
		go func() { played <- duet(context.Background(), nil, "play", url, "--output", out) }()
		waitFor(t, "the player", func() bool { return players(h) == before+1 })
		if r := duet(t.Context(), nil, "push", h.url("push", stream), "--input", in); r.code != 0 {
			t.Fatal(r.err)
		}
		if r := <-played; r.code != 0 {
			t.Fatal(r.err)
		}
		same(t, readFLV(t, out), sent)
	}
}
