package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
)

// packet is a sealed packet as it travels.
type packet struct {
	header, ciphertext []byte
	phase              uint8
	pn                 uint64
}

func testHeader(phase uint8, pn uint64) []byte {
	h := []byte{0x81 | phase<<6, 1, 2, 3, 4, 5, 6, 7, 8}
	return binary.BigEndian.AppendUint32(h, uint32(pn))
}

func sealPacket(s *Sealer, pn uint64) packet {
	p := packet{header: testHeader(s.Phase(), pn), phase: s.Phase(), pn: pn}
	p.ciphertext = s.Seal(nil, p.header, fmt.Appendf(nil, "packet %d", pn), pn)
	return p
}

// open opens a copy, since opening destroys.
func (p packet) open(o *Opener) (uint64, []byte, error) {
	return o.Open(p.header, bytes.Clone(p.ciphertext), p.phase, uint32(p.pn))
}

func newSession(suite Suite) (*Sealer, *Opener) {
	secret := Secret(pattern(0x10))
	return NewSealer(suite, secret), NewOpener(suite, secret)
}

func mustOpen(t *testing.T, o *Opener, p packet) {
	t.Helper()
	pn, plaintext, err := p.open(o)
	if err != nil || pn != p.pn || string(plaintext) != fmt.Sprintf("packet %d", p.pn) {
		t.Fatalf("packet %d: number %d, %q, %v", p.pn, pn, plaintext, err)
	}
}

// mustFail also checks that a failure changes nothing.
func mustFail(t *testing.T, o *Opener, p packet, want error) {
	t.Helper()
	before := snapshot(o)
	if pn, plaintext, err := p.open(o); !errors.Is(err, want) || pn != 0 || plaintext != nil {
		t.Fatalf("packet %d: number %d, %q, %v, want %v", p.pn, pn, plaintext, err, want)
	}
	if snapshot(o) != before {
		t.Fatalf("packet %d failed and changed the opener", p.pn)
	}
}

// snapshot is the opener's state without its scratch space.
func snapshot(o *Opener) Opener {
	s := *o
	s.nonce = [ivSize]byte{}
	return s
}

func TestSealInPlace(t *testing.T) {
	for _, suite := range bothSuites {
		s, o := newSession(suite)
		reference, _ := newSession(suite)
		header := testHeader(0, 5)
		want := reference.Seal(nil, header, []byte("plaintext"), 5)

		buf := append(slices.Grow(bytes.Clone(header), 100), "plaintext"...)
		out := s.Seal(buf[:len(header)], buf[:len(header)], buf[len(header):], 5)
		if !bytes.Equal(out[len(header):], want) || &out[0] != &buf[0] {
			t.Errorf("%v: sealing in place gives other bytes or another buffer", suite)
		}
		if len(want) != len("plaintext")+TagSize {
			t.Errorf("%v: sealing adds %d bytes", suite, len(want)-len("plaintext"))
		}
		ciphertext := out[len(header):]
		_, plaintext, err := o.Open(out[:len(header)], ciphertext, 0, 5)
		if err != nil || string(plaintext) != "plaintext" || &plaintext[0] != &ciphertext[0] {
			t.Errorf("%v: opening in place: %q, %v", suite, plaintext, err)
		}
		if got := s.Seal(buf[:0], header, buf[:0], 6); len(got) != TagSize {
			t.Errorf("%v: an empty packet seals to %d bytes", suite, len(got))
		}
	}
}

func TestSealerPanicsBeforeANonceIsUsedTwice(t *testing.T) {
	for _, pn := range []uint64{7, 6, 0} {
		for _, rekey := range []bool{false, true} {
			s, _ := newSession(SuiteAESGCM)
			s.Seal(nil, nil, nil, 7)
			if rekey {
				s.Next()
			}
			func() {
				defer func() {
					if recover() == nil {
						t.Errorf("sealed %d after 7 (rekey %v)", pn, rekey)
					}
				}()
				s.Seal(nil, nil, nil, pn)
			}()
		}
	}
}

func TestUnknownSuitePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a sealer of an unknown suite")
		}
	}()
	NewSealer(3, Secret{})
}

func TestSealerPhases(t *testing.T) {
	s, _ := newSession(SuiteAESGCM)
	if s.Phase() != 0 || s.Packets() != 0 {
		t.Errorf("begins in phase %d with %d packets", s.Phase(), s.Packets())
	}
	s.Seal(nil, nil, nil, 3)
	s.Seal(nil, nil, nil, 9)
	if s.Packets() != 2 {
		t.Errorf("%d packets, want 2", s.Packets())
	}
	s.Next()
	if s.Phase() != 1 || s.Packets() != 0 {
		t.Errorf("goes on in phase %d with %d packets", s.Phase(), s.Packets())
	}
	s.Next()
	if s.Phase() != 0 {
		t.Errorf("the third phase has bit %d", s.Phase())
	}
}

// TestNonceUse checks that no two packets of a session, over all phases and both directions' keys, share key and nonce: the
// same plaintext never gives the same ciphertext.
func TestNonceUse(t *testing.T) {
	for _, suite := range bothSuites {
		s, _ := newSession(suite)
		seen := make(map[string]bool)
		for pn := range uint64(300) {
			if pn%100 == 99 {
				s.Next()
			}
			c := string(s.Seal(nil, nil, make([]byte, 16), pn<<28))
			if seen[c[:16]] || seen[c[16:]] {
				t.Fatalf("%v: packet %d repeats key stream or tag", suite, pn)
			}
			seen[c[:16]], seen[c[16:]] = true, true
		}
	}
}

func TestNoAllocation(t *testing.T) {
	for _, suite := range bothSuites {
		s, o := newSession(suite)
		const size = 1100
		header := testHeader(0, 0)
		buf := make([]byte, size+TagSize)
		var pn uint64
		good := testing.AllocsPerRun(500, func() {
			out := s.Seal(buf[:0], header, buf[:size], pn)
			if _, _, err := o.Open(header, out, 0, uint32(pn)); err != nil {
				t.Fatal(err)
			}
			pn++
		})
		forged := testing.AllocsPerRun(500, func() {
			if _, _, err := o.Open(header, buf, 0, uint32(pn)); err != ErrOpen {
				t.Fatal(err)
			}
			if _, _, err := o.Open(header, buf, 1, uint32(pn)); err != ErrOpen { // the next key
				t.Fatal(err)
			}
		})
		repeated := testing.AllocsPerRun(500, func() {
			if _, _, err := o.Open(header, buf, 0, uint32(pn-1)); err != ErrReplay {
				t.Fatal(err)
			}
		})
		if good != 0 || forged != 0 || repeated != 0 {
			t.Errorf("%v: %v allocations a packet, %v a forged one, %v a repeated one", suite, good, forged, repeated)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, suite := range bothSuites {
		b.Run(suite.String(), func(b *testing.B) {
			s, _ := newSession(suite)
			header := testHeader(0, 0)
			buf := make([]byte, 1171+TagSize)
			b.SetBytes(1171)
			b.ReportAllocs()
			for pn := uint64(0); b.Loop(); pn++ {
				s.Seal(buf[:0], header, buf[:1171], pn)
			}
		})
	}
}

// BenchmarkOpen opens one sealed packet over and over, from a fresh copy and with the window put back.
func BenchmarkOpen(b *testing.B) {
	for _, suite := range bothSuites {
		b.Run(suite.String(), func(b *testing.B) {
			s, o := newSession(suite)
			header := testHeader(0, 5000)
			sealed := s.Seal(nil, header, make([]byte, 1171), 5000)
			buf := make([]byte, len(sealed))
			b.SetBytes(1171)
			b.ReportAllocs()
			for b.Loop() {
				copy(buf, sealed)
				o.window.any = false
				if _, _, err := o.Open(header, buf, 0, 5000); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
