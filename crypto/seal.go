package crypto

import "fmt"

// MaxPacketsPerPhase is after how many packets an endpoint has changed keys at the latest. It is far below what either AEAD
// bears (RFC 9001 section 6.6 allows 2^23 for AES-GCM); when to begin is the transport's decision, by Packets and by time.
const MaxPacketsPerPhase = 1 << 22

// Sealer protects the packets of one direction. It belongs to one goroutine and allocates nothing per packet.
type Sealer struct {
	suite   Suite
	secret  Secret // of the present phase
	key     trafficKey
	phase   uint8
	packets uint64
	last    uint64 // last packet number sealed, if any
	any     bool
	nonce   [ivSize]byte
}

// NewSealer begins with key phase 0. The suite is the handshake's; an unknown one panics.
func NewSealer(suite Suite, secret Secret) *Sealer {
	return &Sealer{suite: suite, secret: secret, key: newTrafficKey(suite, &secret)}
}

// Seal appends the encrypted plaintext and its tag (TagSize bytes) to dst and returns the whole. header is authenticated but
// not written; its phase bit must be that of Phase. To seal in place dst ends exactly where plaintext begins, with room for
// the tag behind it: dst = plaintext[:0], or the header's bytes with the plaintext following them in the same array. Any
// other overlap panics.
//
// Packet numbers must rise from call to call, over changes of keys too. One that does not would use a nonce twice, which
// gives away plaintext and key, so Seal panics.
func (s *Sealer) Seal(dst, header, plaintext []byte, pn uint64) []byte {
	if s.any && pn <= s.last {
		panic(fmt.Sprintf("crypto: packet number %d sealed after %d", pn, s.last))
	}
	s.last, s.any = pn, true
	s.packets++
	s.key.nonce(&s.nonce, pn)
	return s.key.aead.Seal(dst, s.nonce[:], plaintext, header)
}

// Phase returns the key phase bit, 0 or 1, for the header of the next packet.
func (s *Sealer) Phase() uint8 { return s.phase }

// Packets returns how many packets have been sealed in the present phase.
func (s *Sealer) Packets() uint64 { return s.packets }

// Next goes on to the next key phase and forgets the present key. The caller has had an acknowledgement of a packet of the
// present phase; without one the peer might not be able to follow.
func (s *Sealer) Next() {
	s.secret = nextSecret(&s.secret)
	s.key = newTrafficKey(s.suite, &s.secret)
	s.phase ^= 1
	s.packets = 0
}

// Format prints [redacted].
func (s Sealer) Format(f fmt.State, _ rune) { redact(f) }
