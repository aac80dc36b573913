package auth

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"

	"golang.org/x/crypto/argon2"
)

// Cost is what a password's hash costs to compute.
type Cost struct {
	Time, MemoryKiB uint32
	Threads         uint8
}

// DefaultCost is OWASP's first choice for argon2id.
func DefaultCost() Cost { return Cost{Time: 1, MemoryKiB: 47_104, Threads: 1} }

const (
	saltSize = 16
	hashSize = 32

	// MinPassword and MaxPassword are the lengths of a password in bytes.
	MinPassword = 8
	MaxPassword = 256
)

// HashPassword returns the text to keep, in the usual form: $argon2id$v=19$m=…,t=…,p=…$SALT$HASH.
func HashPassword(password string, c Cost) string {
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails
	hash := argon2.IDKey([]byte(password), salt[:], c.Time, c.MemoryKiB, c.Threads, hashSize)
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Time, c.Threads, b.EncodeToString(salt[:]), b.EncodeToString(hash))
}

// CheckPassword reports whether a password is the one of which text was kept. With an empty text it takes as long and says no, so that who
// asks can't tell users apart from others.
func CheckPassword(text, password string, usual Cost) bool {
	known := text != ""
	if !known {
		text = fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, usual.MemoryKiB, usual.Time, usual.Threads,
			strings.Repeat("A", 22), strings.Repeat("A", 43))
	}
	var version int
	var c Cost
	parts := strings.Split(text, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || len(password) > MaxPassword {
		return false
	}
	if n, err := fmt.Sscanf(parts[2], "v=%d", &version); n != 1 || err != nil || version != argon2.Version {
		return false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.MemoryKiB, &c.Time, &c.Threads); n != 3 || err != nil || c.Time == 0 || c.Threads == 0 {
		return false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil {
		return false
	}
	want, err := base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(want) != hashSize {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, c.Time, c.MemoryKiB, c.Threads, hashSize)
	return subtle.ConstantTimeCompare(got, want) == 1 && known
}
