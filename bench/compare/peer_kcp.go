package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/xtaci/kcp-go/v5"
)

// kcpPeer is a KCP session to a relay and one from it, with the bytes copied as they come.
type kcpPeer struct {
	stock bool // the parity that KCP's tunnels come with
}

const (
	kcpMTU    = 1200
	kcpWindow = 1024 // packets; never the limit
	// maxFrame bounds what a length may ask for.
	maxFrame = 1 << 20
)

func (p kcpPeer) name() string {
	if p.stock {
		return "kcp-stock"
	}
	return "kcp"
}

// fec is how many data and parity shards make a group.
func (p kcpPeer) fec(c *config) (data, parity int) {
	if p.stock {
		return 10, 3
	}
	return c.kcpFEC[0], c.kcpFEC[1]
}

func (p kcpPeer) settings(c *config) string {
	data, parity := p.fec(c)
	return fmt.Sprintf("kcp-go 5.6.19, nodelay(1,10,2,1), FEC %d+%d, stream mode, no write delay, acks at once, window %d, MTU %d, no encryption",
		data, parity, kcpWindow, kcpMTU)
}

func kcpSet(s *kcp.UDPSession) *kcp.UDPSession {
	s.SetNoDelay(1, 10, 2, 1)
	s.SetWindowSize(kcpWindow, kcpWindow)
	s.SetMtu(kcpMTU)
	s.SetStreamMode(true)
	s.SetWriteDelay(false)
	s.SetACKNoDelay(true)
	return s
}

// hop opens a session through a hop: the client's end and the relay's.
func (p kcpPeer) hop(ctx context.Context, b *bed, n int) (near, far *kcp.UDPSession, err error) {
	data, parity := p.fec(b.cfg)
	l, err := kcp.ListenWithOptions(loopback, nil, data, parity)
	if err != nil {
		return nil, nil, err
	}
	b.onClose(func() { _ = l.Close() })
	addr, err := b.hop(n, l.Addr())
	if err != nil {
		return nil, nil, err
	}
	if near, err = kcp.DialWithOptions(addr.String(), nil, data, parity); err != nil {
		return nil, nil, err
	}
	b.onClose(func() { _ = near.Close() })
	if _, err = kcpSet(near).Write([]byte{0}); err != nil { // a session begins with its first packet
		return nil, nil, err
	}
	if d, ok := ctx.Deadline(); ok {
		_ = l.SetReadDeadline(d)
	}
	if far, err = l.AcceptKCP(); err != nil {
		return nil, nil, fmt.Errorf("hop %d: %w", n, err)
	}
	b.onClose(func() { _ = far.Close() })
	_, err = io.ReadFull(kcpSet(far), make([]byte, 1))
	return near, far, err
}

func (p kcpPeer) open(ctx context.Context, b *bed) (func(frame) error, error) {
	out, in, err := p.hop(ctx, b, 1)
	if err != nil {
		return nil, err
	}
	receiver, forward, err := p.hop(ctx, b, 2)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(struct{ io.Writer }{forward}, struct{ io.Reader }{in}) }() // until either is closed
	go kcpReceive(receiver, b.got)
	var head [4]byte
	return func(f frame) error {
		binary.BigEndian.PutUint32(head[:], uint32(len(f.body))) //nolint:gosec // far below 4 GiB
		buffers := net.Buffers{head[:], f.body}
		_, err := out.WriteBuffers(buffers)
		return err
	}, nil
}

// kcpReceive takes frames, each behind its length, until the session ends.
func kcpReceive(s io.Reader, got func([]byte, time.Time)) {
	r := bufio.NewReaderSize(s, 64<<10)
	for {
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return
		}
		n := binary.BigEndian.Uint32(head[:])
		if n > maxFrame {
			return
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return
		}
		got(body, time.Now())
	}
}
