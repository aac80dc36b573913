package main

import (
	"context"
	"fmt"
	"net"
	"time"

	"duet/client"
	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
)

// duetPeer is client.Pusher → relay.Server → client.Player.
type duetPeer struct{}

func (duetPeer) name() string { return "duet" }

func (duetPeer) settings(c *config) string {
	return fmt.Sprintf("budget %v at pusher and player, start bitrate that of the media; all else as it comes", c.deadline)
}

const duetStream = "live/compare"

func (duetPeer) open(ctx context.Context, b *bed) (func(frame) error, error) {
	key, err := crypto.NewStaticKey([32]byte{1})
	if err != nil {
		return nil, err
	}
	tokens := crypto.NewTokenKeys(1, [32]byte{2})
	srv, err := relay.New(relay.Config{Listen: loopback, Key: key, Secret: [32]byte{3}, Tokens: tokens})
	if err != nil {
		return nil, err
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(serving) // a socket that fails shows in the frames that don't come
	}()
	b.onClose(func() { stop(); <-served })

	url := func(hop int, action crypto.Action) (crypto.URL, error) {
		addr, err := b.hop(hop, net.UDPAddrFromAddrPort(srv.Addr()))
		if err != nil {
			return crypto.URL{}, err
		}
		token, err := tokens.Mint(crypto.Token{Action: action, Expiry: time.Now().Add(24 * time.Hour), Stream: duetStream})
		return crypto.URL{Host: addr.String(), Stream: duetStream, Key: key.Public(), Token: token}, err
	}
	push, err := url(1, crypto.ActionPush)
	if err != nil {
		return nil, err
	}
	play, err := url(2, crypto.ActionPlay)
	if err != nil {
		return nil, err
	}
	player, err := client.DialPlayer(ctx, client.PlayerConfig{URL: play, MaxDelay: b.cfg.deadline})
	if err != nil {
		return nil, fmt.Errorf("player: %w", err)
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		for {
			f, err := player.Read(context.Background())
			if err != nil {
				return
			}
			if f.Media {
				b.got(f.Message.Payload, f.Complete)
			}
		}
	}()
	b.onClose(func() { _ = player.Close(); <-read })
	pusher, err := client.DialPusher(ctx, client.PusherConfig{URL: push, Budget: b.cfg.deadline, StartBitrate: videoRate + audioPerSec*audioSize*8})
	if err != nil {
		return nil, fmt.Errorf("pusher: %w", err)
	}
	b.onClose(func() {
		ended, cancel := context.WithCancel(context.Background())
		cancel() // nothing is waited for: what counts has come
		_ = pusher.Close(ended)
	})
	return func(f frame) error {
		m := rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32(f.at / time.Millisecond), Payload: f.body} //nolint:gosec // a run is minutes
		if f.kind == video {
			m.Type = rtmpchunk.TypeVideo
		}
		return pusher.Write(m)
	}, nil
}
