package crypto

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"
)

var tokenNow = time.Unix(1_700_000_000, 0)

func testToken() Token {
	return Token{
		Action: ActionPush, KeyID: 3, Epoch: 9, Expiry: tokenNow.Add(time.Hour).UTC(),
		Stream: "live/alice", Call: "call-1", Party: "agent",
	}
}

func mint(t testing.TB, k *TokenKeys, token Token) string {
	t.Helper()
	text, err := k.Mint(token)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestTokenRoundTrip(t *testing.T) {
	k := NewTokenKeys(3, pattern(1))
	longest := testToken()
	longest.Stream = "live/" + strings.Repeat("x", 128)
	longest.Call, longest.Party = strings.Repeat("c", 255), strings.Repeat("p", 255)
	bare := Token{Action: ActionFLV, KeyID: 3, Expiry: tokenNow.Add(time.Second).UTC(), Stream: "live/a"}
	far := testToken()
	far.Epoch, far.Expiry = 1<<64-1, time.Unix(maxExpiry, 0).UTC()
	for _, want := range []Token{testToken(), longest, bare, far} {
		text := mint(t, k, want)
		got, err := k.Verify(tokenNow, text, want.Action, want.Stream)
		if err != nil || got != want {
			t.Errorf("%+v comes back as %+v, %v", want, got, err)
		}
	}
	if n := len(mint(t, k, longest)); n != MaxTokenText {
		t.Errorf("the longest token has %d characters, MaxTokenText is %d", n, MaxTokenText)
	}
	// The first handshake message of one datagram: 1200 less header, overhead, and the payload's other fields.
	if room := 1200 - 40 - Message1Overhead - (1 + 1 + 4) - (1 + maxStream) - 2; MaxTokenText > room {
		t.Errorf("a token of %d characters does not fit into the %d of a datagram", MaxTokenText, room)
	}
}

func TestMintRefuses(t *testing.T) {
	k := NewTokenKeys(3, pattern(1))
	for name, change := range map[string]func(*Token){
		"no action":      func(t *Token) { t.Action = 0 },
		"unknown action": func(t *Token) { t.Action = 6 },
		"no stream":      func(t *Token) { t.Stream = "" },
		"bad stream":     func(t *Token) { t.Stream = "live/a b" },
		"long call":      func(t *Token) { t.Call = strings.Repeat("c", 256) },
		"long party":     func(t *Token) { t.Party = strings.Repeat("p", 256) },
		"no expiry":      func(t *Token) { t.Expiry = time.Time{} },
		"far expiry":     func(t *Token) { t.Expiry = time.Unix(maxExpiry+1, 0) },
	} {
		token := testToken()
		change(&token)
		if text, err := k.Mint(token); err == nil {
			t.Errorf("%s: minted %q", name, text)
		}
	}
}

func TestVerifyErrors(t *testing.T) {
	k := NewTokenKeys(3, pattern(1))
	text := mint(t, k, testToken())
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	// signed returns a token with a right HMAC over a changed body, as only a minter of another version could make it.
	signed := func(change func(b []byte) []byte) string {
		return base64.RawURLEncoding.EncodeToString(k.sign(change(bytes.Clone(raw[:len(raw)-32])), pattern(1)))
	}
	for _, c := range []struct {
		name   string
		text   string
		now    time.Time
		want   Action
		stream string
		err    error
	}{
		{"right", text, tokenNow, ActionPush, "live/alice", nil},
		{"last moment", text, tokenNow.Add(time.Hour - 1), ActionPush, "live/alice", nil},
		{"empty", "", tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"short", text[:20], tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"long", strings.Repeat("A", MaxTokenText+1), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"not base64url", strings.Replace(text, text[:1], "+", 1), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"padded", text + "=", tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"line break", text[:40] + "\n" + text[40:], tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"version", signed(func(b []byte) []byte { b[0] = 2; return b }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"action 0", signed(func(b []byte) []byte { b[1] = 0; return b }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"action 6", signed(func(b []byte) []byte { b[1] = 6; return b }), tokenNow, 6, "live/alice", ErrTokenMalformed},
		{"expiry", signed(func(b []byte) []byte { b[14] = 0xff; return b }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"length", signed(func(b []byte) []byte { b[22] = 0xff; return b }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"one byte more", signed(func(b []byte) []byte { return append(b, 0) }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"one byte less", signed(func(b []byte) []byte { return b[:len(b)-1] }), tokenNow, ActionPush, "live/alice", ErrTokenMalformed},
		{"stream name", signed(func(b []byte) []byte { b[23] = 'L'; return b }), tokenNow, ActionPush, "Live/alice", ErrTokenMalformed},
		{"other key", mint(t, NewTokenKeys(3, pattern(2)), testToken()), tokenNow, ActionPush, "live/alice", ErrTokenForged},
		{"other key ID", mint(t, NewTokenKeys(4, pattern(1)), testToken()), tokenNow, ActionPush, "live/alice", ErrTokenForged},
		{"expired", text, tokenNow.Add(time.Hour), ActionPush, "live/alice", ErrTokenExpired},
		{"expired, and all else wrong", text, tokenNow.Add(time.Hour), ActionPlay, "live/bob", ErrTokenExpired},
		{"play with a push token", text, tokenNow, ActionPlay, "live/alice", ErrTokenAction},
		{"action and stream", text, tokenNow, ActionPlay, "live/bob", ErrTokenAction},
		{"stream", text, tokenNow, ActionPush, "live/bob", ErrTokenStream},
		{"no stream", text, tokenNow, ActionPush, "", ErrTokenStream},
	} {
		got, err := k.Verify(c.now, c.text, c.want, c.stream)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
		}
		if err != nil && got != (Token{}) {
			t.Errorf("%s: a refused token comes back as %+v", c.name, got)
		}
	}
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 1
		if _, err := k.Verify(tokenNow, base64.RawURLEncoding.EncodeToString(bad), ActionPush, "live/alice"); !errors.Is(err, ErrTokenForged) {
			t.Errorf("byte %d changed: %v, want ErrTokenForged", i, err)
		}
	}
}

// No action opens what another one is for.
func TestActionsAreApart(t *testing.T) {
	k := NewTokenKeys(3, pattern(1))
	for has := ActionPush; has <= ActionFLV; has++ {
		token := testToken()
		token.Action = has
		text := mint(t, k, token)
		for want := Action(0); want <= ActionFLV+1; want++ {
			if _, err := k.Verify(tokenNow, text, want, token.Stream); (err == nil) != (has == want) {
				t.Errorf("a %v token used to %v: %v", has, want, err)
			}
		}
		if got, err := ParseAction(has.String()); err != nil || got != has {
			t.Errorf("%v comes back as %v, %v", has, got, err)
		}
	}
	if _, err := ParseAction("PUSH"); err == nil {
		t.Error("PUSH is an action")
	}
}

func TestTokenKeyRotation(t *testing.T) {
	k := NewTokenKeys(1, pattern(1))
	old := mint(t, k, testToken())
	if err := k.Use(2); err == nil {
		t.Error("used a key that is not there")
	}
	if err := k.Add(2, pattern(2)); err != nil {
		t.Fatal(err)
	}
	if err := k.Add(2, pattern(2)); err != nil {
		t.Errorf("the same key again: %v", err)
	}
	if err := k.Add(2, pattern(3)); err == nil {
		t.Error("an ID got another key")
	}
	if got := mint(t, k, testToken()); got != old {
		t.Error("an added key signs at once")
	}
	if err := k.Use(2); err != nil {
		t.Fatal(err)
	}
	young := mint(t, k, testToken())
	for _, text := range []string{old, young} {
		if _, err := k.Verify(tokenNow, text, ActionPush, "live/alice"); err != nil {
			t.Errorf("during the change: %v", err)
		}
	}
	if err := k.Remove(2); err == nil {
		t.Error("the key that signs was removed")
	}
	if err := k.Remove(1); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Verify(tokenNow, old, ActionPush, "live/alice"); !errors.Is(err, ErrTokenForged) {
		t.Errorf("after the change the old token gives %v", err)
	}
	for id := uint32(10); id < 10+MaxTokenKeys-1; id++ {
		if err := k.Add(id, pattern(byte(id))); err != nil {
			t.Fatal(err)
		}
	}
	if err := k.Add(99, pattern(99)); err == nil {
		t.Error("the set has no limit")
	}
}

func TestValidStream(t *testing.T) {
	for _, good := range []string{"live/a", "live/A-z_0.9", "live/..", "live/" + strings.Repeat("x", 128)} {
		if err := ValidStream(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "live", "live/", "Live/a", "a", "/live/a", "live/a/b", "live/a b", "live/ä", "live/a\x00", "live/a?", "live/a#",
		"live/%61", "live/" + strings.Repeat("x", 129),
	} {
		if err := ValidStream(bad); !errors.Is(err, ErrStreamName) {
			t.Errorf("%q: %v, want ErrStreamName", bad, err)
		}
	}
}

// FuzzTokenVerify reads arbitrary text, and then the same bytes as if they had been signed, so that the fields are reached too.
// What is accepted is exactly what Mint writes.
func FuzzTokenVerify(f *testing.F) {
	k := NewTokenKeys(3, pattern(1))
	text := mint(f, k, testToken())
	f.Add(text, uint8(ActionPush), "live/alice")
	f.Add(text[:len(text)-43], uint8(ActionPush), "live/alice")
	f.Add(text[:30], uint8(ActionPlay), "")
	f.Add("", uint8(0), "live/alice")
	f.Fuzz(func(t *testing.T, text string, action uint8, stream string) {
		check := func(text string) {
			token, err := k.Verify(tokenNow, text, Action(action), stream)
			if err != nil {
				return
			}
			if again, err := k.Mint(token); err != nil || again != text {
				t.Errorf("%q was accepted, but Mint writes %q, %v", text, again, err)
			}
		}
		check(text)
		if b, err := decodeBase64(text); err == nil && len(b) >= 6 {
			copy(b[2:], []byte{0, 0, 0, 3}) // the key that is there
			check(base64.RawURLEncoding.EncodeToString(k.sign(b, pattern(1))))
		}
	})
}
