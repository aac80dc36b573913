package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net"
	"time"

	"github.com/quic-go/quic-go"
)

// What both peers over QUIC share.
const (
	quicProtocol = "compare"
	// quicPacket keeps QUIC's packets as long as those of the others.
	quicPacket = 1200
	quicWindow = 16 << 20 // flow control; never the limit
	quicCommon = "quic-go 0.65.0, its own congestion control, packets of 1200 bytes, windows of 16 MiB"
)

func quicConfig() *quic.Config {
	return &quic.Config{
		EnableDatagrams: true, InitialPacketSize: quicPacket, DisablePathMTUDiscovery: true, KeepAlivePeriod: time.Second,
		HandshakeIdleTimeout: setupTime, MaxIncomingUniStreams: 1 << 30,
		InitialStreamReceiveWindow: quicWindow, InitialConnectionReceiveWindow: quicWindow,
		MaxStreamReceiveWindow: quicWindow, MaxConnectionReceiveWindow: quicWindow,
	}
}

// quicHop opens a connection through a hop: the client's end and the relay's.
func quicHop(ctx context.Context, b *bed, n int) (near, far *quic.Conn, err error) {
	cert, err := selfSigned()
	if err != nil {
		return nil, nil, err
	}
	server, err := quicTransport(b)
	if err != nil {
		return nil, nil, err
	}
	l, err := server.Listen(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{quicProtocol}, MinVersion: tls.VersionTLS13}, quicConfig())
	if err != nil {
		return nil, nil, err
	}
	addr, err := b.hop(n, server.Conn.LocalAddr())
	if err != nil {
		return nil, nil, err
	}
	client, err := quicTransport(b)
	if err != nil {
		return nil, nil, err
	}
	trusted := &tls.Config{InsecureSkipVerify: true, NextProtos: []string{quicProtocol}, MinVersion: tls.VersionTLS13} //nolint:gosec // a server of this process
	if near, err = client.Dial(ctx, net.UDPAddrFromAddrPort(addr), trusted, quicConfig()); err != nil {
		return nil, nil, fmt.Errorf("hop %d: %w", n, err)
	}
	b.onClose(func() { _ = near.CloseWithError(0, "") })
	if far, err = l.Accept(ctx); err != nil {
		return nil, nil, fmt.Errorf("hop %d: %w", n, err)
	}
	b.onClose(func() { _ = far.CloseWithError(0, "") })
	return near, far, nil
}

func quicTransport(b *bed) (*quic.Transport, error) {
	conn, err := listenUDP()
	if err != nil {
		return nil, err
	}
	t := &quic.Transport{Conn: conn}
	b.onClose(func() { _ = t.Close(); _ = conn.Close() })
	return t, nil
}

func selfSigned() (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, err
}
