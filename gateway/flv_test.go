package gateway

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"duet/rtmpchunk"
)

// The header announces what there is: players wait for what it names.
func TestFLVHeaderFlags(t *testing.T) {
	meta := func(keys ...string) rtmpchunk.Message {
		b := append([]byte{amfString, 0, 10}, "onMetaData"...)
		b = append(b, amfECMAArray, 0, 0, 0, byte(len(keys)))
		for _, k := range keys {
			b = append(append(append(b, 0, byte(len(k))), k...), amfNumber, 0, 0, 0, 0, 0, 0, 0, 0)
		}
		return rtmpchunk.Message{Type: rtmpchunk.TypeData, Payload: append(b, 0, 0, amfObjectEnd)}
	}
	config := rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1, 2, 3}}
	frame := rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: []byte{0x17, 1, 0, 0, 0, 1, 2, 3}}
	for name, c := range map[string]struct {
		messages []rtmpchunk.Message
		flags    byte
	}{
		"nothing":             {nil, 5},
		"video":               {[]rtmpchunk.Message{meta("videocodecid"), config, frame}, 1},
		"audio and video":     {[]rtmpchunk.Message{meta("videocodecid", "audiocodecid"), config, frame}, 5},
		"nothing is known":    {[]rtmpchunk.Message{config, frame}, 5},
		"ends before a frame": {[]rtmpchunk.Message{meta("videocodecid"), config}, 1},
	} {
		w := httptest.NewRecorder()
		NewFLV((&hub{messages: c.messages, end: io.EOF}).config()).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/live/a.flv?t=good", nil))
		b := w.Body.Bytes()
		if len(b) < 13 || b[4] != c.flags {
			t.Errorf("%s: % x, want flags %d", name, b[:min(len(b), 13)], c.flags)
			continue
		}
		n := 0
		for r := rtmpchunk.NewReader(w.Body); ; n++ {
			if _, err := r.Read(); err != nil {
				break
			}
		}
		if n != len(c.messages) {
			t.Errorf("%s: %d messages, want %d", name, n, len(c.messages))
		}
	}
}
