package crypto

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/flynn/noise"
	"golang.org/x/crypto/chacha20poly1305"
)

// Suite names the algorithms of a session: its value is the suite byte on the wire.
type Suite uint8

// The suites of wire version 1.
const (
	SuiteAESGCM     Suite = 1 // Noise_NK_25519_AESGCM_SHA256, data under AES-128-GCM
	SuiteChaChaPoly Suite = 2 // Noise_NK_25519_ChaChaPoly_SHA256, data under ChaCha20-Poly1305
)

// TagSize is what sealing adds to a packet, in every suite.
const TagSize = 16

const ivSize = 12

// Valid reports whether s is a suite that this package implements.
func (s Suite) Valid() bool { return s == SuiteAESGCM || s == SuiteChaChaPoly }

// String returns the name of the suite's Noise protocol.
func (s Suite) String() string {
	switch s {
	case SuiteAESGCM:
		return "Noise_NK_25519_AESGCM_SHA256"
	case SuiteChaChaPoly:
		return "Noise_NK_25519_ChaChaPoly_SHA256"
	}
	return fmt.Sprintf("suite(%d)", uint8(s))
}

// noise returns the primitives of the handshake. The suite is valid.
func (s Suite) noise() noise.CipherSuite {
	if s == SuiteChaChaPoly {
		return noise.NewCipherSuite(noise.DH25519, noise.CipherChaChaPoly, noise.HashSHA256)
	}
	return noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256)
}

// keySize is the length of a data key.
func (s Suite) keySize() int {
	if s == SuiteChaChaPoly {
		return chacha20poly1305.KeySize
	}
	return 16
}

// expand is HKDF-Expand-SHA-256. The lengths asked for are constants far below its limit, so an error is our own mistake.
func expand(s *Secret, label string, size int) []byte {
	out, err := hkdf.Expand(sha256.New, s[:], label, size)
	if err != nil {
		panic("crypto: " + err.Error())
	}
	return out
}

// nextSecret returns the traffic secret of the phase after the one of s.
func nextSecret(s *Secret) Secret { return Secret(expand(s, "duet next", len(s))) }

// trafficKey protects the packets of one direction in one key phase. The zero value is no key.
type trafficKey struct {
	aead cipher.AEAD
	iv   [ivSize]byte
}

// newTrafficKey derives the key of one phase. An unknown suite is a broken invariant: the handshake has refused it before.
func newTrafficKey(suite Suite, s *Secret) trafficKey {
	if !suite.Valid() {
		panic("crypto: unknown " + suite.String())
	}
	key := expand(s, "duet key", suite.keySize())
	k := trafficKey{iv: [ivSize]byte(expand(s, "duet iv", ivSize))}
	var err error
	if suite == SuiteChaChaPoly {
		k.aead, err = chacha20poly1305.New(key)
	} else {
		var block cipher.Block
		if block, err = aes.NewCipher(key); err == nil {
			k.aead, err = cipher.NewGCM(block)
		}
	}
	if err != nil {
		panic("crypto: " + err.Error())
	}
	return k
}

// nonce writes the nonce of a packet number into n, which the caller keeps so that nothing is allocated per packet.
func (k *trafficKey) nonce(n *[ivSize]byte, pn uint64) {
	*n = k.iv
	tail := n[ivSize-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^pn)
}
