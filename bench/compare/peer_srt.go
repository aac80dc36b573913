package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	srt "github.com/datarhei/gosrt"
)

// srtPeer is a gosrt publisher, a gosrt server with its own publish-subscribe, and a gosrt subscriber, in live mode.
type srtPeer struct{}

const srtPayload = 1316 // bytes, what live mode is used with

func (srtPeer) name() string { return "srt" }

func (srtPeer) settings(c *config) string {
	return fmt.Sprintf("gosrt 0.9.0, live mode, payload %d, latency %d and %d ms, too-late drop, periodic NAK, no bandwidth limit",
		srtPayload, c.srtLatency[0].Milliseconds(), c.srtLatency[1].Milliseconds())
}

func srtConfig(latency time.Duration) srt.Config {
	c := srt.DefaultConfig()
	c.Latency = latency
	c.ReceiverLatency, c.PeerLatency = latency, latency
	c.PayloadSize = srtPayload
	c.PeerIdleTimeout = 10 * time.Second
	return c
}

// srtServer starts a server on a free port. Each hop has one of its own, as the latency is a setting of the server too.
func srtServer(b *bed, latency time.Duration, handle func(srt.Conn)) (net.Addr, error) {
	// gosrt does not tell the port it was given: find a free one first.
	probe, err := listenUDP()
	if err != nil {
		return nil, err
	}
	addr := probe.LocalAddr()
	_ = probe.Close()
	cfg := srtConfig(latency)
	s := &srt.Server{
		Addr: addr.String(), Config: &cfg, HandleConnect: func(srt.ConnRequest) srt.ConnType { return srt.PUBLISH }, HandlePublish: handle,
	}
	if err := s.Listen(); err != nil {
		return nil, err
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = s.Serve()
	}()
	b.onClose(func() { s.Shutdown(); <-served })
	return addr, nil
}

func (srtPeer) open(ctx context.Context, b *bed) (func(frame) error, error) {
	stream := srt.NewPubSub(srt.PubSubConfig{})
	joined := make(chan struct{}, 2)
	conns := [2]srt.Conn{}
	for i, handle := range []func(srt.Conn){
		func(c srt.Conn) { joined <- struct{}{}; _ = stream.Publish(c) },
		func(c srt.Conn) { joined <- struct{}{}; _ = stream.Subscribe(c) },
	} {
		addr, err := srtServer(b, b.cfg.srtLatency[i], handle)
		if err != nil {
			return nil, err
		}
		through, err := b.hop(i+1, addr)
		if err != nil {
			return nil, err
		}
		if conns[i], err = srt.Dial("srt", through.String(), srtConfig(b.cfg.srtLatency[i])); err != nil {
			return nil, fmt.Errorf("hop %d: %w", i+1, err)
		}
		b.onClose(func() { _ = conns[i].Close() })
	}
	for range 2 {
		select {
		case <-joined:
		case <-ctx.Done():
			return nil, errors.New("the server has not taken both in time")
		}
	}
	read := make(chan struct{})
	go func() {
		defer close(read)
		var d defragmenter
		for {
			p, err := conns[1].ReadPacket()
			if err != nil {
				return
			}
			if body := d.add(p.Data()); body != nil {
				b.got(body, time.Now())
			}
			p.Decommission()
		}
	}()
	b.onClose(func() { _ = conns[1].Close(); <-read })
	return func(f frame) error {
		for _, part := range split(&f, srtPayload) {
			if _, err := conns[0].Write(part); err != nil {
				return err
			}
		}
		return nil
	}, nil
}
