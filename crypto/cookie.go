package crypto

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"net/netip"
	"time"
)

// CookieSize is the size of an address cookie in bytes.
const CookieSize = 16

// cookieStep is how often cookies change. One is good in its own step and the following one, so it lives 30 to 60 s.
const cookieStep = 30 * time.Second

const cookieLabel = "duet cookie v1"

// CookieJar makes and checks address cookies: proof that a client receives at the address that it sends from. It remembers
// nothing per client. It belongs to one goroutine; jars with the same secret accept each other's cookies.
type CookieJar struct {
	mac hash.Hash // keyed once and reset, so that a flood costs no allocation
	sum [sha256.Size]byte
	in  [len(cookieLabel) + 8 + 16 + 2 + 8]byte
}

// NewCookieJar returns a jar. The secret may be new with each start of a relay: clients then ask again.
func NewCookieJar(secret [32]byte) *CookieJar {
	j := &CookieJar{mac: hmac.New(sha256.New, secret[:])}
	copy(j.in[:], cookieLabel)
	return j
}

// Make returns the cookie of a client at addr. It is never all zeros, which on the wire means that there is none. An IPv4
// address gives the same cookie in its IPv6 form, which is how a dual-stack socket reports it.
func (j *CookieJar) Make(now time.Time, addr netip.AddrPort, clientID uint64) [CookieSize]byte {
	return j.at(cookieTime(now), addr, clientID)
}

// Valid reports whether Make returned the cookie for the same client at most two steps before now.
func (j *CookieJar) Valid(now time.Time, addr netip.AddrPort, clientID uint64, cookie [CookieSize]byte) bool {
	step := cookieTime(now)
	present, before := j.at(step, addr, clientID), j.at(step-1, addr, clientID)
	return hmac.Equal(present[:], cookie[:]) || hmac.Equal(before[:], cookie[:])
}

// Format prints [redacted].
func (j CookieJar) Format(f fmt.State, _ rune) { redact(f) }

// cookieTime numbers the steps. A time before 1970 counts as 1970: its cookies are good for nothing later.
func cookieTime(now time.Time) uint64 {
	return uint64(max(now.Unix(), 0)) / uint64(cookieStep/time.Second)
}

func (j *CookieJar) at(step uint64, addr netip.AddrPort, clientID uint64) (cookie [CookieSize]byte) {
	b := j.in[:len(cookieLabel)]
	b = binary.BigEndian.AppendUint64(b, step)
	ip := addr.Addr().Unmap().As16()
	b = append(b, ip[:]...)
	b = binary.BigEndian.AppendUint16(b, addr.Port())
	b = binary.BigEndian.AppendUint64(b, clientID)
	j.mac.Reset()
	_, _ = j.mac.Write(b) // a hash never fails
	copy(cookie[:], j.mac.Sum(j.sum[:0]))
	if cookie == [CookieSize]byte{} {
		cookie[CookieSize-1] = 1
	}
	return cookie
}
