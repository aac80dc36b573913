package carrier

import (
	"context"
	"encoding/binary"
	"net/http"
	"time"

	"github.com/coder/websocket"
)

// Subprotocol is the WebSocket's: binary messages, each of one or more datagrams after their length in two bytes, big endian.
const Subprotocol = "duet.carrier.1"

const (
	maxMessage  = 256 << 10 // bytes of a message: a frame's datagrams
	writeTime   = 5 * time.Second
	gatherTime  = 500 * time.Microsecond // what the relay sends within it goes in one message
	gatherBytes = 16 << 10
)

// WebSocket is a handler for WebSocketPath, Check for the same with CheckSuffix.
func (s *Server) WebSocket() http.Handler { return s.webSocket(false) }

// Check is a handler for a check of the network over a WebSocket.
func (s *Server) Check() http.Handler { return s.webSocket(true) }

func (s *Server) webSocket(check bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.sameSite(r) {
			http.Error(w, "this page may not use this server: its host is not listed with --origin", http.StatusForbidden)
			return
		}
		// The origin was checked; compression would only cost: everything is sealed.
		c, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{Subprotocol}, InsecureSkipVerify: true, CompressionMode: websocket.CompressionDisabled})
		if err != nil {
			return
		}
		defer func() { _ = c.CloseNow() }()
		if c.Subprotocol() != Subprotocol {
			_ = c.Close(websocket.StatusPolicyViolation, "the subprotocol is "+Subprotocol)
			return
		}
		c.SetReadLimit(maxMessage)
		ctx, cancel := span(context.Background(), check)
		p, err := s.enter(cancel, check)
		if err != nil {
			cancel()
			_ = c.Close(websocket.StatusTryAgainLater, "no more browsers are let in at present")
			return
		}
		defer s.leave(p)
		go func() {
			defer cancel()
			s.toWebSocket(ctx, p, c)
		}()
		for {
			_, b, err := c.Read(ctx)
			if err != nil {
				return
			}
			for len(b) >= 2 {
				n := int(binary.BigEndian.Uint16(b))
				if n > len(b)-2 {
					return // it is not our protocol
				}
				p.up(b[2 : 2+n])
				b = b[2+n:]
			}
		}
	})
}

// toWebSocket sends what comes from the relay, several datagrams in a message where they come together.
func (s *Server) toWebSocket(ctx context.Context, p *peer, c *websocket.Conn) {
	out := make([]byte, 0, gatherBytes+2*maxDatagram)
	send := func() error {
		if len(out) == 0 {
			return nil
		}
		one, cancel := context.WithTimeout(ctx, writeTime)
		defer cancel()
		err := c.Write(one, websocket.MessageBinary, out)
		out = out[:0]
		return err
	}
	b := make([]byte, 2*maxDatagram)
	for ctx.Err() == nil {
		deadline := time.Time{}
		if len(out) > 0 {
			deadline = time.Now().Add(gatherTime)
		}
		if p.SetReadDeadline(deadline) != nil {
			return
		}
		n, err := p.Read(b)
		if err == nil {
			out = append(binary.BigEndian.AppendUint16(out, uint16(n)), b[:n]...)
			if len(out) < gatherBytes {
				continue
			}
		} else if ctx.Err() != nil {
			return
		}
		if send() != nil { // it ends the peer
			_ = c.CloseNow()
			return
		}
	}
}
