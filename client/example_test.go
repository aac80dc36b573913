package client_test

import (
	"context"
	"fmt"
	"log"
	"testing"

	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
)

func ExamplePusher() {
	pushURL, playURL := demoRelay()
	defer watch(playURL)()

	ctx := context.Background()
	push, err := client.DialPusher(ctx, client.PusherConfig{URL: pushURL, OnEvent: func(e client.Event) {
		if e.Kind == client.KindState {
			fmt.Println(e.Code, client.CodeText(e.Code))
		}
	}})
	if err != nil {
		log.Fatal(err) // a *client.CodeError
	}
	frame := rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0x2f, 0xff, 0xfb}}
	if err := push.Write(frame); err != nil {
		log.Fatal(err)
	}
	if err := push.Close(ctx); err != nil { // everything has arrived
		log.Fatal(err)
	}
	// Output:
	// 1001 connected
	// 1002 push begins
}

func ExamplePlayer() {
	pushURL, playURL := demoRelay()

	ctx := context.Background()
	waiting := make(chan struct{}, 1)
	play, err := client.DialPlayer(ctx, client.PlayerConfig{URL: playURL, OnEvent: func(e client.Event) {
		if e.Code == client.CodeLoading { // the relay knows of the player, and has no pusher yet
			select {
			case waiting <- struct{}{}:
			default:
			}
		}
	}})
	if err != nil {
		log.Fatal(err) // a *client.CodeError
	}
	defer play.Close()
	<-waiting
	speak(pushURL)
	for {
		frame, err := play.Read(ctx)
		if err != nil {
			fmt.Println(err) // io.EOF at the stream's end
			return
		}
		fmt.Println(frame.Kind, frame.Message.Timestamp, len(frame.Message.Payload))
	}
	// Output:
	// audio 0 3
	// audio 26 3
	// EOF
}

// demoRelay starts a relay for the examples and returns its URLs.
func demoRelay() (push, play crypto.URL) {
	h := newRelay(exampleTB{})
	return h.url(crypto.ActionPush, "live/demo", "alice"), h.url(crypto.ActionPlay, "live/demo", "")
}

// speak pushes two frames of audio.
func speak(u crypto.URL) {
	push, err := client.DialPusher(context.Background(), client.PusherConfig{URL: u})
	if err != nil {
		log.Fatal(err)
	}
	for _, ts := range []uint32{0, 26} {
		if err := push.Write(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: ts, Payload: []byte{0x2f, 0xff, 0xfb}}); err != nil {
			log.Fatal(err)
		}
	}
	if err := push.Close(context.Background()); err != nil {
		log.Fatal(err)
	}
}

// watch plays beside; the function that it returns ends that.
func watch(u crypto.URL) func() {
	play, err := client.DialPlayer(context.Background(), client.PlayerConfig{URL: u})
	if err != nil {
		log.Fatal(err)
	}
	return func() { _ = play.Close() }
}

// exampleTB lets the examples use the tests' relay, which then runs until the process ends.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()        {}
func (exampleTB) Cleanup(func()) {}
func (exampleTB) Fatal(v ...any) { log.Fatal(v...) }
