package crypto

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/curve25519"
)

// redacted is what every type that holds key material prints as, through every verb of fmt.
//
// fmt cannot call the methods of a value in an unexported field. A struct that keeps a [Secret] and may be printed needs
// a Format of its own; those of this package have one.
const redacted = "[redacted]"

func redact(f fmt.State) { _, _ = io.WriteString(f, redacted) }

// ErrPublicKey is returned for a public key that is not one: wrong length, wrong alphabet, or a point with which every
// exchange would give the same result.
var ErrPublicKey = errors.New("not an X25519 public key")

// PublicKey is a relay's static X25519 public key. It is not secret, but it is kept out of logs as all keys are: its text is
// had from Text only.
type PublicKey [32]byte

// Text returns the key in base64url without padding, 43 characters.
func (k PublicKey) Text() string { return base64.RawURLEncoding.EncodeToString(k[:]) }

// ParsePublicKey reads what Text wrote. The error is ErrPublicKey and repeats nothing of the text.
func ParsePublicKey(text string) (PublicKey, error) {
	raw, err := decodeBase64(text)
	if err != nil || len(raw) != len(PublicKey{}) {
		return PublicKey{}, ErrPublicKey
	}
	k := PublicKey(raw)
	if err := k.check(); err != nil {
		return PublicKey{}, err
	}
	return k, nil
}

// check refuses points of low order, with which a handshake would fail only later and with a less helpful message. Whether
// the shared result is zero does not depend on the scalar, so any will do.
func (k PublicKey) check() error {
	var scalar [32]byte
	if _, err := curve25519.X25519(scalar[:], k[:]); err != nil {
		return ErrPublicKey
	}
	return nil
}

// Format prints [redacted].
func (k PublicKey) Format(f fmt.State, _ rune) { redact(f) }

// MarshalText returns [redacted], for encoders that would else print the bytes.
func (k PublicKey) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// StaticKey is a relay's long-lived private key. It may be used by several goroutines at once.
type StaticKey struct {
	private [32]byte
	public  PublicKey
}

// NewStaticKey makes the key from a seed of 32 random bytes, which is all that has to be stored. A seed of zeros is refused:
// it is a file that was never written.
func NewStaticKey(seed [32]byte) (*StaticKey, error) {
	if seed == [32]byte{} {
		return nil, errors.New("the seed of the static key is all zeros: it needs 32 random bytes")
	}
	public, err := curve25519.X25519(seed[:], curve25519.Basepoint)
	if err != nil {
		return nil, fmt.Errorf("making the static key: %w", err)
	}
	return &StaticKey{private: seed, public: PublicKey(public)}, nil
}

// Public returns the key that goes into URLs.
func (k *StaticKey) Public() PublicKey { return k.public }

// Format prints [redacted].
func (k StaticKey) Format(f fmt.State, _ rune) { redact(f) }

// Secret is a traffic secret: what a Sealer or an Opener derives its keys from.
type Secret [32]byte

// Format prints [redacted].
func (s Secret) Format(f fmt.State, _ rune) { redact(f) }

// MarshalText returns [redacted], for encoders that would else print the bytes.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// decodeBase64 reads base64url without padding in its one canonical form. The standard decoder skips line breaks, which would
// give one value many texts.
func decodeBase64(text string) ([]byte, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("line break in base64")
	}
	return base64.RawURLEncoding.Strict().DecodeString(text)
}
