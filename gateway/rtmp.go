package gateway

import (
	"context"
	"io"
	"net"
	"sync"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/yutopp/go-rtmp"
)

// RTMP is a server for RTMP clients: they publish into streams and play them.
type RTMP struct{ cfg Config }

// NewRTMP returns a server that serves nobody yet.
func NewRTMP(cfg Config) *RTMP { return &RTMP{cfg: cfg.withDefaults()} }

// Serve takes connections from l, a tls.Listener for RTMPS, until ctx ends. It returns after every connection is closed: nil after
// ctx ended, else the listener's error.
func (r *RTMP) Serve(ctx context.Context, l net.Listener) error {
	s := &rtmpServer{cfg: r.cfg, Listener: l, ctx: ctx, conns: make(map[*client]struct{}), slots: make(chan struct{}, r.cfg.MaxConns)}
	s.rtmp = rtmp.NewServer(&rtmp.ServerConfig{OnConnect: s.connect})
	stop := context.AfterFunc(ctx, func() {
		_ = s.rtmp.Close() // closes the listener
		s.closeAll()
	})
	defer stop()
	err := s.rtmp.Serve(s)
	s.closeAll()
	s.wg.Wait()
	if ctx.Err() != nil {
		return nil
	}
	if s.failed != nil {
		return s.failed
	}
	return err
}

// rtmpServer is one Serve: a listener that bounds connections and gives up on an error, which go-rtmp would retry for ever.
type rtmpServer struct {
	net.Listener
	cfg   Config
	ctx   context.Context
	rtmp  *rtmp.Server
	slots chan struct{}
	wg    sync.WaitGroup

	mu     sync.Mutex // guards what follows
	conns  map[*client]struct{}
	failed error
}

// Accept waits for a slot and a client. An error that may pass, such as one for lack of file descriptors, is waited out; any other ends
// Serve.
func (s *rtmpServer) Accept() (net.Conn, error) {
	select {
	case s.slots <- struct{}{}:
	case <-s.ctx.Done():
		return nil, s.end(s.ctx.Err())
	}
	for pause := minAcceptPause; ; pause = min(2*pause, maxAcceptPause) {
		c, err := s.Listener.Accept()
		if err == nil {
			s.wg.Add(1)
			return c, nil
		}
		if passing, ok := err.(interface{ Temporary() bool }); !ok || !passing.Temporary() || s.ctx.Err() != nil {
			<-s.slots
			return nil, s.end(err)
		}
		s.cfg.Logger.Warn("the RTMP listener could not take a connection", "error", err)
		select {
		case <-time.After(pause):
		case <-s.ctx.Done():
		}
	}
}

// end ends go-rtmp's accept loop, which would go on for ever after an error.
func (s *rtmpServer) end(err error) error {
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.mu.Unlock()
	_ = s.rtmp.Close()
	return err
}

// connect makes a client of a connection. go-rtmp calls it in the connection's goroutine.
func (s *rtmpServer) connect(c net.Conn) (io.ReadWriteCloser, *rtmp.ConnConfig) {
	k := &client{server: s, log: s.cfg.Logger, last: make(map[int]lastSent)}
	k.ctx, k.cancel = context.WithCancel(s.ctx)
	k.guard = newGuard(c, k.idle)
	s.mu.Lock()
	s.conns[k] = struct{}{}
	s.mu.Unlock()
	if s.ctx.Err() != nil {
		_ = c.Close()
	}
	quiet := logrus.New()
	quiet.SetOutput(io.Discard)
	quiet.SetLevel(logrus.PanicLevel)
	return k, &rtmp.ConnConfig{
		Handler: k, Logger: quiet, SkipHandshakeVerification: true, // some encoders do not echo; it proves nothing
		ControlState: rtmp.StreamControlStateConfig{DefaultChunkSize: guardChunk, MaxChunkStreams: maxChunkStreams, MaxMessageStreams: 4},
	}
}

// closeAll ends every connection.
func (s *rtmpServer) closeAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.conns {
		k.cancel()
		_ = k.guard.Conn.Close()
	}
}

// forget is called once a connection is closed.
func (s *rtmpServer) forget(k *client) {
	s.mu.Lock()
	_, in := s.conns[k]
	delete(s.conns, k)
	s.mu.Unlock()
	if in {
		<-s.slots
		s.wg.Done()
	}
}
