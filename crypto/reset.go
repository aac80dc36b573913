package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// ResetSize is the size of a reset value in bytes.
const ResetSize = 16

const resetLabel = "duet reset v1"

// ResetValue returns what a relay shows to a client whose session it does not know any more. The client learns the value
// inside the handshake, so nobody else can end its session with it. The secret outlives the relay's process, and so the
// value does too (docs/wire.md section 3.1).
func ResetValue(secret [32]byte, sessionID uint64) (value [ResetSize]byte) {
	mac := hmac.New(sha256.New, secret[:])
	in := append(make([]byte, 0, len(resetLabel)+8), resetLabel...)
	_, _ = mac.Write(binary.BigEndian.AppendUint64(in, sessionID)) // a hash never fails
	copy(value[:], mac.Sum(nil))
	return value
}
