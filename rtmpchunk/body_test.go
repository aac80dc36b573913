package rtmpchunk

import (
	"bytes"
	"testing"
)

func TestBody(t *testing.T) {
	video := func(b ...byte) Message { return Message{Type: TypeVideo, Payload: b} }
	audio := func(b ...byte) Message { return Message{Type: TypeAudio, Payload: b} }
	for name, c := range map[string]struct {
		m    Message
		want []byte
	}{
		"H.264":                 {video(0x17, 1, 0, 0, 40, 7, 8), []byte{7, 8}},
		"H.264 configuration":   {video(0x17, 0, 0, 0, 0, 1, 2), []byte{1, 2}},
		"Sorenson":              {video(0x22, 7, 8), []byte{7, 8}},
		"AAC":                   {audio(0xaf, 1, 7, 8), []byte{7, 8}},
		"G.711":                 {audio(0x72, 7, 8), []byte{7, 8}},
		"enhanced HEVC":         {video(0x91, 'h', 'v', 'c', '1', 0, 0, 40, 7, 8), []byte{7, 8}},
		"enhanced HEVC, no cts": {video(0x93, 'h', 'v', 'c', '1', 7, 8), []byte{7, 8}},
		"enhanced AV1":          {video(0x91, 'a', 'v', '0', '1', 7, 8), []byte{7, 8}},
		"enhanced AV1 start":    {video(0x90, 'a', 'v', '0', '1', 1, 2), []byte{1, 2}},
		"enhanced Opus":         {audio(0x91, 'O', 'p', 'u', 's', 7, 8), []byte{7, 8}},
		"cut off":               {video(0x17, 1, 0), nil},
		"cut off, enhanced":     {video(0x91, 'h', 'v', 'c', '1', 0), nil},
		"empty":                 {video(), nil},
		"data":                  {Message{Type: TypeData, Payload: []byte{2}}, nil},
	} {
		got, ok := Body(c.m)
		if ok != (c.want != nil) || !bytes.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", name, got, ok, c.want)
		}
	}
}
