package crypto

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/flynn/noise"
	"golang.org/x/crypto/curve25519"
)

// Sizes of handshake messages, in bytes.
const (
	Message1Overhead = 48 // an ephemeral key and a tag
	Message2Overhead = 48

	// MaxHandshakeMessage is the longest Noise message: a flight of three full datagrams.
	MaxHandshakeMessage = 3 * 1160
)

var (
	// ErrHandshake is returned for a handshake message that does not open, or that comes when none is awaited.
	ErrHandshake = errors.New("the handshake message does not open")
	// ErrMessageSize is returned for a payload too long for a handshake message.
	ErrMessageSize = errors.New("the handshake payload is too long")

	errSuite = errors.New("unknown cipher suite")
	errRand  = errors.New("the handshake needs a source of randomness")
)

const prologueLabel = "duet v1"

// Prologue appends what both sides bind into the handshake: changing version or suite on the way makes it fail.
func Prologue(dst []byte, version byte, suite Suite, clientID uint64) []byte {
	dst = append(dst, prologueLabel...)
	dst = append(dst, version, byte(suite))
	return binary.BigEndian.AppendUint64(dst, clientID)
}

// Initiator is the client's side of one handshake: Message1, then Finish. It belongs to one goroutine.
type Initiator struct {
	noise *noise.HandshakeState // nil when the handshake is over
}

// NewInitiator begins a handshake with the relay that has the private key of server. It reads the 32 bytes of the session's
// ephemeral key from rand, in Message1, and nothing else; so the same bytes give the same messages.
func NewInitiator(suite Suite, prologue []byte, server PublicKey, rand io.Reader) (*Initiator, error) {
	if err := server.check(); err != nil {
		return nil, err
	}
	hs, err := newNoise(suite, rand, noise.Config{Initiator: true, Prologue: prologue, PeerStatic: server[:]})
	if err != nil {
		return nil, err
	}
	return &Initiator{noise: hs}, nil
}

// Message1 appends the first message to dst: payload and Message1Overhead bytes. It is called once; repeating a datagram is
// sending the same message again. dst and payload do not overlap.
func (i *Initiator) Message1(dst, payload []byte) ([]byte, error) {
	if i.noise == nil {
		return nil, ErrHandshake
	}
	if len(payload) > MaxHandshakeMessage-Message1Overhead {
		return nil, ErrMessageSize
	}
	out, _, _, err := i.noise.WriteMessage(dst, payload)
	if err != nil {
		return nil, fmt.Errorf("writing the first handshake message: %w", err)
	}
	return out, nil
}

// Finish opens the second message, and returns its payload (new memory) and the first traffic secrets: send protects what
// the client sends. The error is ErrHandshake; after it the initiator is as before, so that a forged answer cannot spoil
// the genuine one. After success it is spent.
func (i *Initiator) Finish(message2 []byte) (payload []byte, send, recv Secret, err error) {
	if i.noise == nil || len(message2) < Message2Overhead || len(message2) > MaxHandshakeMessage {
		return nil, Secret{}, Secret{}, ErrHandshake
	}
	// ReadMessage takes its steps back when the payload fails to open, but not when the exchange of keys itself fails, as it
	// does with a point of low order. Such an answer is therefore turned away before it is mixed into anything.
	own := i.noise.LocalEphemeral()
	if len(own.Private) == 0 {
		return nil, Secret{}, Secret{}, ErrHandshake // no first message yet
	}
	if _, err := curve25519.X25519(own.Private, message2[:curve25519.PointSize]); err != nil {
		return nil, Secret{}, Secret{}, ErrHandshake
	}
	payload, toRelay, toClient, err := i.noise.ReadMessage(nil, message2)
	if err != nil {
		return nil, Secret{}, Secret{}, ErrHandshake
	}
	i.noise = nil // the ephemeral key is not needed any more
	return payload, toRelay.UnsafeKey(), toClient.UnsafeKey(), nil
}

// Format prints [redacted].
func (i Initiator) Format(f fmt.State, _ rune) { redact(f) }

// Responder is the relay's side of one handshake: Read, then Message2. It belongs to one goroutine.
type Responder struct {
	noise *noise.HandshakeState // nil when the handshake is over
	read  bool
}

// NewResponder awaits one first message. Like NewInitiator it reads 32 bytes from rand, in Message2. It does no public-key
// work; Read does one X25519 operation, Message2 two.
func NewResponder(suite Suite, prologue []byte, key *StaticKey, rand io.Reader) (*Responder, error) {
	hs, err := newNoise(suite, rand, noise.Config{
		Prologue:      prologue,
		StaticKeypair: noise.DHKey{Private: key.private[:], Public: key.public[:]},
	})
	if err != nil {
		return nil, err
	}
	return &Responder{noise: hs}, nil
}

// Read opens the first message and returns its payload (new memory). The error is ErrHandshake, and the responder is then
// spent: whoever sent this gets no answer.
func (r *Responder) Read(message1 []byte) (payload []byte, err error) {
	if r.noise == nil || r.read {
		return nil, ErrHandshake
	}
	if len(message1) >= Message1Overhead && len(message1) <= MaxHandshakeMessage {
		if payload, _, _, err = r.noise.ReadMessage(nil, message1); err == nil {
			r.read = true
			return payload, nil
		}
	}
	r.noise = nil
	return nil, ErrHandshake
}

// Message2 appends the second message to dst: payload and Message2Overhead bytes. It returns the first traffic secrets: send
// protects what the relay sends. The responder is then spent. dst and payload do not overlap.
//
// The first message can be replayed by anybody who saw it. Only a data packet that opens under recv shows that the client
// lives.
func (r *Responder) Message2(dst, payload []byte) (out []byte, send, recv Secret, err error) {
	if r.noise == nil || !r.read {
		return nil, Secret{}, Secret{}, ErrHandshake
	}
	if len(payload) > MaxHandshakeMessage-Message2Overhead {
		return nil, Secret{}, Secret{}, ErrMessageSize
	}
	out, toRelay, toClient, err := r.noise.WriteMessage(dst, payload)
	r.noise = nil
	if err != nil {
		return nil, Secret{}, Secret{}, fmt.Errorf("writing the second handshake message: %w", err)
	}
	return out, toClient.UnsafeKey(), toRelay.UnsafeKey(), nil
}

// Format prints [redacted].
func (r Responder) Format(f fmt.State, _ rune) { redact(f) }

// newNoise fills in what both sides share.
func newNoise(suite Suite, rand io.Reader, cfg noise.Config) (*noise.HandshakeState, error) {
	if !suite.Valid() {
		return nil, errSuite
	}
	if rand == nil {
		return nil, errRand // the library would draw randomness of its own
	}
	cfg.CipherSuite, cfg.Pattern, cfg.Random = suite.noise(), noise.HandshakeNK, rand
	hs, err := noise.NewHandshakeState(cfg)
	if err != nil {
		return nil, fmt.Errorf("beginning a handshake: %w", err)
	}
	return hs, nil
}
