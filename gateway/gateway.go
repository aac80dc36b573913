package gateway

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"duet/crypto"
	"duet/rtmpchunk"
)

// Limits of gateways.
const (
	DefaultMaxConns   = 256                  // TCP connections at a time, each kind
	handshakeTimeout  = 5 * time.Second      // from accept to publish or play
	readTimeout       = 30 * time.Second     // a publisher that sends nothing for so long is gone
	minAcceptPause    = 5 * time.Millisecond // after an error of the listener's, doubled with each in a row
	maxAcceptPause    = time.Second
	playerReadTimeout = 365 * 24 * time.Hour // a player has nothing to say
	writeTimeout      = 10 * time.Second     // a player that takes nothing for so long is cut off
)

// Config says what a gateway is joined to. Publish, Subscribe and Verify are required.
type Config struct {
	Logger *slog.Logger // default: discard. Gets no token and no address

	// Publish opens a publication of a verified token's stream for its party; it is written to in arrival order and closed at the end.
	Publish func(ctx context.Context, t crypto.Token) (Publication, error)
	// Subscribe joins the audience of a verified token's stream. Both fail with ErrRevoked for a token that was taken back.
	Subscribe func(ctx context.Context, t crypto.Token) (Subscription, error)
	// Verify checks a token for an action on a stream.
	Verify func(token string, want crypto.Action, stream string) (crypto.Token, error)

	MaxConns int // default DefaultMaxConns
}

// Publication takes a stream's messages.
type Publication interface {
	Write(rtmpchunk.Message) error
	Done() <-chan struct{} // closed when it is over: replaced, revoked, or the relay stopped
	Err() error
	Close() error
}

// Subscription gives a stream's messages: configurations and metadata first, then from a key frame on, io.EOF at the end.
type Subscription interface {
	Read(ctx context.Context) (rtmpchunk.Message, error)
	Close() error
}

func (c Config) withDefaults() Config {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxConns <= 0 {
		c.MaxConns = DefaultMaxConns
	}
	return c
}

// ErrRevoked means that a token was good and has been taken back. Its text is for the person who used it.
var ErrRevoked = errors.New("you are not in the call any more")

// errToken is what a client is told whose token is not good, if the token's own error says nothing better.
var errToken = errors.New("the URL's token is not valid for this")

// refusal is an error for a person who has no business with our internals.
func refusal(err error) string {
	for _, known := range []error{crypto.ErrTokenExpired, crypto.ErrTokenAction, crypto.ErrTokenStream, crypto.ErrTokenForged, crypto.ErrTokenMalformed} {
		if errors.Is(err, known) {
			return known.Error()
		}
	}
	return errToken.Error()
}

// splitQuery cuts NAME?t=TOKEN&… into name and token.
func splitQuery(s string) (name, token string) {
	name, query, _ := strings.Cut(s, "?")
	for pair := range strings.SplitSeq(query, "&") {
		if v, ok := strings.CutPrefix(pair, "t="); ok {
			token = v
		}
	}
	return name, token
}
