package crypto

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests; 0 tries a few")

// seeds returns the seeds that a random test runs with.
func seeds() []uint64 {
	if *seedFlag != 0 {
		return []uint64{*seedFlag}
	}
	return []uint64{1, 2, 3, 4, 5, 6, 7, 8}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// pattern returns 32 bytes that count up from start.
func pattern(start byte) (b [32]byte) {
	for i := range b {
		b[i] = start + byte(i)
	}
	return b
}

func testKey(t testing.TB, start byte) *StaticKey {
	t.Helper()
	k, err := NewStaticKey(pattern(start))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestPublicKeyText(t *testing.T) {
	k := testKey(t, 1).Public()
	text := k.Text()
	if len(text) != 43 {
		t.Errorf("text has %d characters, want 43", len(text))
	}
	got, err := ParsePublicKey(text)
	if err != nil || got != k {
		t.Errorf("the key does not survive its text: %v", err)
	}
	// The last of 43 characters holds two bits that mean nothing and must be zero.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	loose := text[:42] + string(alphabet[strings.IndexByte(alphabet, text[42])+1])
	for _, bad := range []string{
		"", text[:42], text + "A", text + "=", text[:42] + "+", text + "\n", text[:10] + "\r\n" + text[10:], loose,
		strings.Repeat("A", 43),
	} {
		if _, err := ParsePublicKey(bad); !errors.Is(err, ErrPublicKey) {
			t.Errorf("ParsePublicKey(%q) = %v, want ErrPublicKey", bad, err)
		}
	}
}

func TestStaticKeyRefusesZeros(t *testing.T) {
	if _, err := NewStaticKey([32]byte{}); err == nil {
		t.Error("a seed of zeros made a key")
	}
}

// Nothing that holds key material may show it, whichever way it is printed.
func TestRedaction(t *testing.T) {
	seed := pattern(0xa0)
	key := testKey(t, 0xa0)
	initiator, err := NewInitiator(SuiteAESGCM, nil, key.Public(), bytes.NewReader(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	responder, err := NewResponder(SuiteAESGCM, nil, key, bytes.NewReader(seed[:]))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"PublicKey": key.Public(), "StaticKey": *key, "Secret": Secret(seed),
		"Sealer": *NewSealer(SuiteAESGCM, seed), "Opener": *NewOpener(SuiteAESGCM, seed),
		"CookieJar": *NewCookieJar(seed), "TokenKeys": *NewTokenKeys(1, seed),
		"Initiator": *initiator, "Responder": *responder,
		"*PublicKey": new(key.Public()), "*StaticKey": key, "*Secret": new(Secret(seed)),
		"*Sealer": NewSealer(SuiteAESGCM, seed), "*Opener": NewOpener(SuiteAESGCM, seed),
		"*CookieJar": NewCookieJar(seed), "*TokenKeys": NewTokenKeys(1, seed),
		"*Initiator": initiator, "*Responder": responder,
	}
	for name, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t", "%08x", "% x"} {
			if got := fmt.Sprintf(verb, v); got != redacted {
				t.Errorf("%s prints as %q with %s", name, got, verb)
			}
		}
		if got := fmt.Sprint(v); got != redacted {
			t.Errorf("%s prints as %q", name, got)
		}
	}
	nested := struct {
		Secret  Secret
		Key     *StaticKey
		Secrets []Secret
	}{seed, key, []Secret{seed}}
	public := key.Public()
	for _, text := range []string{fmt.Sprintf("%v %+v %#v %x", nested, nested, nested, nested), marshal(t, nested), marshal(t, public)} {
		for _, leak := range []string{hex.EncodeToString(seed[:4]), "160 161", "160,161", "0xa0", public.Text()[:8], hex.EncodeToString(public[:4])} {
			if strings.Contains(text, leak) {
				t.Errorf("%q shows in %q", leak, text)
			}
		}
	}
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
