package endpoint

import (
	"bytes"
	"testing"

	"duet/rtmpchunk"
)

// What is sent is understood by what reads RTMP: kind, codec, key frame and configuration, and the bytes behind the header.
func TestBodies(t *testing.T) {
	for _, tt := range []struct {
		codec rtmpchunk.Codec
		kind  rtmpchunk.Kind
	}{
		{codecAVC, rtmpchunk.Video}, {codecVP8, rtmpchunk.Video}, {codecVP9, rtmpchunk.Video}, {codecAV1, rtmpchunk.Video},
		{codecOpus, rtmpchunk.Audio}, {codecAAC, rtmpchunk.Audio},
	} {
		for _, flags := range []uint8{0, FlagKey, FlagConfig} {
			data := []byte{1, 2, 3, 4, 5, 6, 7, 8}
			body, kind, ok := appendBody(nil, tt.codec, flags, data)
			if !ok || kind != tt.kind {
				t.Fatalf("%v: kind %v, %v", tt.codec, kind, ok)
			}
			m := rtmpchunk.Message{Type: kind.MessageType(), Payload: body}
			info := rtmpchunk.Classify(m)
			if info.Codec != tt.codec || info.Kind != tt.kind || info.Record != (flags == FlagConfig) {
				t.Errorf("%v with flags %d is taken for %+v", tt.codec, flags, info)
			}
			if key := flags == FlagKey; tt.kind == rtmpchunk.Video && flags != FlagConfig && info.Key != key {
				t.Errorf("%v: key frame %v, want %v", tt.codec, info.Key, key)
			}
			if got, ok := rtmpchunk.Body(m); !ok || !bytes.Equal(got, data) {
				t.Errorf("%v with flags %d: %x behind the header, %v", tt.codec, flags, got, ok)
			}
		}
	}
	if _, _, ok := appendBody(nil, rtmpchunk.CodecSpeex, 0, nil); ok {
		t.Error("a codec that is not sent has a body")
	}
}

// Texts and sizes come out as they went in, and what is neither is told from them.
func TestDataMessages(t *testing.T) {
	for _, text := range []string{"", "hello", "你好", string(bytes.Repeat([]byte("x"), maxDataMessage))} {
		if got, ok := parseText(textMessage(text)); !ok || got != text {
			t.Errorf("%.20q came back as %.20q, %v", text, got, ok)
		}
	}
	meta, err := rtmpchunk.ParseMetadata(metadata(640, 360, 30))
	if err != nil || meta.Width != 640 || meta.Height != 360 || meta.FPS != 30 {
		t.Errorf("metadata %+v, %v", meta, err)
	}
	if _, ok := parseText(metadata(1, 2, 3)); ok {
		t.Error("metadata is taken for a text")
	}
}
