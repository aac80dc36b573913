package gateway

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
)

// flvSuffix ends the path of an HTTP-FLV URL.
const flvSuffix = ".flv"

// NewFLV returns the handler of GET /live/NAME.flv?t=TOKEN: the stream as FLV, each message as soon as it is there, until the
// stream ends or the client goes.
func NewFLV(cfg Config) http.Handler {
	cfg = cfg.withDefaults()
	var open atomic.Int64
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.Header().Set("Allow", http.MethodGet)
			http.Error(w, "HTTP-FLV is for GET", http.StatusMethodNotAllowed)
			return
		}
		stream, ok := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/"), flvSuffix)
		if !ok || crypto.ValidStream(stream) != nil {
			http.Error(w, "the path of a stream is /live/NAME.flv", http.StatusNotFound)
			return
		}
		token := r.URL.Query().Get("t")
		if token == "" {
			http.Error(w, "the URL has no token: make one with duet url flv "+stream, http.StatusUnauthorized)
			return
		}
		tok, err := cfg.Verify(token, crypto.ActionFLV, stream)
		if err != nil {
			http.Error(w, refusal(err), http.StatusForbidden)
			return
		}
		if open.Add(1) > int64(cfg.MaxConns) {
			open.Add(-1)
			http.Error(w, "too many players; try again later", http.StatusServiceUnavailable)
			return
		}
		defer open.Add(-1)
		sub, err := cfg.Subscribe(r.Context(), tok)
		if errors.Is(err, ErrRevoked) {
			http.Error(w, ErrRevoked.Error(), http.StatusForbidden)
			return
		}
		if err != nil {
			http.Error(w, "the relay takes no more players; try again later", http.StatusServiceUnavailable)
			return
		}
		defer func() { _ = sub.Close() }()
		cfg.Logger.Info("HTTP-FLV player", "stream", stream)
		err = serveFLV(r.Context(), w, sub)
		cfg.Logger.Info("HTTP-FLV player gone", "stream", stream, "ended", errors.Is(err, io.EOF))
	})
}

// serveFLV copies a subscription to a response.
func serveFLV(ctx context.Context, w http.ResponseWriter, sub Subscription) error {
	h := w.Header()
	h.Set("Content-Type", "video/x-flv")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // proxies must not collect it
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	if err := control.Flush(); err != nil { // the client hears at once that it is let in, however late the stream begins
		return err
	}
	out := rtmpchunk.NewLiveWriter(w)
	for {
		m, err := sub.Read(ctx)
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout)) // not all writers have one
		if err != nil {
			return errors.Join(err, out.Flush())
		}
		if err := out.Write(m); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
	}
}
