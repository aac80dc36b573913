package auth_test

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"duet/signaling/auth"
	"duet/signaling/desk"
)

var now = time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)

func seed(n byte) []byte { return bytes.Repeat([]byte{n}, ed25519.SeedSize) }

func claims() auth.Claims {
	return auth.Claims{User: "anna", Name: "Anna", Roles: []desk.Role{desk.Agent}, Priority: 2, Expires: now.Add(time.Minute)}
}

func TestTokens(t *testing.T) {
	a, err := auth.NewTokens(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	text, err := a.Sign(now, claims())
	if err != nil {
		t.Fatal(err)
	}
	c, err := a.Verify(now, text)
	if err != nil || c.User != "anna" || c.Name != "Anna" || c.Priority != 2 || c.Roles[0] != desk.Agent || !c.Expires.Equal(now.Add(time.Minute)) {
		t.Errorf("got %+v, %v", c, err)
	}
	rotated, err := auth.NewTokens(seed(2), seed(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := rotated.Verify(now, text); err != nil {
		t.Errorf("after a change of keys: %v", err)
	}
	other, err := auth.NewTokens(seed(2))
	if err != nil {
		t.Fatal(err)
	}
	for what, check := range map[string]func() error{
		"too old":       func() error { _, err := a.Verify(now.Add(2*time.Minute), text); return err },
		"another's key": func() error { _, err := other.Verify(now, text); return err },
		"changed":       func() error { _, err := a.Verify(now, text[:len(text)-3]+"AAA"); return err },
		"too long":      func() error { _, err := a.Verify(now, text+strings.Repeat("A", 9000)); return err },
		"nothing":       func() error { _, err := a.Verify(now, ""); return err },
	} {
		if check() == nil {
			t.Errorf("%s: accepted", what)
		}
	}
}

// What a forger might try, each with the key's own ID.
func TestForgeries(t *testing.T) {
	a, err := auth.NewTokens(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	good, err := a.Sign(now, claims())
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, err := jwt.NewParser().ParseUnverified(good, jwt.MapClaims{})
	if err != nil {
		t.Fatal(err)
	}
	key := ed25519.NewKeyFromSeed(seed(1))
	forge := func(method jwt.SigningMethod, signer any, change func(jwt.MapClaims), header func(map[string]any)) string {
		c := jwt.MapClaims{}
		for k, v := range parsed.Claims.(jwt.MapClaims) {
			c[k] = v
		}
		if change != nil {
			change(c)
		}
		token := jwt.NewWithClaims(method, c)
		token.Header["kid"] = parsed.Header["kid"]
		if header != nil {
			header(token.Header)
		}
		text, err := token.SignedString(signer)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	without := func(field string) func(jwt.MapClaims) { return func(c jwt.MapClaims) { delete(c, field) } }
	with := func(field string, v any) func(jwt.MapClaims) { return func(c jwt.MapClaims) { c[field] = v } }
	if _, err := a.Verify(now, forge(jwt.SigningMethodEdDSA, key, nil, nil)); err != nil {
		t.Fatalf("the one that is right: %v", err)
	}
	for what, text := range map[string]string{
		"alg none":            forge(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, nil, nil),
		"HMAC by the public":  forge(jwt.SigningMethodHS256, []byte(key.Public().(ed25519.PublicKey)), nil, nil),
		"no kid":              forge(jwt.SigningMethodEdDSA, key, nil, func(h map[string]any) { delete(h, "kid") }),
		"another kid":         forge(jwt.SigningMethodEdDSA, key, nil, func(h map[string]any) { h["kid"] = "x" }),
		"no jti":              forge(jwt.SigningMethodEdDSA, key, without("jti"), nil),
		"no exp":              forge(jwt.SigningMethodEdDSA, key, without("exp"), nil),
		"no iat":              forge(jwt.SigningMethodEdDSA, key, without("iat"), nil),
		"no sub":              forge(jwt.SigningMethodEdDSA, key, without("sub"), nil),
		"no roles":            forge(jwt.SigningMethodEdDSA, key, without("roles"), nil),
		"another iss":         forge(jwt.SigningMethodEdDSA, key, with("iss", "else"), nil),
		"another aud":         forge(jwt.SigningMethodEdDSA, key, with("aud", "else"), nil),
		"valid for too long":  forge(jwt.SigningMethodEdDSA, key, with("exp", now.Add(48*time.Hour).Unix()), nil),
		"from the future":     forge(jwt.SigningMethodEdDSA, key, with("iat", now.Add(time.Hour).Unix()), nil),
		"the server's own ID": forge(jwt.SigningMethodEdDSA, key, with("sub", "system"), nil),
		"a key's ID":          forge(jwt.SigningMethodEdDSA, key, with("sub", "key:x"), nil),
	} {
		if c, err := a.Verify(now, text); err == nil {
			t.Errorf("%s: accepted as %+v", what, c)
		}
	}
}

func TestPasswords(t *testing.T) {
	cost := auth.Cost{Time: 1, MemoryKiB: 64, Threads: 1}
	text := auth.HashPassword("correct horse", cost)
	if !auth.CheckPassword(text, "correct horse", cost) || auth.CheckPassword(text, "wrong", cost) || auth.CheckPassword("", "correct horse", cost) {
		t.Error("passwords are mixed up")
	}
	if auth.HashPassword("correct horse", cost) == text {
		t.Error("no salt")
	}
	if auth.NeedsRehash(text, cost) || !auth.NeedsRehash(text, auth.DefaultCost()) || !auth.NeedsRehash("", cost) {
		t.Error("which hashes are to be made anew is mixed up")
	}
	for _, bad := range []string{"x", "$argon2id$v=1$m=64,t=1,p=1$AAAA$AAAA", "$argon2id$v=19$m=64,t=0,p=1$AAAA$AAAA", strings.Replace(text, "argon2id", "argon2i", 1),
		strings.Replace(text, "m=64", "m=4294967295", 1), strings.Replace(text, "t=1", "t=01", 1), strings.Replace(text, "p=1", "p=1x", 1), text + "$"} {
		if auth.CheckPassword(bad, "correct horse", cost) {
			t.Errorf("%q let somebody in", bad)
		}
	}
}

// What Sign makes Verify takes: limits are the same on both sides.
func TestLongTokens(t *testing.T) {
	a, err := auth.NewTokens(seed(1))
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < 1<<15; n *= 2 {
		c := claims()
		c.Skills = []string{strings.Repeat("s", n)}
		text, err := a.Sign(now, c)
		if err != nil {
			continue
		}
		if _, err := a.Verify(now, text); err != nil {
			t.Errorf("a skill of %d bytes: signed, but %v", n, err)
		}
	}
	c := claims()
	c.Name = strings.Repeat("n", desk.MaxName+1)
	if _, err := a.Sign(now, c); err == nil || !strings.Contains(err.Error(), "name") {
		t.Errorf("a long name: %v", err)
	}
}

// FuzzKey: what NewKey makes of an ID gives the ID back, and no text is more than refused.
func FuzzKey(f *testing.F) {
	for _, text := range []string{"", "duet_", "duet__", "duet_a_b", "duet_a_b_c", "a.b-c_d"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		auth.CheckKey(&desk.Key{}, text)
		if id, ok := auth.KeyID(text); ok && !strings.HasPrefix(text, "duet_"+id+"_") {
			t.Errorf("%q is of %q", text, id)
		}
		if !desk.ValidID(text) {
			return
		}
		key, hash := auth.NewKey(text)
		if id, ok := auth.KeyID(key); !ok || id != text || !auth.CheckKey(&desk.Key{ID: id, Hash: hash}, key) {
			t.Errorf("a key of %q is of %q", text, id)
		}
	})
}

// FuzzHashText: no text is taken that HashPassword could not have made; nothing is computed of the others.
func FuzzHashText(f *testing.F) {
	cost := auth.Cost{Time: 1, MemoryKiB: 64, Threads: 1}
	f.Add(auth.HashPassword("correct horse", cost))
	f.Add("$argon2id$v=19$m=64,t=1,p=1$$")
	f.Add("$$$$$")
	f.Fuzz(func(t *testing.T, text string) {
		if !auth.NeedsRehash(text, cost) && !strings.HasPrefix(text, "$argon2id$v=19$m=64,t=1,p=1$") {
			t.Errorf("%q is taken for a hash", text)
		}
	})
}

func TestKeys(t *testing.T) {
	text, hash := auth.NewKey("a_b")
	id, ok := auth.KeyID(text)
	k := &desk.Key{ID: id, Hash: hash, Scopes: []string{"calls"}}
	if !ok || id != "a_b" || !auth.CheckKey(k, text) || auth.CheckKey(k, text+"x") || auth.CheckKey(nil, text) {
		t.Errorf("key %q of %q", text, id)
	}
	if !auth.Allows(k, auth.ScopeCalls) || auth.Allows(k, auth.ScopeAdmin) {
		t.Error("scopes")
	}
	if _, ok := auth.KeyID("eyJ.x.y"); ok {
		t.Error("a token is no key")
	}
}
