package crypto

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

const testVersion = 1

var bothSuites = []Suite{SuiteAESGCM, SuiteChaChaPoly}

func newPair(t testing.TB, suite Suite, prologueI, prologueR []byte) (*Initiator, *Responder) {
	t.Helper()
	key := testKey(t, 1)
	ei, er := pattern(0x40), pattern(0x80)
	i, err := NewInitiator(suite, prologueI, key.Public(), bytes.NewReader(ei[:]))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewResponder(suite, prologueR, key, bytes.NewReader(er[:]))
	if err != nil {
		t.Fatal(err)
	}
	return i, r
}

type transcript struct {
	m1, m2, payload1, payload2 []byte
	iSend, iRecv, rSend, rRecv Secret
}

func handshake(t testing.TB, suite Suite) (x transcript) {
	t.Helper()
	prologue := Prologue(nil, testVersion, suite, 7)
	i, r := newPair(t, suite, prologue, prologue)
	var err error
	if x.m1, err = i.Message1([]byte("head"), []byte("hello")); err != nil {
		t.Fatal(err)
	}
	x.m1 = x.m1[len("head"):]
	if x.payload1, err = r.Read(x.m1); err != nil {
		t.Fatal(err)
	}
	if x.m2, x.rSend, x.rRecv, err = r.Message2([]byte("head"), []byte("welcome")); err != nil {
		t.Fatal(err)
	}
	x.m2 = x.m2[len("head"):]
	if x.payload2, x.iSend, x.iRecv, err = i.Finish(x.m2); err != nil {
		t.Fatal(err)
	}
	return x
}

func TestHandshake(t *testing.T) {
	for _, suite := range bothSuites {
		x := handshake(t, suite)
		if string(x.payload1) != "hello" || string(x.payload2) != "welcome" {
			t.Errorf("%v: payloads are %q and %q", suite, x.payload1, x.payload2)
		}
		if len(x.m1) != len("hello")+Message1Overhead || len(x.m2) != len("welcome")+Message2Overhead {
			t.Errorf("%v: messages of %d and %d bytes", suite, len(x.m1), len(x.m2))
		}
		if x.iSend != x.rRecv || x.iRecv != x.rSend || x.iSend == x.iRecv || x.iSend == (Secret{}) {
			t.Errorf("%v: the secrets do not fit together", suite)
		}
	}
}

// The same random bytes give the same messages, so that a simulation can be repeated; other bytes give other keys.
func TestHandshakeIsDeterministic(t *testing.T) {
	a, b := handshake(t, SuiteAESGCM), handshake(t, SuiteAESGCM)
	if !bytes.Equal(a.m1, b.m1) || !bytes.Equal(a.m2, b.m2) || a.iSend != b.iSend {
		t.Error("two handshakes from the same randomness differ")
	}
	if c := handshake(t, SuiteChaChaPoly); c.iSend == a.iSend {
		t.Error("two suites share a secret")
	}
}

func TestHandshakeReadsOnlyItsRandomness(t *testing.T) {
	key := testKey(t, 1)
	rand := bytes.NewReader(make([]byte, 33)) // an ephemeral key of zeros is as good as any other
	i, err := NewInitiator(SuiteAESGCM, nil, key.Public(), rand)
	if err != nil || rand.Len() != 33 {
		t.Fatalf("NewInitiator: %v, %d bytes left of 33", err, rand.Len())
	}
	if _, err := i.Message1(nil, nil); err != nil || rand.Len() != 1 {
		t.Errorf("Message1: %v, %d bytes left of 33", err, rand.Len())
	}
	i, err = NewInitiator(SuiteAESGCM, nil, key.Public(), bytes.NewReader(make([]byte, 31)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Message1(nil, nil); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("too little randomness gives %v", err)
	}
	if _, err := NewInitiator(SuiteAESGCM, nil, key.Public(), nil); err == nil {
		t.Error("an initiator without randomness")
	}
	if _, err := NewResponder(SuiteAESGCM, nil, key, nil); err == nil {
		t.Error("a responder without randomness")
	}
}

func TestHandshakeArguments(t *testing.T) {
	key := testKey(t, 1)
	if _, err := NewInitiator(9, nil, key.Public(), bytes.NewReader(nil)); err == nil {
		t.Error("an initiator of an unknown suite")
	}
	if _, err := NewResponder(0, nil, key, bytes.NewReader(nil)); err == nil {
		t.Error("a responder of an unknown suite")
	}
	if _, err := NewInitiator(SuiteAESGCM, nil, PublicKey{1}, bytes.NewReader(nil)); !errors.Is(err, ErrPublicKey) {
		t.Errorf("a relay key of low order gives %v", err)
	}
	i, r := newPair(t, SuiteAESGCM, nil, nil)
	if _, err := i.Message1(nil, make([]byte, MaxHandshakeMessage-Message1Overhead+1)); !errors.Is(err, ErrMessageSize) {
		t.Errorf("a long first payload gives %v", err)
	}
	m1, err := i.Message1(nil, make([]byte, MaxHandshakeMessage-Message1Overhead))
	if err != nil || len(m1) != MaxHandshakeMessage {
		t.Fatalf("the longest first message: %v, %d bytes", err, len(m1))
	}
	if _, err := r.Read(m1); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Message2(nil, make([]byte, MaxHandshakeMessage)); !errors.Is(err, ErrMessageSize) {
		t.Errorf("a long second payload gives %v", err)
	}
	if _, _, _, err := r.Message2(nil, nil); err != nil {
		t.Errorf("after a refused payload: %v", err)
	}
}

// Version, suite and session ID are bound: whoever changes one on the way ends the handshake.
func TestPrologueIsBound(t *testing.T) {
	right := Prologue(nil, testVersion, SuiteAESGCM, 7)
	for name, other := range map[string][]byte{
		"version": Prologue(nil, testVersion+1, SuiteAESGCM, 7),
		"suite":   Prologue(nil, testVersion, SuiteChaChaPoly, 7),
		"session": Prologue(nil, testVersion, SuiteAESGCM, 8),
	} {
		i, r := newPair(t, SuiteAESGCM, right, other)
		m1, err := i.Message1(nil, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(m1); !errors.Is(err, ErrHandshake) {
			t.Errorf("another %s: %v, want ErrHandshake", name, err)
		}
	}
	if got := string(Prologue([]byte("x"), 1, SuiteChaChaPoly, 0x0102030405060708)); got != "xduet v1\x01\x02\x01\x02\x03\x04\x05\x06\x07\x08" {
		t.Errorf("the prologue is %q", got)
	}
}

func TestWrongServerKey(t *testing.T) {
	e := pattern(0x40)
	i, err := NewInitiator(SuiteAESGCM, nil, testKey(t, 2).Public(), bytes.NewReader(e[:]))
	if err != nil {
		t.Fatal(err)
	}
	_, r := newPair(t, SuiteAESGCM, nil, nil)
	m1, err := i.Message1(nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(m1); !errors.Is(err, ErrHandshake) {
		t.Errorf("a message for another relay gives %v", err)
	}
}

// lowOrder are encodings of points with which X25519 gives zero; the last two are not canonical.
func lowOrder() map[string][32]byte {
	var zero, one, p, top [32]byte
	one[0] = 1
	for i := range p {
		p[i] = 0xff
	}
	p[0], p[31] = 0xed, 0x7f
	top[31] = 0x80
	return map[string][32]byte{"zero": zero, "one": one, "p": p, "zero with the top bit": top}
}

// A forged answer, of whatever kind, must not spoil the genuine one that comes after it.
func TestFinishSurvivesForgeries(t *testing.T) {
	for _, suite := range bothSuites {
		genuine := handshake(t, suite)
		prologue := Prologue(nil, testVersion, suite, 7)
		forgeries := map[string][]byte{
			"empty":        nil,
			"short":        genuine.m2[:Message2Overhead-1],
			"cut":          genuine.m2[:len(genuine.m2)-1],
			"longer":       append(bytes.Clone(genuine.m2), 0),
			"too long":     make([]byte, MaxHandshakeMessage+1),
			"first again":  genuine.m1,
			"zeros":        make([]byte, 100),
			"all ones":     bytes.Repeat([]byte{0xff}, 100),
			"key only":     genuine.m2[:32],
			"key and tags": append(bytes.Clone(genuine.m2[:32]), make([]byte, 16)...),
		}
		for name, point := range lowOrder() {
			forgeries["low order: "+name] = append(point[:], genuine.m2[32:]...)
		}
		for bit := 0; bit < len(genuine.m2)*8; bit += 5 {
			m := bytes.Clone(genuine.m2)
			m[bit/8] ^= 1 << (bit % 8)
			forgeries["flipped bit "+string(rune('0'+bit%8))+" of "+string(rune(bit/8))] = m
		}
		i, _ := newPair(t, suite, prologue, prologue)
		if _, _, _, err := i.Finish(genuine.m2); !errors.Is(err, ErrHandshake) {
			t.Errorf("%v: an answer before the first message gives %v", suite, err)
		}
		if _, err := i.Message1(nil, []byte("hello")); err != nil {
			t.Fatal(err)
		}
		for name, m := range forgeries {
			kept := bytes.Clone(m)
			if payload, send, recv, err := i.Finish(m); !errors.Is(err, ErrHandshake) || payload != nil || send != (Secret{}) || recv != (Secret{}) {
				t.Fatalf("%v: %s: %v, want ErrHandshake and nothing else", suite, name, err)
			}
			if !bytes.Equal(m, kept) {
				t.Errorf("%v: %s: the message was changed", suite, name)
			}
		}
		payload, send, recv, err := i.Finish(genuine.m2)
		if err != nil || string(payload) != "welcome" || send != genuine.iSend || recv != genuine.iRecv {
			t.Errorf("%v: the genuine answer after the forgeries: %q, %v", suite, payload, err)
		}
		if _, _, _, err := i.Finish(genuine.m2); !errors.Is(err, ErrHandshake) {
			t.Errorf("%v: the answer a second time gives %v", suite, err)
		}
		if _, err := i.Message1(nil, nil); !errors.Is(err, ErrHandshake) {
			t.Errorf("%v: a first message after the end gives %v", suite, err)
		}
	}
}

func TestResponderOrder(t *testing.T) {
	i, r := newPair(t, SuiteAESGCM, nil, nil)
	if _, _, _, err := r.Message2(nil, nil); !errors.Is(err, ErrHandshake) {
		t.Errorf("an answer to nothing gives %v", err)
	}
	m1, err := i.Message1(nil, []byte("hello"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Message1(nil, nil); err == nil {
		t.Error("a second first message")
	}
	if _, err := r.Read(m1); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Read(m1); !errors.Is(err, ErrHandshake) {
		t.Errorf("reading twice gives %v", err)
	}
	if _, _, _, err := r.Message2(nil, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := r.Message2(nil, nil); !errors.Is(err, ErrHandshake) {
		t.Errorf("answering twice gives %v", err)
	}
	for name, point := range lowOrder() {
		_, r := newPair(t, SuiteAESGCM, nil, nil)
		if _, err := r.Read(append(point[:], m1[32:]...)); !errors.Is(err, ErrHandshake) {
			t.Errorf("low order, %s: %v", name, err)
		}
		if _, err := r.Read(m1); !errors.Is(err, ErrHandshake) {
			t.Errorf("a spent responder reads: %v", err)
		}
		if _, _, _, err := r.Message2(nil, nil); !errors.Is(err, ErrHandshake) {
			t.Errorf("a spent responder answers: %v", err)
		}
	}
}

func FuzzResponderRead(f *testing.F) {
	x := handshake(f, SuiteAESGCM)
	f.Add(x.m1)
	f.Add(x.m2)
	f.Add([]byte{})
	f.Add(make([]byte, Message1Overhead))
	for _, point := range lowOrder() {
		f.Add(append(point[:], x.m1[32:]...))
	}
	prologue := Prologue(nil, testVersion, SuiteAESGCM, 7)
	f.Fuzz(func(t *testing.T, message []byte) {
		_, r := newPair(t, SuiteAESGCM, prologue, prologue)
		kept := bytes.Clone(message)
		payload, err := r.Read(message)
		if !bytes.Equal(message, kept) {
			t.Error("the message was changed")
		}
		_, _, _, err2 := r.Message2(nil, nil)
		if err != nil {
			if !errors.Is(err, ErrHandshake) || payload != nil || !errors.Is(err2, ErrHandshake) {
				t.Errorf("%v with %d bytes, then %v", err, len(payload), err2)
			}
			return
		}
		// The fuzzer cannot make a tag, but it may make a message that holds the genuine one's bytes.
		if len(payload) != len(message)-Message1Overhead || err2 != nil {
			t.Errorf("%d bytes from %d, then %v", len(payload), len(message), err2)
		}
	})
}
