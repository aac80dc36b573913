package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"duet/signaling/desk"
)

const (
	maxReply  = 64 << 10 // bytes of an answer that are read, and of its headers
	idleConns = 1        // one request at a time needs no more
	idleTime  = time.Minute
)

// poster posts to one webhook.
type poster struct {
	hook     desk.Hook
	client   *http.Client
	agent    string
	exchange time.Duration
}

func newPoster(cfg *Config, h desk.Hook) *poster {
	agent := "duet"
	if cfg.Version != "" {
		agent += "/" + cfg.Version
	}
	return &poster{hook: h, agent: agent, exchange: cfg.Exchange, client: &http.Client{
		Transport: &http.Transport{ // no proxy from the environment: it would go around the check of addresses
			DialContext:     dialer(h.Private),
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12},
			// A connection is made apart from the request that wants it, and outlives that: without a limit of its own a receiver that is silent
			// in the handshake would hold one more for ever at each attempt.
			TLSHandshakeTimeout:    cfg.Exchange,
			MaxResponseHeaderBytes: maxReply,
			MaxIdleConns:           idleConns,
			IdleConnTimeout:        idleTime,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// message is what a webhook is told.
type message struct {
	ID   string    `json:"id"`  // SEQ.INDEX: the same when it is told again
	Seq  uint64    `json:"seq"` // of the entry: grows
	Call string    `json:"call,omitempty"`
	N    uint64    `json:"callSeq,omitempty"` // of the call's events: 1, 2, 3, …
	Type string    `json:"type"`
	Time time.Time `json:"time"`
	Data any       `json:"data"`
}

// Sign is the signature of a message: hex HMAC-SHA-256 under the webhook's secret of "ID.TIMESTAMP.BODY".
func Sign(secret, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = fmt.Fprintf(mac, "%s.%s.", id, timestamp) // a hash never fails
	_, _ = mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// send posts one event once. Anything but 2xx is a failure, a redirect too. The error does not have the webhook's URL, which may hold a secret.
func (p *poster) send(ctx context.Context, seq uint64, index int, e *desk.Public) error {
	ctx, cancel := context.WithTimeout(ctx, p.exchange)
	defer cancel()
	id := fmt.Sprintf("%d.%d", seq, index)
	body, err := json.Marshal(message{ID: id, Seq: seq, Call: e.Call, N: e.N, Type: e.Kind, Time: e.Time, Data: e.Data})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.hook.URL, bytes.NewReader(body))
	if err != nil {
		return withoutURL(err)
	}
	if req.URL.Scheme != "https" && !p.hook.Private { // whoever set it up
		return fmt.Errorf("%w: without TLS it has to be private", ErrForbidden)
	}
	stamp := strconv.FormatInt(time.Now().Unix(), 10)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", p.agent)
	req.Header.Set("Duet-Id", id)
	req.Header.Set("Duet-Timestamp", stamp)
	req.Header.Set("Duet-Signature", "v1="+Sign(p.hook.Secret, id, stamp, body))
	r, err := p.client.Do(req)
	if err != nil {
		return withoutURL(err)
	}
	defer func() { _ = r.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, maxReply)) // what it says does not matter
	if r.StatusCode/100 != 2 {
		return fmt.Errorf("answered %d", r.StatusCode)
	}
	return nil
}

// withoutURL is what went wrong, and not with what.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
