package crypto

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/chacha20poly1305"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

// vectorFile collects lines of "name = value". Bytes are in hex, text and numbers as they are; a blank line ends a case.
type vectorFile struct{ strings.Builder }

func (v *vectorFile) comment(s string)          { fmt.Fprintf(v, "# %s\n", s) }
func (v *vectorFile) hex(name string, b []byte) { v.text(name, hex.EncodeToString(b)) }
func (v *vectorFile) text(name string, s any) {
	v.WriteString(strings.TrimRight(fmt.Sprintf("%s = %v", name, s), " ") + "\n")
}
func (v *vectorFile) end() { v.WriteByte('\n') }

// check compares with the file kept, or writes it with -update.
func (v *vectorFile) check(t *testing.T, name string) {
	t.Helper()
	path := filepath.Join("testdata", "vectors", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(v.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want, got := strings.Split(string(kept), "\n"), strings.Split(v.String(), "\n")
	for i := range max(len(want), len(got)) {
		if i >= len(want) || i >= len(got) || want[i] != got[i] {
			t.Fatalf("%s, line %d: the code gives other bytes than the file", path, i+1)
		}
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// TestHandshakeVectors writes down two whole sessions: the handshake, then for each direction the keys and one packet of the
// first three key phases.
func TestHandshakeVectors(t *testing.T) {
	var v vectorFile
	v.comment("duet wire version 1: handshake, keys and data packets (docs/wire.md sections 3.1 to 3.3).")
	v.comment("name = value; bytes in hex, numbers in decimal; one suite up to each blank line.")
	v.comment("Private keys are X25519 scalars before clamping. Payloads are samples: no INIT or ACCEPT is this short.")
	v.comment("A packet is its 13-byte header, the encrypted plaintext, and the tag.")
	v.end()
	server, ei, er := pattern(0x01), pattern(0x40), pattern(0x80)
	const clientID, relayID = 0x0102030405060708, 0x1112131415161718
	key := must[*StaticKey](t)(NewStaticKey(server))
	for _, suite := range bothSuites {
		prologue := Prologue(nil, testVersion, suite, clientID)
		i := must[*Initiator](t)(NewInitiator(suite, prologue, key.Public(), bytes.NewReader(ei[:])))
		r := must[*Responder](t)(NewResponder(suite, prologue, key, bytes.NewReader(er[:])))
		payload1, payload2 := []byte("first payload"), []byte("second payload")
		m1 := must[[]byte](t)(i.Message1(nil, payload1))
		if got := must[[]byte](t)(r.Read(m1)); !bytes.Equal(got, payload1) {
			t.Fatalf("the first payload is %q", got)
		}
		m2, toClient, toRelay, err := r.Message2(nil, payload2)
		if err != nil {
			t.Fatal(err)
		}
		if _, send, recv, err := i.Finish(m2); err != nil || send != toRelay || recv != toClient {
			t.Fatalf("finish: %v", err)
		}
		public := key.Public()
		v.text("suite", uint8(suite))
		v.text("protocol", suite)
		v.hex("server_private", server[:])
		v.hex("server_public", public[:])
		v.hex("client_ephemeral_private", ei[:])
		v.hex("relay_ephemeral_private", er[:])
		v.hex("prologue", prologue)
		v.hex("payload1", payload1)
		v.hex("message1", m1)
		v.hex("payload2", payload2)
		v.hex("message2", m2)
		v.direction(t, "to_relay", suite, toRelay, relayID)
		v.direction(t, "to_client", suite, toClient, clientID)
		v.end()
	}
	v.check(t, "handshake.txt")
}

func (v *vectorFile) direction(t *testing.T, name string, suite Suite, secret Secret, sessionID uint64) {
	t.Helper()
	sealer, opener := NewSealer(suite, secret), NewOpener(suite, secret)
	for phase, pn := range []uint64{0, 70_000, 1<<32 + 5} {
		if phase > 0 {
			sealer.Next()
			secret = nextSecret(&secret)
			opener.window.highest = pn - 1 // as if a packet shortly before had been opened
		}
		prefix := fmt.Sprintf("%s_phase%d_", name, phase)
		dataKey, iv := expand(&secret, "duet key", suite.keySize()), expand(&secret, "duet iv", ivSize)
		header := testHeader(sealer.Phase(), pn)
		for i := range 8 {
			header[1+i] = byte(sessionID >> (56 - 8*i))
		}
		plaintext := fmt.Appendf(nil, "packet of phase %d", phase)
		sealed := sealer.Seal(nil, header, plaintext, pn)
		v.hex(prefix+"secret", secret[:])
		v.hex(prefix+"key", dataKey)
		v.hex(prefix+"iv", iv)
		v.text(prefix+"packet_number", pn)
		v.hex(prefix+"plaintext", plaintext)
		v.hex(prefix+"packet", append(bytes.Clone(header), sealed...))
		checkByHand(t, suite, &secret, pn, header, plaintext, sealed)
		if got, opened, err := opener.Open(header, sealed, header[0]>>6&1, uint32(pn)); err != nil || got != pn || !bytes.Equal(opened, plaintext) {
			t.Fatalf("%s: packet number %d, %q, %v", prefix, got, opened, err)
		}
	}
}

// checkByHand seals again in the words of the specification, with nothing of this package.
func checkByHand(t *testing.T, suite Suite, secret *Secret, pn uint64, header, plaintext, want []byte) {
	t.Helper()
	hkdfExpand := func(label string, n int) []byte {
		mac := hmac.New(sha256.New, secret[:])
		mac.Write([]byte(label + "\x01")) // one block is enough for 32 bytes
		return mac.Sum(nil)[:n]
	}
	var aead cipher.AEAD
	if suite == SuiteChaChaPoly {
		aead = must[cipher.AEAD](t)(chacha20poly1305.New(hkdfExpand("duet key", 32)))
	} else {
		aead = must[cipher.AEAD](t)(cipher.NewGCM(must[cipher.Block](t)(aes.NewCipher(hkdfExpand("duet key", 16)))))
	}
	nonce := hkdfExpand("duet iv", 12)
	for i := range 8 {
		nonce[11-i] ^= byte(pn >> (8 * i))
	}
	if got := aead.Seal(nil, nonce, plaintext, header); !bytes.Equal(got, want) {
		t.Errorf("%v, packet %d: sealed otherwise than the specification says", suite, pn)
	}
}

func TestTokenVectors(t *testing.T) {
	var v vectorFile
	v.comment("duet wire version 1: tokens and URLs (docs/wire.md section 2).")
	v.comment("name = value; hmac_key in hex, expiry in seconds since 1970, nothing after = is empty; one token up to each blank line.")
	v.end()
	public := testKey(t, 1).Public()
	for _, c := range []struct {
		host  string
		token Token
	}{
		{"relay.example:7000", Token{ActionPush, 1, 0, time.Unix(1_700_000_000, 0), "live/a", "", ""}},
		{"192.0.2.7:443", Token{ActionPlay, 0xfffefdfc, 1<<64 - 1, time.Unix(1_800_000_000, 0), "live/Agent-1_b.c", "call-7", "agent"}},
		{"[2001:db8::1]:7000", Token{ActionFLV, 2, 3, time.Unix(253_402_300_799, 0), "live/" + strings.Repeat("x", 128), strings.Repeat("c", 255), "Zoë"}},
	} {
		key := pattern(byte(c.token.KeyID))
		keys := NewTokenKeys(c.token.KeyID, key)
		text := mint(t, keys, c.token)
		if _, err := keys.Verify(tokenNow.Add(-time.Hour), text, c.token.Action, c.token.Stream); err != nil {
			t.Fatal(err)
		}
		u := URL{Host: c.host, Stream: c.token.Stream, Key: public, Token: text}
		if got, err := ParseURL(u.String()); err != nil || got != u {
			t.Fatalf("%s: %v", c.host, err)
		}
		v.hex("hmac_key", key[:])
		v.text("action", c.token.Action)
		v.text("key_id", c.token.KeyID)
		v.text("epoch", c.token.Epoch)
		v.text("expiry", c.token.Expiry.Unix())
		v.text("stream", c.token.Stream)
		v.text("call", c.token.Call)
		v.text("party", c.token.Party)
		v.text("token", text)
		v.text("url", u.String())
		v.end()
	}
	v.check(t, "token.txt")
}

func TestCookieVectors(t *testing.T) {
	var v vectorFile
	v.comment("Address cookies as this relay makes them; a client only repeats them.")
	v.comment("cookie = first 16 bytes of HMAC-SHA-256(secret, \"duet cookie v1\" | time/30 s as u64 | address in IPv6 form,")
	v.comment("16 bytes | port as u16 | client's session ID as u64); all zeros are replaced by 15 zeros and a 1.")
	v.end()
	secret := pattern(0x20)
	jar := NewCookieJar(secret)
	for _, c := range []struct {
		now    int64
		addr   string
		client uint64
	}{
		{1_700_000_010, "192.0.2.7:5000", 0x0102030405060708},
		{1_700_000_039, "192.0.2.7:5000", 0x0102030405060708},
		{1_700_000_040, "192.0.2.7:5000", 0x0102030405060708},
		{1_700_000_010, "[2001:db8::7]:5000", 1},
	} {
		cookie := jar.Make(time.Unix(c.now, 0), netip.MustParseAddrPort(c.addr), c.client)
		v.hex("secret", secret[:])
		v.text("time", c.now)
		v.text("address", c.addr)
		v.text("client_session", c.client)
		v.hex("cookie", cookie[:])
		v.end()
	}
	v.check(t, "cookie.txt")
}

func TestResetVectors(t *testing.T) {
	var v vectorFile
	v.comment("duet wire version 1: reset values (docs/wire.md section 3.1).")
	v.comment("name = value; bytes in hex, the session ID in decimal.")
	v.end()
	for i, id := range []uint64{1, 0x1112131415161718, 1<<64 - 1} {
		secret := pattern(byte(0x30 + i))
		value := ResetValue(secret, id)
		v.hex("secret", secret[:])
		v.text("session", id)
		v.hex("value", value[:])
		v.end()
	}
	v.check(t, "reset.txt")
}
