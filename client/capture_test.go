package client_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"testing"
	"time"

	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

// Nobody who listens on the relay's socket sees any of a call's media: of a real clip's payloads no 16 bytes in a row are in any
// datagram, and nothing of a datagram of one session is in one of another, though both carry the same stream.
func TestCaptureShowsNothing(t *testing.T) {
	file, err := os.ReadFile("../cmd/duet/clip.flv")
	if err != nil {
		t.Fatal(err)
	}
	type run [16]byte
	clip := make(map[run]bool)
	var messages []rtmpchunk.Message
	for r := rtmpchunk.NewReader(bytes.NewReader(file)); ; {
		m, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, m)
		for i := 0; i+16 <= len(m.Payload); i++ {
			if w := run(m.Payload[i : i+16]); bytes.Count(w[:], w[:1]) < 8 { // zeros in a row are in a handshake's header too
				clip[w] = true
			}
		}
	}

	h := newRelay(t)
	h.halt()
	var mu sync.Mutex
	var captured [][]byte
	h.cfg.Tap = func(_ bool, b []byte) {
		mu.Lock()
		defer mu.Unlock()
		captured = append(captured, bytes.Clone(b))
	}
	h.start()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	played := newEvents()
	play, err := client.DialPlayer(ctx, client.PlayerConfig{URL: h.url(crypto.ActionPlay, "live/a", ""), OnEvent: played.add})
	if err != nil {
		t.Fatal(err)
	}
	played.wait(t, client.CodeLoading, 1) // the relay has it: the stream may be over before long
	push, err := client.DialPusher(ctx, client.PusherConfig{URL: h.url(crypto.ActionPush, "live/a", "alice")})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range messages {
		if err := push.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := push.Close(ctx); err != nil {
		t.Fatal(err)
	}
	frames := 0
	for {
		if _, err := play.Read(ctx); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		frames++
	}
	if frames != len(messages) {
		t.Errorf("played %d messages of %d", frames, len(messages))
	}
	h.halt()

	seen := make(map[run]uint64) // sealed bytes, by the session that they went in
	for _, b := range captured {
		for i := 0; i+16 <= len(b); i++ {
			if clip[run(b[i:i+16])] {
				t.Fatalf("16 bytes of the clip are in a datagram of %d bytes, at %d", len(b), i)
			}
		}
		if wire.KindOf(b) != wire.KindData {
			continue
		}
		d, err := wire.ParseDataHeader(b)
		if err != nil {
			t.Fatal(err)
		}
		for sealed := b[wire.DataHeaderSize:]; len(sealed) >= 16; sealed = sealed[16:] {
			w := run(sealed)
			if other, ok := seen[w]; ok && other != d.Session {
				t.Fatal("two sessions have 16 sealed bytes in common: they share a key")
			}
			seen[w] = d.Session
		}
	}
	if len(captured) < 300 || len(clip) < 50_000 {
		t.Errorf("only %d datagrams and %d runs of bytes were looked at", len(captured), len(clip))
	}
}
