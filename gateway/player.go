package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"

	"github.com/yutopp/go-rtmp/message"

	"duet/rtmpchunk"
)

// idle is called when go-rtmp is done with a message. After a play it has said Play.Start, and from then on only the player writes:
// go-rtmp's encoder is not made for two goroutines.
func (k *client) idle() {
	if k.sub == nil || k.guard.playing.Swap(true) {
		return
	}
	k.guard.admit(playerReadTimeout, maxCommand)
	k.players.Go(func() {
		err := k.play()
		if !errors.Is(err, context.Canceled) {
			k.log.Info("RTMP player gone", "stream", k.stream, "ended", errors.Is(err, io.EOF))
		}
		if errors.Is(err, io.EOF) {
			k.guard.end() // go-rtmp writes what it has, and closes
			return
		}
		_ = k.guard.Close()
	})
}

// play sends the subscription's messages.
func (k *client) play() error {
	for {
		m, err := k.sub.Read(k.ctx)
		if errors.Is(err, io.EOF) {
			k.finish()
			return err
		}
		if err != nil {
			return err
		}
		body := bytes.NewReader(m.Payload)
		switch m.Type {
		case rtmpchunk.TypeAudio:
			err = k.sendMedia(audioChunkStream, m, &message.AudioMessage{Payload: body})
		case rtmpchunk.TypeVideo:
			err = k.sendMedia(videoChunkStream, m, &message.VideoMessage{Payload: body})
		case rtmpchunk.TypeData:
			err = k.sendData(m)
		}
		if err != nil {
			return err
		}
	}
}

// Codes that go-rtmp has no name for. Players take Play.Stop for the end.
const (
	codePublishDenied message.NetStreamOnStatusCode = "NetStream.Publish.Denied"
	codePlayReset     message.NetStreamOnStatusCode = "NetStream.Play.Reset"
	codeUnpublished   message.NetStreamOnStatusCode = "NetStream.Play.UnpublishNotify"
	codePlayStop      message.NetStreamOnStatusCode = "NetStream.Play.Stop"
)

// finish tells the client that the stream has ended. The second status waits for the first, and so for all that was sent before, which a
// slow player gets its time for. Errors do not matter, the connection is about to be closed.
func (k *client) finish() {
	_ = k.send(controlChunkStream, 0, 0, &message.UserCtrl{Event: &message.UserCtrlEventStreamEOF{StreamID: k.subID}})
	_ = k.status(k.subID, message.NetStreamOnStatusLevelStatus, codeUnpublished, "the stream is not published any more")
	_ = k.status(k.subID, message.NetStreamOnStatusLevelStatus, codePlayStop, "the stream has ended")
}

// sendData sends a data message; go-rtmp wants its name apart.
func (k *client) sendData(m rtmpchunk.Message) error {
	b := m.Payload
	if len(b) < 3 || b[0] != amfString {
		return nil
	}
	n := 3 + (int(b[1])<<8 | int(b[2]))
	if len(b) < n {
		return nil
	}
	return k.sendMedia(dataChunkStream, m, &message.DataMessage{
		Name: string(b[3:n]), Encoding: message.EncodingTypeAMF0, Body: bytes.NewReader(b[n:]),
	})
}

// lastSent is what go-rtmp's writer remembers of the last message on a chunk stream.
type lastSent struct {
	timestamp, delta uint32
	length           int
	full             bool // its header was full
}

// sendMedia sends m, made into a message of go-rtmp's. Of a message that is as long as the one before, and as long after it, go-rtmp
// leaves the header out. After a full header that means something else: the timestamp counts on by itself (RTMP 1.0, 5.3.1.2.4); and
// a delta that does not fit in 24 bits is missing then. So where it would go wrong an acknowledgement, which means nothing to a
// player, goes in between: the types differ, and so m gets a header.
func (k *client) sendMedia(chunkStream int, m rtmpchunk.Message, out message.Message) error {
	last, known := k.last[chunkStream]
	next := lastSent{timestamp: m.Timestamp, length: len(m.Payload), full: !known || m.Timestamp < last.timestamp}
	if !next.full {
		next.delta = m.Timestamp - last.timestamp
	}
	bare := !next.full && next.length == last.length && next.delta == last.delta
	if bare && (last.full || next.delta >= maxTimestamp24) {
		if err := k.send(chunkStream, last.timestamp, k.subID, &message.Ack{}); err != nil {
			return err
		}
	}
	k.last[chunkStream] = next
	return k.send(chunkStream, m.Timestamp, k.subID, out)
}
