package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"time"

	"duet/gateway/carrier"
	"duet/web"
)

const defaultWebTransport = "127.0.0.1:8443"

// browsers is what a server has for them: pages, and carriers to its relay.
type browsers struct {
	carriers *carrier.Server
	sock     net.PacketConn          // of WebTransport; nil: there is none
	made     *carrier.Certificates   // known by their hashes
	given    func() *tls.Certificate // instead, from an authority
}

// openBrowsers makes ways to the relay and mounts them, and the pages.
func (s *server) openBrowsers(mux *http.ServeMux) (err error) {
	mux.Handle("/", web.Handler(web.Config{}))
	if s.relay == nil || s.httpLn == nil {
		return nil
	}
	cfg := &s.cfg
	b := &browsers{carriers: carrier.New(carrier.Config{Relay: s.relay.Addr(), Origins: cfg.calls.origins, Logger: cfg.log})}
	s.browsers = b
	mux.Handle("GET "+carrier.WebSocketPath, b.carriers.WebSocket())
	mux.Handle("GET "+carrier.WebSocketPath+carrier.CheckSuffix, b.carriers.Check())
	mux.Handle("GET /v1/carriers", b.carriers.Carriers())
	if cfg.webTransport == "" {
		return nil
	}
	if b.sock, err = (&net.ListenConfig{}).ListenPacket(context.Background(), "udp", cfg.webTransport); err != nil {
		return listenHint(err, "--webtransport")
	}
	if s.certs != nil && s.certs.quic != nil {
		b.given = s.certs.quic
		return nil
	}
	b.made, err = carrier.NewCertificates(time.Now)
	return err
}

// serve takes WebTransport sessions until ctx ends.
func (b *browsers) serve(ctx context.Context) error {
	certificate, hashes := b.given, func() []string { return nil }
	if b.given == nil {
		certificate, hashes = b.made.Certificate, b.made.Hashes
	}
	return b.carriers.ServeWebTransport(ctx, b.sock, certificate, hashes)
}

// close ends all of it.
func (b *browsers) close() error {
	if b == nil {
		return nil
	}
	b.carriers.Close()
	if b.sock == nil {
		return nil
	}
	if err := b.sock.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// openHTTPS opens the port for browsers of other machines.
func (s *server) openHTTPS() error {
	l, err := listen(s.cfg.https, "--https")
	if l == nil {
		return err
	}
	s.httpsLn = tls.NewListener(l, s.certs.config("http/1.1"))
	return nil
}
