package gateway

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/yutopp/go-amf0"

	"duet/rtmpchunk"
)

// inServer runs f beside a server, in virtual time; all goroutines must end with it.
func inServer(t *testing.T, h *hub, f func(*testing.T, *pipes)) {
	t.Helper()
	inServerWith(t, h.config(), f)
}

func inServerWith(t *testing.T, cfg Config, f func(*testing.T, *pipes)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan error, 1)
		go func() { served <- NewRTMP(cfg).Serve(ctx, l) }()
		defer func() { // after t.Fatal too
			cancel()
			if err := <-served; err != nil {
				t.Error(err)
			}
		}()
		f(t, l)
	})
}

// greet does a client's handshake and then reads all that comes until the connection ends, which closes the channel.
func greet(t *testing.T, c net.Conn) (ended chan struct{}, answer *lockedBuffer) {
	t.Helper()
	ended, answer = make(chan struct{}), &lockedBuffer{}
	if _, err := c.Write(append([]byte{3}, make([]byte, 1536)...)); err != nil {
		t.Fatal(err)
	}
	s := make([]byte, handshakeBytes)
	if _, err := io.ReadFull(c, s); err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = io.Copy(answer, c)
		close(ended)
	}()
	if _, err := c.Write(s[1:1537]); err != nil {
		t.Fatal(err)
	}
	return ended, answer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}
func (l *lockedBuffer) String() string { l.mu.Lock(); defer l.mu.Unlock(); return l.b.String() }

// command writes a command as one chunk stream's message, in chunks of 128 bytes.
func command(t testing.TB, stream uint32, values ...any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := amf0.NewEncoder(&b)
	for _, v := range values {
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
	}
	c := chunker{size: defaultChunk}
	c.full(3, rtmpchunk.TypeCommand, 0, stream, b.Bytes())
	return c.b
}

func isOpen(ended chan struct{}) bool {
	synctest.Wait()
	select {
	case <-ended:
		return false
	default:
		return true
	}
}

// A client that says nothing is gone after the handshake's time.
func TestSilentClientIsCutOff(t *testing.T) {
	inServer(t, &hub{}, func(t *testing.T, l *pipes) {
		c := l.dial(t)
		ended := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, c); close(ended) }()
		pass(handshakeTimeout + time.Second)
		if isOpen(ended) {
			t.Error("a client that sent nothing is still connected")
		}
		_ = c.Close()
	})
}

// A client has the handshake's time to say what it wants, however busy it is meanwhile.
func TestDawdlingClientIsCutOff(t *testing.T) {
	inServer(t, &hub{}, func(t *testing.T, l *pipes) {
		c := l.dial(t)
		ended, _ := greet(t, c)
		ping := chunker{size: defaultChunk}
		ping.full(2, 4, 0, 0, []byte{0, 7, 0, 0, 0, 0})
		for range 10 {
			pass(3 * time.Second)
			if _, err := c.Write(ping.b); err != nil {
				break
			}
		}
		if isOpen(ended) {
			t.Error("30 s after it connected a client that neither publishes nor plays is still there")
		}
		_ = c.Close()
	})
}

// What a client may make us keep is small until it has shown a token, and never grows with the chunk streams it uses.
func TestGuardKeepsLittle(t *testing.T) {
	const size = 4 << 20
	one := append24([]byte{0, 0, 0, 0}, size)
	var all [][]byte
	c := chunker{size: defaultChunk}
	c.full(2, typeSetChunkSize, 0, 0, []byte{0, 0xff, 0xff, 0xff})
	all = append(all, handshakeOf(c.b))
	body := make([]byte, size)
	for i := range 20 {
		h := append([]byte{byte(3 + i)}, one[1:]...)
		all = append(all, append(h, 5, 0, 0, 0, 0), body) // of a type that is dropped
	}
	var readers []io.Reader
	for _, b := range all {
		readers = append(readers, bytes.NewReader(b))
	}
	g := newGuard(&feed{r: io.MultiReader(readers...)}, func() {})
	_, _ = io.Copy(io.Discard, g)
	kept := 0
	for _, s := range g.streams {
		kept += cap(s.body)
	}
	if kept > 2*size {
		t.Errorf("%d MiB are kept after 20 messages of a client without a token", kept>>20)
	}
}

// ffmpeg continues a message with a full header by one without any if its delta is that message's timestamp (RTMP 1.0, 5.3.1.2.4).
func TestTimestampAfterFullHeader(t *testing.T) {
	c := chunker{size: defaultChunk}
	c.full(4, rtmpchunk.TypeAudio, 128, 1, random(100))
	c.b = append(append(c.b, 0xc0|4), random(100)...)
	got, err := all(t, guarded(c.b))
	if err != nil || len(got) != 2 {
		t.Fatal(len(got), err)
	}
	if got[1].timestamp != 256 {
		t.Errorf("timestamp %d, want 256", got[1].timestamp)
	}
}

// Encoders list the codecs they can send in an array (enhanced RTMP, fourCcList).
func TestConnectWithArray(t *testing.T) {
	inServer(t, &hub{done: make(chan struct{})}, func(t *testing.T, l *pipes) {
		c := l.dial(t)
		ended, answer := greet(t, c)
		_, _ = c.Write(command(t, 0, "connect", 1, map[string]any{"app": "live", "fourCcList": []any{"hvc1", "av01"}}))
		if !isOpen(ended) || !strings.Contains(answer.String(), "NetConnection.Connect.Success") {
			t.Error("not connected")
		}
		_ = c.Close()
	})
}

type temporary struct{ error }

func (temporary) Temporary() bool { return true }
func (temporary) Timeout() bool   { return false }

// A listener that has an error once, such as one for lack of file descriptors, goes on.
func TestListenerErrorPasses(t *testing.T) {
	inServer(t, &hub{}, func(t *testing.T, l *pipes) {
		l.errs <- temporary{errors.New("too many open files")}
		pass(10 * time.Second)
		select {
		case l.conns <- (func() net.Conn { ours, theirs := net.Pipe(); _ = ours.Close(); return theirs })():
		case <-time.After(time.Minute):
			t.Error("after one error no connection is taken any more")
		}
	})
}

// A publisher that is refused hears why.
func TestRefusalIsHeard(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- NewRTMP((&hub{}).config()).Serve(ctx, l) }()
	defer func() { cancel(); <-served }()
	heard := 0
	for range 20 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ended, answer := greet(t, c)
		b := command(t, 0, "connect", 1, map[string]any{"app": "live"})
		b = append(b, command(t, 0, "createStream", 2, nil)...)
		b = append(b, command(t, 1, "publish", 0, nil, "a?t=bad", "live")...)
		m := chunker{size: defaultChunk}
		m.full(6, rtmpchunk.TypeVideo, 0, 1, random(60000)) // it does not wait for the answer
		_, _ = c.Write(append(b, m.b...))
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("still open")
		}
		if strings.Contains(answer.String(), "NetStream.Publish") {
			heard++
		}
		_ = c.Close()
	}
	if heard != 20 {
		t.Errorf("%d of 20 heard it", heard)
	}
}

// A player that goes in the middle of a write leaves nothing behind, however much there is still to send.
func TestPlayerThatGoes(t *testing.T) {
	h := &hub{}
	for i := range 400 { // one video frame, then audio only: go-rtmp tells of a failed write on its own chunk stream alone
		typ := uint8(rtmpchunk.TypeAudio)
		if i == 0 {
			typ = rtmpchunk.TypeVideo
		}
		h.messages = append(h.messages, rtmpchunk.Message{Type: typ, Timestamp: uint32(20 * i), Payload: random(300)})
	}
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- NewRTMP(h.config()).Serve(ctx, l) }()
	for range 5 {
		c := l.dial(t)
		_, _ = c.Write(append([]byte{3}, make([]byte, 1536)...))
		s := make([]byte, handshakeBytes)
		_, _ = io.ReadFull(c, s)
		_, _ = c.Write(s[1:1537])
		b := command(t, 0, "connect", 1, map[string]any{"app": "live"})
		b = append(b, command(t, 0, "createStream", 2, nil)...)
		b = append(b, command(t, 1, "play", 0, nil, "a?t=good", -2000)...)
		go func() { _, _ = c.Write(b) }()
		var seen []byte
		for p := make([]byte, 1); !bytes.Contains(seen, []byte("NetStream.Play.Start")); seen = append(seen, p[0]) {
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
		}
		_ = c.Close()
	}
	cancel()
	select {
	case <-served:
	case <-time.After(10 * time.Second): // go-rtmp itself waits 3 s for its writers
		t.Fatal("Serve does not return")
	}
}

// A data message just below the limit is no message too large for what comes after the guard.
func TestLargeDataMessage(t *testing.T) {
	body := append([]byte{amfString, 0, 1, 'x', amfString}, make([]byte, rtmpchunk.MaxMessage-5)...)
	c := chunker{size: defaultChunk}
	c.full(2, typeSetChunkSize, 0, 0, binary.BigEndian.AppendUint32(nil, maxChunk))
	c.size = maxChunk
	c.full(6, rtmpchunk.TypeData, 0, 1, body)
	got, err := all(t, guarded(c.b))
	if err != nil {
		return // refused: as good
	}
	for _, m := range got {
		if len(m.body) > guardChunk {
			t.Errorf("go-rtmp gets a message of %d bytes, in chunks of %d", len(m.body), guardChunk)
		}
	}
}
