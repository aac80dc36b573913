package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Action is what a token allows. One token allows one action: who may play a stream cannot push it.
type Action uint8

// The actions. Those of the gateways open nothing over UDP, because their tokens travel in a query.
const (
	ActionPush     Action = 1
	ActionPlay     Action = 2
	ActionRTMPPush Action = 3
	ActionRTMPPlay Action = 4
	ActionFLV      Action = 5
)

// String returns the action's name as it is written on the command line.
func (a Action) String() string {
	switch a {
	case ActionPush:
		return "push"
	case ActionPlay:
		return "play"
	case ActionRTMPPush:
		return "rtmp-push"
	case ActionRTMPPlay:
		return "rtmp-play"
	case ActionFLV:
		return "flv"
	}
	return fmt.Sprintf("action(%d)", uint8(a))
}

// ParseAction reads what String wrote.
func ParseAction(name string) (Action, error) {
	for a := ActionPush; a <= ActionFLV; a++ {
		if a.String() == name {
			return a, nil
		}
	}
	return 0, fmt.Errorf("unknown action %q: it is push, play, rtmp-push, rtmp-play or flv", name)
}

// Errors of Verify, in the order in which they are looked for. Their texts are for the person who used the token.
var (
	ErrTokenMalformed = errors.New("the token cannot be read: copy the whole URL again")
	ErrTokenForged    = errors.New("the token was not made with this server's keys: ask the server for a new URL")
	ErrTokenExpired   = errors.New("the token has expired: ask the server for a new URL")
	ErrTokenAction    = errors.New("the token is for another action: ask for a URL of the right kind (a play URL cannot push)")
	ErrTokenStream    = errors.New("the token is for another stream: use it with the stream of its own URL")
)

// Limits of tokens.
const (
	// MaxTokenText is the length of the longest token. A verifier hashes nothing longer; it fits with the longest stream
	// name into a first handshake message of one datagram.
	MaxTokenText = ((minToken+maxStream+2*maxTokenField)*8 + 5) / 6 // base64 has 6 bits a character
	// MaxTokenKeys is how many keys a set holds: the present one and those that are still to run out.
	MaxTokenKeys = 16

	maxTokenField = 255               // call and party: one byte says how long
	tokenFixed    = 1 + 1 + 4 + 8 + 8 // version to expiry
	minToken      = tokenFixed + 3 + sha256.Size
	maxExpiry     = 253_402_300_799 // the last second of the year 9999; later ones overflow elsewhere
	tokenVersion  = 1
	tokenLabel    = "duet token v1"
)

// Token is what a token says.
type Token struct {
	Action Action
	KeyID  uint32    // which key signed it; set by Mint
	Epoch  uint64    // of the call: a relay refuses tokens older than its call's epoch
	Expiry time.Time // whole seconds; from then on it is not valid
	Stream string    // as in ValidStream
	Call   string    // may be empty; at most 255 bytes
	Party  string    // may be empty; at most 255 bytes
}

// TokenKeys is a set of HMAC keys, each with an ID. One of them signs, all of them verify. Mint and Verify may be called by
// several goroutines at once while nobody calls Add, Use or Remove.
type TokenKeys struct {
	keys    map[uint32][32]byte
	current uint32
}

// NewTokenKeys returns a set of one key, which signs.
func NewTokenKeys(id uint32, key [32]byte) *TokenKeys {
	return &TokenKeys{keys: map[uint32][32]byte{id: key}, current: id}
}

// Add puts in a key that verifies. To change keys: Add the new one at every verifier, Use it at the minter, and Remove the
// old one when its last token has expired. An ID never changes its key.
func (k *TokenKeys) Add(id uint32, key [32]byte) error {
	if old, ok := k.keys[id]; ok {
		if old != key {
			return fmt.Errorf("token key %d is another key already: give the new one a new ID", id)
		}
		return nil
	}
	if len(k.keys) >= MaxTokenKeys {
		return fmt.Errorf("there are %d token keys already: remove those whose tokens have expired", MaxTokenKeys)
	}
	k.keys[id] = key
	return nil
}

// Use makes a key of the set the one that signs.
func (k *TokenKeys) Use(id uint32) error {
	if _, ok := k.keys[id]; !ok {
		return fmt.Errorf("there is no token key %d", id)
	}
	k.current = id
	return nil
}

// Current is the ID of the key that signs.
func (k *TokenKeys) Current() uint32 { return k.current }

// Remove takes a key out: its tokens are forged from now on. The one that signs stays.
func (k *TokenKeys) Remove(id uint32) error {
	if id == k.current {
		return fmt.Errorf("token key %d still signs: use another one first", id)
	}
	delete(k.keys, id)
	return nil
}

// Format prints [redacted].
func (k TokenKeys) Format(f fmt.State, _ rune) { redact(f) }

// Mint signs t with the current key and returns its text. t.KeyID is ignored and parts of a second are cut off the expiry.
// An error says which field cannot be written.
func (k *TokenKeys) Mint(t Token) (string, error) {
	if t.Action < ActionPush || t.Action > ActionFLV {
		return "", fmt.Errorf("a token needs an action, not %v", t.Action)
	}
	if err := ValidStream(t.Stream); err != nil {
		return "", err
	}
	if len(t.Call) > maxTokenField || len(t.Party) > maxTokenField {
		return "", fmt.Errorf("call and party of a token have at most %d bytes", maxTokenField)
	}
	expiry := t.Expiry.Unix()
	if expiry < 0 || expiry > maxExpiry {
		return "", errors.New("a token needs an expiry between the years 1970 and 9999")
	}
	b := make([]byte, 0, minToken+len(t.Stream)+len(t.Call)+len(t.Party))
	b = append(b, tokenVersion, byte(t.Action))
	b = binary.BigEndian.AppendUint32(b, k.current)
	b = binary.BigEndian.AppendUint64(b, t.Epoch)
	b = binary.BigEndian.AppendUint64(b, uint64(expiry))
	for _, s := range []string{t.Stream, t.Call, t.Party} {
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	return base64.RawURLEncoding.EncodeToString(k.sign(b, k.keys[k.current])), nil
}

// Verify reads a token and checks that it allows want on stream now. The error is one of the sentinels above and repeats
// nothing of the text; the token is then zero.
func (k *TokenKeys) Verify(now time.Time, text string, want Action, stream string) (Token, error) {
	if len(text) > MaxTokenText {
		return Token{}, ErrTokenMalformed
	}
	b, err := decodeBase64(text)
	if err != nil || len(b) < minToken {
		return Token{}, ErrTokenMalformed
	}
	body := b[:len(b)-sha256.Size]
	key, ok := k.keys[binary.BigEndian.Uint32(body[2:])] // the one field that has to be read before the HMAC is checked
	if !ok || !hmac.Equal(k.sign(body, key), b) {
		return Token{}, ErrTokenForged
	}
	t, ok := parseToken(body)
	switch {
	case !ok:
		return Token{}, ErrTokenMalformed
	case !now.Before(t.Expiry):
		return Token{}, ErrTokenExpired
	case t.Action != want:
		return Token{}, ErrTokenAction
	case t.Stream != stream:
		return Token{}, ErrTokenStream
	}
	return t, nil
}

// sign returns body followed by its HMAC, in new memory.
func (k *TokenKeys) sign(body []byte, key [32]byte) []byte {
	mac := hmac.New(sha256.New, key[:])
	_, _ = mac.Write([]byte(tokenLabel)) // a hash never fails
	_, _ = mac.Write(body)
	return mac.Sum(body[:len(body):len(body)])
}

// parseToken reads what stands before the HMAC, which is at least tokenFixed+3 bytes. It takes only what Mint writes.
func parseToken(b []byte) (t Token, ok bool) {
	expiry := binary.BigEndian.Uint64(b[14:])
	if b[0] != tokenVersion || expiry > maxExpiry {
		return Token{}, false
	}
	t.Action = Action(b[1])
	t.KeyID = binary.BigEndian.Uint32(b[2:])
	t.Epoch = binary.BigEndian.Uint64(b[6:])
	t.Expiry = time.Unix(int64(expiry), 0).UTC()
	b = b[tokenFixed:]
	for _, s := range []*string{&t.Stream, &t.Call, &t.Party} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return Token{}, false
		}
		*s, b = string(b[1:1+int(b[0])]), b[1+int(b[0]):]
	}
	known := t.Action >= ActionPush && t.Action <= ActionFLV
	return t, known && len(b) == 0 && ValidStream(t.Stream) == nil
}

const (
	streamPrefix  = "live/"
	maxStreamName = 128
	maxStream     = len(streamPrefix) + maxStreamName
)

// ErrStreamName is returned for a stream name that breaks the rule, which its text tells.
var ErrStreamName = errors.New(`not a stream name: it is "live/" and 1 to 128 letters, digits, dots, underscores or hyphens`)

// ValidStream returns nil for a stream name: "live/" and 1 to 128 of A–Z a–z 0–9 . _ -, else ErrStreamName.
func ValidStream(name string) error {
	rest, ok := strings.CutPrefix(name, streamPrefix)
	if !ok || rest == "" || len(rest) > maxStreamName {
		return ErrStreamName
	}
	for i := range len(rest) {
		if !alphanumeric(rest[i]) && !strings.ContainsRune("._-", rune(rest[i])) {
			return ErrStreamName
		}
	}
	return nil
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}
