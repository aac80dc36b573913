package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"duet/crypto"
	"duet/rtmpchunk"
)

// A client whose token has been taken back is refused and told so; one that is in is put out.
func TestRevoked(t *testing.T) {
	h := &hub{}
	refusing := h.config()
	var asked []crypto.Token
	refusing.Publish = func(_ context.Context, tok crypto.Token) (Publication, error) {
		asked = append(asked, tok)
		return nil, ErrRevoked
	}
	refusing.Subscribe = func(_ context.Context, tok crypto.Token) (Subscription, error) {
		asked = append(asked, tok)
		return nil, ErrRevoked
	}
	refusing.Verify = func(_ string, want crypto.Action, stream string) (crypto.Token, error) {
		return crypto.Token{Action: want, Stream: stream, Call: "c1", Party: "bob", Epoch: 3}, nil
	}
	w := httptest.NewRecorder()
	NewFLV(refusing).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/live/a.flv?t=old", nil))
	if w.Code != http.StatusForbidden || strings.TrimSpace(w.Body.String()) != ErrRevoked.Error() {
		t.Errorf("HTTP-FLV: %d %q", w.Code, w.Body)
	}
	for what, code := range map[string]string{"publish": "NetStream.Publish.Denied", "play": "NetStream.Play.Failed"} {
		inServerWith(t, refusing, func(t *testing.T, l *pipes) {
			c := l.dial(t)
			ended, answer := greet(t, c)
			_, _ = c.Write(asks(t, what, "live", "", "a?t=old"))
			<-ended
			if s := answer.String(); !strings.Contains(s, code) || !strings.Contains(s, ErrRevoked.Error()) {
				t.Errorf("%s: the answer holds no %s with its reason", what, code)
			}
			_ = c.Close()
		})
	}
	for _, tok := range asked {
		if tok.Call != "c1" || tok.Party != "bob" || tok.Epoch != 3 || tok.Stream != "live/a" {
			t.Errorf("the relay is asked with %+v", tok)
		}
	}
	if len(asked) != 3 {
		t.Errorf("the relay was asked %d times", len(asked))
	}

	ending := &hub{messages: []rtmpchunk.Message{{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 1, 2}}}, end: ErrRevoked}
	inServer(t, ending, func(t *testing.T, l *pipes) {
		c := l.dial(t)
		ended, _ := greet(t, c)
		_, _ = c.Write(asks(t, "play", "live", "", "a?t=good"))
		<-ended
		_ = c.Close()
	})
}
