package main

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"duet/rtmpchunk"
)

// flv is a file to be: what a test of renditions varies.
type flv struct {
	name   string
	frames int // 25 a second
	size   int // bytes of each
	gop    int
	bf     int32 // composition time of key frames
	codec  byte
	mark   byte // in the configuration and in each frame
}

func (f flv) write(t *testing.T, dir string) string {
	t.Helper()
	path := filepath.Join(dir, f.name)
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	w := rtmpchunk.NewWriter(file)
	put := func(kind uint8, ts int, payload []byte) {
		if err := w.Write(rtmpchunk.Message{Type: kind, Timestamp: uint32(ts), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	}
	put(rtmpchunk.TypeVideo, 0, []byte{0x10 | f.codec, 0, 0, 0, 0, 1, 0x42, 0, 0x1f, f.mark})
	put(rtmpchunk.TypeAudio, 0, []byte{0xaf, 0, 0x12, 0x10})
	for n := range f.frames {
		b := make([]byte, f.size)
		b[0], b[1], b[9], b[10] = 0x20|f.codec, 1, 0x61, f.mark
		binary.BigEndian.PutUint32(b[5:], uint32(len(b)-9))
		if f.gop > 0 && n%f.gop == 0 {
			b[0], b[9] = 0x10|f.codec, 0x65
			b[3], b[4] = byte(f.bf>>8), byte(f.bf)
		}
		put(rtmpchunk.TypeVideo, n*40, b)
		put(rtmpchunk.TypeAudio, n*40, []byte{0xaf, 1, f.mark, byte(n)})
	}
	return path
}

// Files between which a stream can't be switched are refused before anything is sent; the message says which, where, and what to do.
func TestPushRenditionsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	good := flv{name: "a.flv", frames: 150, size: 500, gop: 50, codec: 7}
	a := good.write(t, dir)
	for name, test := range map[string]struct {
		change func(*flv)
		text   []string
		code   int
	}{
		"key frames elsewhere": {func(f *flv) { f.gop = 48 }, []string{"b.flv: key frame 2 is at 1.920 s, in", "a.flv at 2.000 s", "-force_key_frames", "-sc_threshold 0"}, exitFailed},
		"one more key frame":   {func(f *flv) { f.frames = 151 }, []string{"a.flv: there is no key frame at 6.000 s, where", "b.flv has one"}, exitFailed},
		"no key frame":         {func(f *flv) { f.gop = 0 }, []string{"b.flv: there is no key frame"}, exitFailed},
		"another length":       {func(f *flv) { f.frames = 140 }, []string{"b.flv is 5.560 s long", "a.flv is 5.960 s"}, exitFailed},
		"another codec":        {func(f *flv) { f.codec = 12 }, []string{"b.flv has HEVC video", "a.flv has H.264"}, exitFailed},
		"other B-frames":       {func(f *flv) { f.bf = 80 }, []string{"b.flv: key frame 1 at 0.000 s is shown 80 ms later", "0 ms", "-bf"}, exitFailed},
	} {
		f := good
		f.name, f.size = "b.flv", 1000
		test.change(&f)
		sub := t.TempDir()
		r := duet(t.Context(), nil, "push", "duet://127.0.0.1:9/live/a#k="+strings.Repeat("A", 42)+"E&t=x", "--input", a, "--input", f.write(t, sub))
		if r.code != test.code {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
		for _, text := range test.text {
			if !strings.Contains(r.err.String(), text) {
				t.Errorf("%s: no %q in %s", name, text, r.err)
			}
		}
	}
	for name, second := range map[string]string{"a pipe": "-", "nothing": ""} {
		r := duet(t.Context(), nil, "push", "duet://127.0.0.1:9/live/a#k="+strings.Repeat("A", 42)+"E&t=x", "--input", a, "--input", second)
		if r.code != exitMisuse || !strings.Contains(r.err.String(), "--input") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
}

// Three renditions of a source are one stream: one of them at a time, the audio once, everything at its own time.
func TestPushRenditions(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	dir := t.TempDir()
	args := []string{"push", h.url("push", "live/a"), "--json"}
	for i, size := range []int{4000, 1000, 2000} { // in any order
		f := flv{name: string(rune('a'+i)) + ".flv", frames: 50, size: size, gop: 25, codec: 7, mark: byte(i)}
		args = append(args, "--input", f.write(t, dir))
	}
	out := filepath.Join(dir, "out.flv")
	played := make(chan result, 1)
	url := h.url("play", "live/a")
	go func() { played <- duet(t.Context(), nil, "play", url, "--max-delay", "5s", "--output", out) }()
	waitFor(t, "the player", func() bool { return players(h) == 1 })
	began := time.Now()
	r := duet(t.Context(), nil, args...)
	if took := time.Since(began); r.code != exitDone || took < 1900*time.Millisecond {
		t.Errorf("exit %d after %v: %s", r.code, took, r.err)
	}
	if !strings.Contains(r.err.String(), "rendition 1 of 3: "+filepath.Join(dir, "b.flv")) || !strings.Contains(r.err.String(), "rendition 3 of 3: "+filepath.Join(dir, "a.flv")) {
		t.Errorf("the order is not told: %s", r.err)
	}
	if r := <-played; r.code != exitDone {
		t.Errorf("play: exit %d: %s", r.code, r.err)
	}
	video, audio, config := 0, 0, byte(99)
	for _, m := range readFLV(t, out) {
		info := rtmpchunk.Classify(m)
		switch {
		case info.Record && m.Type == rtmpchunk.TypeVideo:
			config = m.Payload[9]
		case info.Record:
		case m.Type == rtmpchunk.TypeVideo:
			if want := uint32(video * 40); m.Timestamp != want || m.Payload[10] != config {
				t.Fatalf("video frame %d of file %d at %d ms, with the configuration of %d", video, m.Payload[10], m.Timestamp, config)
			}
			video++
		default:
			if m.Payload[2] != 1 || m.Timestamp != uint32(audio*40) {
				t.Fatalf("audio frame %d of file %d at %d ms", audio, m.Payload[2], m.Timestamp)
			}
			audio++
		}
	}
	if video != 50 || audio != 50 {
		t.Errorf("%d frames of video and %d of audio", video, audio)
	}
}

// Later rounds go on where the one before ended, with all files alike.
func TestLadderLoop(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var paths []string
	for i, frames := range []int{5, 6} { // they end a frame apart
		paths = append(paths, flv{name: string(rune('a' + i)), frames: frames, size: 100 + i, gop: 50, codec: 7, mark: byte(i)}.write(t, dir))
	}
	l, err := openLadder(t.Context(), paths, true)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	keys := [2][]uint32{}
	for len(keys[0]) < 3 || len(keys[1]) < 3 {
		i, m, err := l.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if info := rtmpchunk.Classify(m); info.Key && !info.Record {
			keys[i] = append(keys[i], m.Timestamp)
		}
	}
	for i := range keys {
		for n, want := range []uint32{0, 240, 480} {
			if keys[i][n] != want {
				t.Errorf("key frames of file %d are at %v ms", i, keys[i])
				break
			}
		}
	}
}
