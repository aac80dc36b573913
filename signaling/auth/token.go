package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"duet/signaling/desk"
)

const (
	issuer   = "duet"
	audience = "duet"
	leeway   = 5 * time.Second

	// DefaultTTL is how long a user token is valid unless it says otherwise.
	DefaultTTL = 15 * time.Minute
	// MaxTTL is how long one may be.
	MaxTTL = 24 * time.Hour

	maxToken = 8 << 10
)

// Claims are what a user token says.
type Claims struct {
	User     string
	Name     string
	Roles    []desk.Role
	Priority int      // in a queue
	Skills   []string // that the user needs of an agent
	Expires  time.Time
}

// payload is the token's JSON.
type payload struct {
	jwt.RegisteredClaims
	Name     string      `json:"name,omitempty"`
	Roles    []desk.Role `json:"roles"`
	Priority int         `json:"priority,omitempty"`
	Skills   []string    `json:"skills,omitempty"`
}

// Tokens signs and verifies user tokens.
type Tokens struct {
	key   ed25519.PrivateKey
	id    string
	known map[string]ed25519.PublicKey // by key ID: those that verify
}

// NewTokens makes keys of seeds of ed25519.SeedSize bytes. The first signs, all verify: to change keys, put the new one first and leave the old one
// until its tokens have expired.
func NewTokens(seeds ...[]byte) (*Tokens, error) {
	t := &Tokens{known: make(map[string]ed25519.PublicKey)}
	for i, seed := range seeds {
		if len(seed) != ed25519.SeedSize {
			return nil, fmt.Errorf("auth: a signing key has %d bytes, not %d", ed25519.SeedSize, len(seed))
		}
		key := ed25519.NewKeyFromSeed(seed)
		public := ed25519.PublicKey(key[ed25519.SeedSize:])
		hash := sha256.Sum256(public)
		id := hex.EncodeToString(hash[:8])
		t.known[id] = public
		if i == 0 {
			t.key, t.id = key, id
		}
	}
	if t.key == nil {
		return nil, errors.New("auth: there is no signing key")
	}
	return t, nil
}

// Derive makes another secret of the key, for a purpose of its own: the same on every server that has the key.
func (t *Tokens) Derive(purpose string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, t.key.Seed())
	_, _ = io.WriteString(mac, "duet "+purpose) // a hash never fails
	return [sha256.Size]byte(mac.Sum(nil))
}

// Sign makes a token. now and c.Expires say how long it is valid; it is at most MaxTTL. A refusal is a *desk.Error.
func (t *Tokens) Sign(now time.Time, c Claims) (string, error) {
	if ttl := c.Expires.Sub(now); ttl <= 0 || ttl > MaxTTL {
		return "", &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a token is valid for at most %v", MaxTTL)}
	}
	if len(c.Name) > desk.MaxName || len(c.Skills) > desk.MaxSkills {
		return "", &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a user has a name of at most %d bytes and at most %d skills", desk.MaxName, desk.MaxSkills)}
	}
	if !desk.ValidID(c.User) {
		return "", &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a user's ID has 1 to %d letters, digits, dots, underscores and hyphens, and begins with a letter or digit", desk.MaxID)}
	}
	if len(c.Roles) == 0 {
		return "", &desk.Error{Code: desk.Malformed, Text: "a token has at least one role"}
	}
	for _, r := range c.Roles {
		if !slices.Contains(desk.Roles(), r) {
			return "", &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("%.20q is not a role: it is caller, agent, supervisor, auditor or admin", r)}
		}
	}
	p := payload{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: issuer, Subject: c.User, Audience: jwt.ClaimStrings{audience}, ID: rand.Text(), IssuedAt: jwt.NewNumericDate(now),
			ExpiresAt: jwt.NewNumericDate(c.Expires),
		},
		Name: c.Name, Roles: c.Roles, Priority: c.Priority, Skills: c.Skills,
	}
	token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, p)
	token.Header["kid"] = t.id
	text, err := token.SignedString(t.key)
	if err == nil && len(text) > maxToken { // Verify would not look at it
		return "", &desk.Error{Code: desk.Malformed, Text: "the names of the skills are too long"}
	}
	return text, err
}

// errDenied tells nothing of what is wrong.
var errDenied = &desk.Error{Code: desk.Denied, Text: "the token is missing, too old, or not valid: sign in again"}

// Verify checks a token. The error is the same whatever is wrong.
func (t *Tokens) Verify(now time.Time, text string) (Claims, error) {
	if len(text) > maxToken {
		return Claims{}, errDenied
	}
	var p payload
	_, err := jwt.ParseWithClaims(text, &p, func(token *jwt.Token) (any, error) {
		id, _ := token.Header["kid"].(string)
		key, ok := t.known[id]
		if !ok {
			return nil, errDenied
		}
		return key, nil
	}, jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}), jwt.WithIssuer(issuer), jwt.WithAudience(audience), jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(), jwt.WithLeeway(leeway), jwt.WithTimeFunc(func() time.Time { return now }))
	if err != nil || p.ID == "" || p.IssuedAt == nil || len(p.Roles) == 0 || !desk.ValidID(p.Subject) || p.ExpiresAt.Sub(p.IssuedAt.Time) > MaxTTL {
		return Claims{}, errDenied
	}
	return Claims{User: p.Subject, Name: p.Name, Roles: p.Roles, Priority: p.Priority, Skills: p.Skills, Expires: p.ExpiresAt.Time}, nil
}
