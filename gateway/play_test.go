package gateway

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"duet/rtmpchunk"
)

// asks is what a client sends to publish or play: connect with app and tcUrl, createStream, and the command with name.
func asks(t testing.TB, verb, app, tcURL, name string) []byte {
	t.Helper()
	b := command(t, 0, "connect", 1, map[string]any{"app": app, "tcUrl": tcURL})
	b = append(b, command(t, 0, "createStream", 2, nil)...)
	var last any = "live"
	if verb == "play" {
		last = -2000 // live, or else recorded
	}
	return append(b, command(t, 1, verb, 0, nil, name, last)...)
}

// media are the audio, video and data messages among what a server has sent. They are read by the guard, which follows the
// specification and shares nothing with go-rtmp's writer.
func media(t *testing.T, sent string) (list []rtmpchunk.Message) {
	t.Helper()
	got, err := all(t, guarded([]byte(sent)))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got {
		if m.typ != rtmpchunk.TypeCommand {
			body := bytes.TrimPrefix(m.body, []byte(setDataFrame))
			list = append(list, rtmpchunk.Message{Type: m.typ, Timestamp: m.timestamp, Payload: body})
		}
	}
	return list
}

func sameMessages(t *testing.T, got, want []rtmpchunk.Message) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d messages, want %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if g, w := got[i], want[i]; g.Type != w.Type || g.Timestamp != w.Timestamp || !bytes.Equal(g.Payload, w.Payload) {
			t.Fatalf("message %d: type %d at %d, %d bytes; want type %d at %d, %d bytes", i, g.Type, g.Timestamp, len(g.Payload), w.Type, w.Timestamp, len(w.Payload))
		}
	}
}

// What a player gets is what the stream holds: bytes, also of codecs that RTMP once did not have, and timestamps, whichever way they go.
func TestPlayIsExact(t *testing.T) {
	audio := func(ts uint32, n int) rtmpchunk.Message {
		return rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: random(n)}
	}
	hvc1 := append([]byte{0x80 | 1<<4 | 1, 'h', 'v', 'c', '1', 0, 0, 0}, random(90_000)...)
	meta := append(append([]byte{amfString, 0, 10}, "onMetaData"...), amfNull)
	for name, messages := range map[string][]rtmpchunk.Message{
		"frames": {
			{Type: rtmpchunk.TypeData, Timestamp: 0, Payload: meta}, {Type: rtmpchunk.TypeVideo, Timestamp: 40, Payload: hvc1},
			audio(50, 300), audio(70, 300), audio(90, 300), audio(111, 300), {Type: rtmpchunk.TypeVideo, Timestamp: 80, Payload: random(5)},
		},
		"two alike at one time, at the beginning":   {audio(1000, 300), audio(1000, 300), audio(1000, 300), audio(1020, 300)},
		"two alike at one time, after going back":   {audio(5000, 300), audio(1000, 300), audio(1000, 300), audio(1000, 300), audio(2000, 300)},
		"two alike at one time, later":              {audio(1000, 300), audio(1020, 300), audio(1020, 300), audio(1020, 300)},
		"the same, beyond 24 bits":                  {audio(1<<25, 300), audio(1<<25, 300), audio(1<<25+20, 300), audio(1<<25+40, 300)},
		"across 24 bits":                            {audio(1<<24-21, 300), audio(1<<24-1, 300), audio(1<<24+19, 300), audio(1<<24+39, 300)},
		"across 32 bits":                            {audio(1<<32-21, 300), audio(1<<32-1, 300), audio(19, 300), audio(39, 300)},
		"leaps that need 32 bits, twice in a row":   {audio(0, 300), audio(1<<25, 300), audio(1<<26, 300), audio(1<<26+1, 300)},
		"a leap to the largest number of 24 bits":   {audio(0, 300), audio(1<<24-1, 300), audio(1<<25-2, 300), audio(1<<25-1, 300)},
		"the largest timestamp there is, first one": {audio(1<<32-1, 300), audio(3, 300)},
	} {
		t.Run(name, func(t *testing.T) {
			inServer(t, &hub{messages: messages, end: io.EOF}, func(t *testing.T, l *pipes) {
				c := l.dial(t)
				ended, answer := greet(t, c)
				_, _ = c.Write(asks(t, "play", "live", "", "a?t=good"))
				<-ended
				sent := answer.String()
				for _, code := range []string{"NetStream.Play.Reset", "NetStream.Play.Start", "NetStream.Play.Stop"} {
					if !strings.Contains(sent, code) {
						t.Errorf("no %s", code)
					}
				}
				sameMessages(t, media(t, sent), messages)
				_ = c.Close()
			})
		})
	}
}

// A player that takes nothing is cut off after its time, whatever is still to send.
func TestSlowPlayerIsCutOff(t *testing.T) {
	h := &hub{}
	for i := range 100 {
		h.messages = append(h.messages, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(40 * i), Payload: random(50_000)})
	}
	inServer(t, h, func(t *testing.T, l *pipes) {
		c := l.dial(t)
		_, _ = c.Write(append([]byte{3}, make([]byte, 1536)...))
		s := make([]byte, handshakeBytes)
		for n := 0; n < len(s); {
			k, err := c.Read(s[n:])
			if err != nil {
				t.Fatal(err)
			}
			n += k
		}
		_, _ = c.Write(s[1:1537])
		go func() { _, _ = c.Write(asks(t, "play", "live", "", "a?t=good")) }()
		readUntil(t, c, "NetStream.Play.Start")
		pass(writeTimeout + 5*time.Second)
		if _, err := c.Write([]byte{0}); err == nil {
			t.Error("a player that takes nothing is still connected")
		}
		_ = c.Close()
	})
}

// A publisher that has nothing more to say is gone after its time, and its stream ends.
func TestIdlePublisherIsCutOff(t *testing.T) {
	h := &hub{done: make(chan struct{}), closed: make(chan struct{})}
	inServer(t, h, func(t *testing.T, l *pipes) {
		h.done, h.closed = make(chan struct{}), make(chan struct{})
		c := l.dial(t)
		ended, answer := greet(t, c)
		_, _ = c.Write(asks(t, "publish", "live", "", "a?t=good"))
		pass(readTimeout - time.Second)
		if !isOpen(ended) || !strings.Contains(answer.String(), "NetStream.Publish.Start") {
			t.Error("a publisher has less time than it should")
		}
		pass(2 * time.Second)
		<-h.closed
		if isOpen(ended) {
			t.Error("a publisher that says nothing is still connected")
		}
		_ = c.Close()
	})
}

// A publisher is put out when a newer one has taken its stream.
func TestReplacedPublisherIsPutOut(t *testing.T) {
	h := &hub{}
	inServer(t, h, func(t *testing.T, l *pipes) {
		h.done, h.closed = make(chan struct{}), make(chan struct{})
		c := l.dial(t)
		ended, _ := greet(t, c)
		_, _ = c.Write(asks(t, "publish", "live", "", "a?t=good"))
		if !isOpen(ended) {
			t.Fatal("not publishing")
		}
		close(h.done)
		<-h.closed
		<-ended
		_ = c.Close()
	})
}

// Programs put the token where they can: into the stream's name, into the application, or into tcUrl only.
func TestWhereTheTokenIs(t *testing.T) {
	for name, c := range map[string]struct {
		app, tcURL, stream string
		ok                 bool
	}{
		"in the stream's name":             {"live", "rtmp://h/live", "a?t=good", true},
		"among others":                     {"live", "rtmp://h/live", "a?x=1&t=good&y=2", true},
		"in the application":               {"live?t=good", "rtmp://h/live?t=good", "a", true},
		"in tcUrl":                         {"live", "rtmp://h/live?t=good", "a", true},
		"the application has all":          {"live/a?t=good", "rtmp://h/live/a?t=good", "", true},
		"the application ends in a slash":  {"live/", "rtmp://h/live/", "a?t=good", true},
		"the stream's own token counts":    {"live?t=good", "rtmp://h/live?t=good", "a?t=bad", false},
		"nowhere":                          {"live", "rtmp://h/live", "a", false},
		"no stream":                        {"live", "rtmp://h/live?t=good", "", false},
		"a stream that cannot be":          {"live", "rtmp://h/live", "../a?t=good", false},
		"a URL that cannot be, beside it":  {"live", "rtmp://[::1", "a?t=good", true},
		"a token for nothing, in the name": {"live", "rtmp://h/live", "a?t=", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := &hub{}
			inServer(t, h, func(t *testing.T, l *pipes) {
				h.done = make(chan struct{})
				k := l.dial(t)
				ended, answer := greet(t, k)
				go func() { _, _ = k.Write(asks(t, "publish", c.app, c.tcURL, c.stream)) }()
				synctest.Wait()
				if started := strings.Contains(answer.String(), "NetStream.Publish.Start"); started != c.ok {
					t.Errorf("publishing: %v, want %v", started, c.ok)
				}
				if !c.ok {
					<-ended
					if sent := answer.String(); !strings.Contains(sent, "NetStream.Publish.Denied") || strings.Contains(sent, "t=bad") {
						t.Errorf("the refusal: %q", sent)
					}
				}
				_ = k.Close()
			})
		})
	}
}

// readUntil reads from c until text came.
func readUntil(t *testing.T, c net.Conn, text string) {
	t.Helper()
	var seen []byte
	for p := make([]byte, 1); !bytes.Contains(seen, []byte(text)); seen = append(seen, p[0]) {
		if _, err := c.Read(p); err != nil {
			t.Fatal(err)
		}
	}
}
