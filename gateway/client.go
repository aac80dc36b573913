package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/yutopp/go-rtmp"
	"github.com/yutopp/go-rtmp/message"

	"duet/crypto"
	"duet/rtmpchunk"
)

// Chunk streams of what we send.
const (
	controlChunkStream = 2
	statusChunkStream  = 5
	audioChunkStream   = 4
	videoChunkStream   = 6
	dataChunkStream    = 7
)

// client is one RTMP connection: go-rtmp's handler, and the connection that go-rtmp reads and writes. go-rtmp calls its On… methods
// from one goroutine, the one that reads.
type client struct {
	rtmp.DefaultHandler
	guard  *guard
	server *rtmpServer
	log    *slog.Logger
	ctx    context.Context
	cancel context.CancelFunc
	conn   *rtmp.Conn
	once   sync.Once

	app, appToken string // of the connect command
	pub           Publication
	leftOut       bool // of pub's messages, one was too large
	stream        string
	sub           Subscription     // taken up by idle
	subID         uint32           // message stream that plays
	last          map[int]lastSent // on each chunk stream of media
	players       sync.WaitGroup
}

// As the connection.

func (k *client) Read(p []byte) (int, error) { return k.guard.Read(p) }

// Write never fails: go-rtmp's writer would stop without telling anybody, and who waits for it would wait on. What ends the connection
// then is that it is closed, which go-rtmp's reader meets, and that ctx is over.
func (k *client) Write(p []byte) (int, error) {
	if _, err := k.guard.Write(p); err != nil {
		k.cancel()
		_ = k.guard.Close()
	}
	return len(p), nil
}

// Close ends the connection and waits for its player.
func (k *client) Close() error {
	err := k.guard.Close()
	k.cancel()
	k.players.Wait()
	k.once.Do(func() {
		if k.pub != nil {
			_ = k.pub.Close() // the stream ends; there is nobody to tell
			k.log.Info("RTMP publisher gone", "stream", k.stream)
		}
		if k.sub != nil {
			_ = k.sub.Close()
		}
		k.server.forget(k)
	})
	return err
}

// As the handler.

// OnServe comes after the handshake: from here on our messages are not cut into chunks.
func (k *client) OnServe(conn *rtmp.Conn) {
	k.conn = conn
	if err := k.send(controlChunkStream, 0, 0, &message.SetChunkSize{ChunkSize: guardChunk}); err != nil {
		k.cancel()
	}
}

// OnConnect notes the application, with a token if it is there.
func (k *client) OnConnect(_ uint32, cmd *message.NetConnectionConnect) error {
	k.app, k.appToken = splitQuery(cmd.Command.App)
	k.app = strings.Trim(k.app, "/")
	if u, err := url.Parse(cmd.Command.TCURL); k.appToken == "" && err == nil {
		k.appToken = u.Query().Get("t")
	}
	return nil
}

// target is the stream and token that a publish or play names: STREAM?t=TOKEN under the application, or both in the application.
func (k *client) target(name string) (stream, token string) {
	name, token = splitQuery(name)
	if token == "" {
		token = k.appToken
	}
	stream = strings.Trim(k.app+"/"+strings.Trim(name, "/"), "/")
	return stream, token
}

// admit checks what a client wants to do.
func (k *client) admit(name string, want crypto.Action) (tok crypto.Token, err error) {
	stream, token := k.target(name)
	if err := crypto.ValidStream(stream); err != nil {
		return tok, err
	}
	if token == "" {
		return tok, errors.New("the stream key needs a token: NAME?t=TOKEN")
	}
	tok, err = k.server.cfg.Verify(token, want, stream)
	if err != nil {
		return tok, errors.New(refusal(err))
	}
	return tok, nil
}

// errBusyClient refuses a second publish or play on a connection.
var errBusyClient = errors.New("this connection publishes or plays already")

// OnPublish opens a publication.
func (k *client) OnPublish(ctx *rtmp.StreamContext, _ uint32, cmd *message.NetStreamPublish) error {
	if k.pub != nil || k.sub != nil {
		return k.refuse(ctx.StreamID, message.NetStreamOnStatusCodePublishBadName, errBusyClient)
	}
	tok, err := k.admit(cmd.PublishingName, crypto.ActionRTMPPush)
	if err != nil {
		return k.refuse(ctx.StreamID, codePublishDenied, err)
	}
	pub, err := k.server.cfg.Publish(k.ctx, tok)
	if errors.Is(err, ErrRevoked) {
		return k.refuse(ctx.StreamID, codePublishDenied, ErrRevoked)
	}
	if err != nil {
		return k.refuse(ctx.StreamID, message.NetStreamOnStatusCodePublishBadName, err)
	}
	k.pub, k.stream = pub, tok.Stream
	k.guard.admit(readTimeout, rtmpchunk.MaxMessage)
	k.log.Info("RTMP publisher", "stream", k.stream)
	k.players.Go(func() {
		select {
		case <-pub.Done(): // replaced, revoked, or the relay is going down
			_ = k.guard.Close()
		case <-k.ctx.Done():
		}
	})
	return nil
}

// OnPlay joins the audience; idle starts to send.
func (k *client) OnPlay(ctx *rtmp.StreamContext, _ uint32, cmd *message.NetStreamPlay) error {
	if k.pub != nil || k.sub != nil {
		return k.refuse(ctx.StreamID, message.NetStreamOnStatusCodePlayFailed, errBusyClient)
	}
	tok, err := k.admit(cmd.StreamName, crypto.ActionRTMPPlay)
	if err != nil {
		return k.refuse(ctx.StreamID, message.NetStreamOnStatusCodePlayFailed, err)
	}
	sub, err := k.server.cfg.Subscribe(k.ctx, tok)
	if err != nil {
		return k.refuse(ctx.StreamID, message.NetStreamOnStatusCodePlayFailed, err)
	}
	k.sub, k.subID, k.stream = sub, ctx.StreamID, tok.Stream
	k.log.Info("RTMP player", "stream", k.stream)
	if err := k.send(controlChunkStream, 0, 0, &message.UserCtrl{Event: &message.UserCtrlEventStreamBegin{StreamID: ctx.StreamID}}); err != nil {
		return err
	}
	return k.status(ctx.StreamID, message.NetStreamOnStatusLevelStatus, codePlayReset, "the stream begins") // go-rtmp says Play.Start
}

// OnAudio, OnVideo and OnSetDataFrame take a publisher's messages.
func (k *client) OnAudio(timestamp uint32, payload io.Reader) error {
	return k.take(rtmpchunk.TypeAudio, timestamp, payload)
}

// OnVideo implements rtmp.Handler.
func (k *client) OnVideo(timestamp uint32, payload io.Reader) error {
	return k.take(rtmpchunk.TypeVideo, timestamp, payload)
}

// OnSetDataFrame implements rtmp.Handler. The guard gives every data message this name.
func (k *client) OnSetDataFrame(timestamp uint32, data *message.NetStreamSetDataFrame) error {
	return k.take(rtmpchunk.TypeData, timestamp, bytes.NewReader(data.Payload))
}

func (k *client) take(typ uint8, timestamp uint32, payload io.Reader) error {
	if k.pub == nil {
		return nil
	}
	body, err := io.ReadAll(payload)
	if err != nil {
		return err
	}
	err = k.pub.Write(rtmpchunk.Message{Type: typ, Timestamp: timestamp, Payload: body})
	if errors.Is(err, rtmpchunk.ErrRecordTooLarge) || errors.Is(err, rtmpchunk.ErrTooLarge) {
		if !k.leftOut {
			k.leftOut = true // one line a connection, however many there are
			k.log.Warn("an RTMP message was left out", "stream", k.stream, "error", err)
		}
		return nil
	}
	return err
}

// OnDeleteStream and OnFCUnpublish end what the client publishes.
func (k *client) OnDeleteStream(uint32, *message.NetStreamDeleteStream) error { return k.unpublish() }

// OnFCUnpublish implements rtmp.Handler.
func (k *client) OnFCUnpublish(uint32, *message.NetStreamFCUnpublish) error { return k.unpublish() }

func (k *client) unpublish() error {
	if k.pub == nil {
		return nil
	}
	return io.EOF // go-rtmp closes the connection
}

// send writes one message.
func (k *client) send(chunkStream int, timestamp, stream uint32, m message.Message) error {
	if err := k.ctx.Err(); err != nil {
		return err // there is nobody to write to
	}
	ctx, cancel := context.WithTimeout(k.ctx, writeTimeout)
	defer cancel()
	return k.conn.Write(ctx, chunkStream, timestamp, &rtmp.ChunkMessage{StreamID: stream, Message: m})
}

// refuse tells the client why, in RTMP's terms, and ends the connection.
func (k *client) refuse(stream uint32, code message.NetStreamOnStatusCode, why error) error {
	if err := k.status(stream, message.NetStreamOnStatusLevelError, code, why.Error()); err != nil {
		return err
	}
	return fmt.Errorf("gateway: refused: %w", why)
}

// status sends an onStatus.
func (k *client) status(stream uint32, level message.NetStreamOnStatusLevel, code message.NetStreamOnStatusCode, text string) error {
	body := &bytes.Buffer{}
	err := message.EncodeBodyAnyValues(message.NewAMFEncoder(body, message.EncodingTypeAMF0), &message.NetStreamOnStatus{
		InfoObject: message.NetStreamOnStatusInfoObject{Level: level, Code: code, Description: text},
	})
	if err != nil {
		return err
	}
	return k.send(statusChunkStream, 0, stream, &message.CommandMessage{
		CommandName: "onStatus", Encoding: message.EncodingTypeAMF0, Body: body,
	})
}
