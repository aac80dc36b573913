package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"

	"duet/signaling/desk"
)

// Scope is what an API key may do.
type Scope string

// The scopes of API keys.
const (
	ScopeTokens Scope = "tokens" // user tokens and links
	ScopeURLs   Scope = "urls"   // push and play URLs
	ScopeCalls  Scope = "calls"  // see calls, rooms and lines, end calls
	ScopeAudit  Scope = "audit"  // read the log
	ScopeAdmin  Scope = "admin"  // everything
)

// Scopes lists them.
func Scopes() []Scope { return []Scope{ScopeTokens, ScopeURLs, ScopeCalls, ScopeAudit, ScopeAdmin} }

// NewSecret returns 128 random bits as text, and the hash that is kept of them. They need no slow hash: nobody guesses them.
func NewSecret() (secret, hash string) {
	secret = rand.Text()
	return secret, HashSecret(secret)
}

// HashSecret is hex SHA-256.
func HashSecret(secret string) string {
	h := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(h[:])
}

// keyPrefix makes an API key known for what it is, to people and to scanners for leaked secrets.
const keyPrefix = "duet_"

// NewKey returns the text of an API key, duet_ID_SECRET, and the hash to keep.
func NewKey(id string) (text, hash string) {
	secret, hash := NewSecret()
	return keyPrefix + id + "_" + secret, hash
}

// KeyID is which key a text claims to be; false if it is no API key at all.
func KeyID(text string) (id string, ok bool) {
	rest, ok := strings.CutPrefix(text, keyPrefix)
	i := strings.LastIndexByte(rest, '_')
	if !ok || i < 0 {
		return "", false
	}
	return rest[:i], true
}

// CheckKey reports whether a text is a key, in constant time.
func CheckKey(k *desk.Key, text string) bool {
	if k == nil {
		return false
	}
	hash := HashSecret(text[strings.LastIndexByte(text, '_')+1:])
	return subtle.ConstantTimeCompare([]byte(hash), []byte(k.Hash)) == 1
}

// Allows reports whether a key has a scope.
func Allows(k *desk.Key, s Scope) bool {
	return slices.Contains(k.Scopes, string(s)) || slices.Contains(k.Scopes, string(ScopeAdmin))
}
