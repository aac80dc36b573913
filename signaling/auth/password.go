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

	// MinPassword is how many bytes a password has at least.
	MinPassword = 8
	// MaxPassword is how many at most.
	MaxPassword = 256

	maxMemoryKiB = 1 << 20 // that a kept hash may ask for: beyond it is no hash of ours
	maxTime      = 64
)

// HashPassword returns the text to keep, in the form that argon2's own tools write (a PHC string): $argon2id$v=19$m=…,t=…,p=…$SALT$HASH.
func HashPassword(password string, c Cost) string {
	var salt [saltSize]byte
	_, _ = rand.Read(salt[:]) // never fails
	hash := argon2.IDKey([]byte(password), salt[:], c.Time, c.MemoryKiB, c.Threads, hashSize)
	return format(c, salt[:], hash)
}

// CheckPassword reports whether a password is the one of which text was kept. With an empty text it takes as long and says no, so that who
// asks can't tell users apart from others.
func CheckPassword(text, password string, usual Cost) bool {
	known := text != ""
	if !known {
		text = format(usual, make([]byte, saltSize), make([]byte, hashSize))
	}
	c, salt, want, ok := parse(text)
	if !ok || len(password) > MaxPassword {
		return false
	}
	got := argon2.IDKey([]byte(password), salt, c.Time, c.MemoryKiB, c.Threads, hashSize)
	return subtle.ConstantTimeCompare(got, want) == 1 && known
}

// NeedsRehash reports whether a text was made at another cost than is usual now, so that it should be made anew when the password is next at
// hand.
func NeedsRehash(text string, usual Cost) bool {
	c, _, _, ok := parse(text)
	return !ok || c != usual
}

func format(c Cost, salt, hash []byte) string {
	b := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, c.MemoryKiB, c.Time, c.Threads, b.EncodeToString(salt), b.EncodeToString(hash))
}

// parse reads what format wrote, and nothing else: each hash has one text.
func parse(text string) (c Cost, salt, hash []byte, ok bool) {
	parts := strings.Split(text, "$")
	if len(parts) != 6 {
		return Cost{}, nil, nil, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &c.MemoryKiB, &c.Time, &c.Threads); n != 3 || err != nil {
		return Cost{}, nil, nil, false
	}
	if c.Time == 0 || c.Time > maxTime || c.Threads == 0 || c.MemoryKiB > maxMemoryKiB {
		return Cost{}, nil, nil, false
	}
	salt, err := base64.RawStdEncoding.DecodeString(parts[4])
	if err != nil || len(salt) != saltSize {
		return Cost{}, nil, nil, false
	}
	hash, err = base64.RawStdEncoding.DecodeString(parts[5])
	if err != nil || len(hash) != hashSize || format(c, salt, hash) != text {
		return Cost{}, nil, nil, false
	}
	return c, salt, hash, true
}
