package client_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"duet/bench"
	"duet/bench/netem"
	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
)

// encoder makes two renditions of a source: 25 frames a second of 1000 and of 2600 bytes, a key frame every 12.
type encoder struct{ n int }

const encoderGOP = 12

func (e *encoder) write(r *client.Renditions) error {
	n := e.n
	e.n++
	for i, size := range []int{1000, 2600} {
		var list []rtmpchunk.Message
		if n == 0 {
			list = append(list, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1f, byte(i)}},
				rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 0, 0x12, 0x10}})
		}
		b := noise(n, size)
		copy(b, []byte{0x27, 1, 0, 0, 0, byte(i), byte(n >> 8), byte(n)})
		if n%encoderGOP == 0 {
			b[0] = 0x17
		}
		list = append(list, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(n * 40), Payload: b},
			rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32(n * 40), Payload: append([]byte{0xaf, 1}, b[:100]...)})
		for _, m := range list {
			if err := r.Write(i, m); err != nil {
				return err
			}
		}
	}
	return nil
}

// A link that narrows and widens again: the rendition follows, and what the player gets can be decoded all the way.
func TestRenditions(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	open := netem.Config{Delay: 10 * time.Millisecond}
	narrow := open
	narrow.Rate, narrow.Queue = 330_000, 200*time.Millisecond
	proxy, err := bench.StartProxy(t.Context(), bench.ProxyConfig{Target: h.host, Up: open, Down: open})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Close)
	pushed := newEvents()
	url := h.url(crypto.ActionPush, "live/a", "alice")
	url.Host = proxy.Addr().String()
	push, err := client.DialPusher(t.Context(), client.PusherConfig{URL: url, OnEvent: pushed.add, Budget: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	r, err := client.NewRenditions(push, []int64{200_000, 520_000})
	if err != nil {
		t.Fatal(err)
	}
	r.SetHold(300 * time.Millisecond)
	play := h.play("live/a", newEvents())
	type result struct {
		frames []client.Frame
		err    error
	}
	read := make(chan result, 1)
	go func() {
		frames, err := readAll(context.Background(), play)
		read <- result{frames, err}
	}()
	stop, paced := make(chan struct{}), make(chan error, 1)
	go func() {
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for e := new(encoder); ; {
			select {
			case <-stop:
				paced <- nil
				return
			case <-tick.C:
				if err := e.write(r); err != nil {
					paced <- err
					return
				}
			}
		}
	}()
	pushed.wait(t, client.CodeBitrateAdapted, 1)
	if r.Rendition() != 1 {
		t.Errorf("with room for both it is rendition %d that goes out%s", r.Rendition(), pushed)
	}
	proxy.SetUp(narrow)
	pushed.wait(t, client.CodeBitrateAdapted, 2)
	if r.Rendition() != 0 {
		t.Errorf("with too little room it is rendition %d that goes out%s", r.Rendition(), pushed)
	}
	proxy.SetUp(open)
	pushed.wait(t, client.CodeBitrateAdapted, 3)
	if r.Rendition() != 1 {
		t.Errorf("with room again it is rendition %d that goes out%s", r.Rendition(), pushed)
	}
	info := pushed.find(t, "netstatus", 1, isNetStatus).Info
	if info.TargetBitrate < 100 || info.PushBitrate < 100 {
		t.Errorf("netstatus %+v", info)
	}
	close(stop)
	if err := <-paced; err != nil {
		t.Fatal(err)
	}
	if err := push.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	got := <-read
	if got.err != io.EOF {
		t.Fatal(got.err)
	}
	if n := push.Stats().Switches; n < 3 {
		t.Errorf("%d switches", n)
	}
	decode(t, got.frames)
}

// decode is a decoder: each frame of video needs the one before, or is a key frame after its rendition's configuration.
func decode(t *testing.T, frames []client.Frame) {
	t.Helper()
	config, present, next, whole, broken := -1, -1, -1, 0, 0
	var switches []int
	latest, lost := int64(-1), false
	for _, f := range frames {
		if f.Message.Type != rtmpchunk.TypeVideo {
			continue
		}
		b := f.Message.Payload
		if !f.Media {
			config = int(b[9])
			continue
		}
		if int64(f.Message.Timestamp) <= latest {
			t.Fatalf("video at %d ms after %d ms", f.Message.Timestamp, latest)
		}
		latest = int64(f.Message.Timestamp)
		i, n := int(b[5]), int(b[6])<<8|int(b[7])
		switch {
		case i != config:
			t.Fatalf("frame %d of rendition %d with the configuration of %d", n, i, config)
		case f.Key:
			if present, next, lost = i, n, false; len(switches) == 0 || switches[len(switches)-1] != i {
				switches = append(switches, i)
			}
		case f.Gap:
			lost = true
		case i != present && !lost:
			t.Fatalf("frame %d is of rendition %d, in a GOP of %d", n, i, present)
		}
		if n != next {
			broken++ // a frame before was given up on a machine too busy, or the key frame was
			continue
		}
		next++
		whole++
	}
	if len(switches) < 4 || switches[0] != 0 || whole < 60 || broken*10 > whole {
		t.Errorf("renditions %v, %d frames decoded, %d not", switches, whole, broken)
	}
}

func TestRenditionsMisused(t *testing.T) {
	h := newRelay(t)
	push := h.push("live/a", "alice", newEvents())
	for _, n := range []int{0, 100} {
		if _, err := client.NewRenditions(push, make([]int64, n)); !errors.Is(err, client.ErrRenditions) {
			t.Errorf("%d renditions: %v", n, err)
		}
	}
	r, err := client.NewRenditions(push, make([]int64, 2))
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []int{-1, 2} {
		if err := r.Write(i, rtmpchunk.Message{}); !errors.Is(err, client.ErrRenditions) {
			t.Errorf("rendition %d: %v", i, err)
		}
	}
	if err := push.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
	if err := r.Write(0, rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0x2f, 1}}); !errors.Is(err, client.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

// A new session begins with what the last one had found out.
func TestStartKept(t *testing.T) {
	t.Parallel()
	h := newRelay(t)
	pushed := newEvents()
	push, err := client.DialPusher(t.Context(), client.PusherConfig{URL: h.url(crypto.ActionPush, "live/a", "alice"), OnEvent: pushed.add, StartBitrate: 150_000, MaxBitrate: 600_000})
	if err != nil {
		t.Fatal(err)
	}
	if up, start := push.Uplink(), push.NextStart(); up.Known || start != 150_000 {
		t.Errorf("before anything is known: %+v, start %d", up, start)
	}
	var k talk
	stop, paced := make(chan struct{}), make(chan error, 1)
	go func() { paced <- k.pace(push, stop) }()
	pushed.find(t, "netstatus", 3, isNetStatus)
	if up, start := push.Uplink(), push.NextStart(); !up.Known || up.Bitrate != 600_000 || start != 600_000 {
		t.Errorf("after three seconds: %+v, start %d", up, start)
	}
	close(stop)
	if err := <-paced; err != nil {
		t.Fatal(err)
	}
	if err := push.Close(within(t, 5*time.Second)); err != nil {
		t.Fatal(err)
	}
}
