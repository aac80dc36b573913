package carrier

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// Path is where WebTransport sessions are opened.
const Path = "/carrier"

const (
	idleTime  = 30 * time.Second
	keepAlive = 10 * time.Second
)

// ServeWebTransport takes sessions on a UDP socket until ctx ends. certificate is asked at every handshake; hashes are the SHA-256, base64, of the certificates that a
// browser is to take though nobody vouches for them, nil if they are trusted.
func (s *Server) ServeWebTransport(ctx context.Context, sock net.PacketConn, certificate func() *tls.Certificate, hashes func() []string) error {
	_, port, err := net.SplitHostPort(sock.LocalAddr().String())
	if err != nil {
		return fmt.Errorf("carrier: %w", err)
	}
	mux := http.NewServeMux()
	h3 := &http3.Server{
		Handler: mux, EnableDatagrams: true,
		TLSConfig: http3.ConfigureTLSConfig(&tls.Config{
			MinVersion: tls.VersionTLS13, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return certificate(), nil },
		}),
		QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true, MaxIdleTimeout: idleTime, KeepAlivePeriod: keepAlive},
	}
	webtransport.ConfigureHTTP3Server(h3)
	srv := &webtransport.Server{H3: h3, CheckOrigin: s.sameSite}
	for path, check := range map[string]bool{Path: false, Path + CheckSuffix: true} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			session, err := srv.Upgrade(w, r)
			if err != nil {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			s.carry(session, check)
		})
	}
	s.mu.Lock()
	s.wt = func(host string) (string, []string) {
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		return "https://" + net.JoinHostPort(host, port) + Path, hashes()
	}
	s.mu.Unlock()
	stop := context.AfterFunc(ctx, func() { _ = srv.Close() })
	defer stop()
	err = srv.Serve(sock)
	if ctx.Err() != nil || errors.Is(err, http.ErrServerClosed) || errors.Is(err, quic.ErrServerClosed) {
		return nil
	}
	return err
}

// span is how long a carrier may last: a check not long.
func span(ctx context.Context, check bool) (context.Context, context.CancelFunc) {
	if check {
		return context.WithTimeout(ctx, checkTime)
	}
	return context.WithCancel(ctx)
}

// carry joins a session and the relay until either ends.
func (s *Server) carry(session *webtransport.Session, check bool) {
	ctx, cancel := span(session.Context(), check)
	p, err := s.enter(cancel, check)
	if err != nil {
		cancel()
		_ = session.CloseWithError(0, "no more browsers are let in at present")
		return
	}
	defer s.leave(p)
	go func() {
		defer cancel()
		p.down(ctx, func(b []byte) error { return session.SendDatagram(b[2:]) }) // waits while 32 are queued: then the socket's buffer fills
	}()
	for {
		b, err := session.ReceiveDatagram(ctx)
		if err != nil {
			_ = session.CloseWithError(0, "")
			return
		}
		p.up(b)
	}
}
