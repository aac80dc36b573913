package crypto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"testing"
)

func TestOpenEveryFlippedBitFails(t *testing.T) {
	for _, suite := range bothSuites {
		s, o := newSession(suite)
		mustOpen(t, o, sealPacket(s, 0))
		p := sealPacket(s, 1)
		whole := append(bytes.Clone(p.header), p.ciphertext...)
		for bit := range len(whole) * 8 {
			b := bytes.Clone(whole)
			b[bit/8] ^= 1 << (bit % 8)
			h := b[:len(p.header)]
			before := snapshot(o)
			// Phase and number are read from the damaged header, as a receiver does. A damaged number may be an old one.
			_, _, err := o.Open(h, b[len(h):], h[0]>>6&1, binary.BigEndian.Uint32(h[9:]))
			if !errors.Is(err, ErrOpen) && !errors.Is(err, ErrReplay) {
				t.Fatalf("%v: bit %d: %v", suite, bit, err)
			}
			if snapshot(o) != before {
				t.Fatalf("%v: bit %d changed the opener", suite, bit)
			}
		}
		mustOpen(t, o, p)
		mustFail(t, o, p, ErrReplay)
	}
}

func TestOpenShort(t *testing.T) {
	s, o := newSession(SuiteAESGCM)
	p := sealPacket(s, 0)
	for n := range len(p.ciphertext) {
		short := p
		short.ciphertext = p.ciphertext[:n]
		mustFail(t, o, short, ErrOpen)
	}
	mustOpen(t, o, p)
}

func TestOpenLate(t *testing.T) {
	s, o := newSession(SuiteAESGCM)
	var ps []packet
	for pn := range uint64(WindowSize + 2) {
		ps = append(ps, sealPacket(s, pn))
	}
	mustOpen(t, o, ps[WindowSize+1])
	mustFail(t, o, ps[1], ErrReplay) // just out of the window
	mustOpen(t, o, ps[2])
	mustFail(t, o, ps[2], ErrReplay)
	mustOpen(t, o, ps[WindowSize])
}

// Packet numbers cross 2^32 while only their low half travels.
func TestOpenAcrossTheLowHalf(t *testing.T) {
	s, o := newSession(SuiteChaChaPoly)
	const e32 = 1 << 32
	for _, pn := range []uint64{1 << 31, e32 - 2, e32, e32 + 1<<31, 2*e32 - 1, 2*e32 + 5, 1<<63 + 1} {
		if pn == 1<<63+1 { // too far to guess: as if somebody had opened one near it
			o.window.highest = pn - 1
		}
		mustOpen(t, o, sealPacket(s, pn))
	}
	if highest, ok := o.Highest(); !ok || highest != 1<<63+1 {
		t.Errorf("highest is %d, %v", highest, ok)
	}
}

func TestHighestAndPhase(t *testing.T) {
	s, o := newSession(SuiteAESGCM)
	if _, ok := o.Highest(); ok || o.Phase() != 0 {
		t.Error("a new opener has opened something")
	}
	mustOpen(t, o, sealPacket(s, 0))
	if h, ok := o.Highest(); !ok || h != 0 {
		t.Errorf("highest is %d, %v", h, ok)
	}
	s.Next()
	mustOpen(t, o, sealPacket(s, 4))
	if h, _ := o.Highest(); h != 4 || o.Phase() != 1 {
		t.Errorf("highest is %d in phase %d", h, o.Phase())
	}
}

func TestKeyPhases(t *testing.T) {
	for _, suite := range bothSuites {
		s, o := newSession(suite)
		var old []packet
		for pn := range uint64(10) {
			old = append(old, sealPacket(s, pn))
		}
		s.Next()
		var mid []packet
		for pn := uint64(10); pn < 20; pn++ {
			mid = append(mid, sealPacket(s, pn))
		}
		s.Next()
		var young []packet
		for pn := uint64(20); pn < 30; pn++ {
			young = append(young, sealPacket(s, pn))
		}

		mustFail(t, o, mid[0], ErrOpen) // nothing of phase 0 has been opened, so its sender may not have gone on
		mustOpen(t, o, old[0])
		mustOpen(t, o, old[5])
		mustFail(t, o, young[0], ErrOpen) // same bit as the present phase, but two keys on
		mustOpen(t, o, mid[5])
		if o.Phase() != 1 {
			t.Fatalf("%v: phase %d after its first packet", suite, o.Phase())
		}
		mustOpen(t, o, old[9]) // late, from the phase before
		mustOpen(t, o, mid[2]) // late, from this phase: its first packet is now number 12
		mustOpen(t, o, old[1])
		forged := sealPacket(mustSealer(suite, 0), 13) // the old key, with a number inside the new phase
		mustFail(t, o, forged, ErrOpen)
		mustFail(t, o, old[9], ErrReplay)

		mustOpen(t, o, young[3])
		mustOpen(t, o, mid[9])
		mustOpen(t, o, young[0])
		mustFail(t, o, old[2], ErrOpen) // two phases back: the key is gone
		if o.Phase() != 0 {
			t.Errorf("%v: phase %d at the end", suite, o.Phase())
		}
	}
}

// mustSealer returns a sealer that has gone on phases times.
func mustSealer(suite Suite, phases int) *Sealer {
	s, _ := newSession(suite)
	for range phases {
		s.Next()
	}
	return s
}

// A packet of the previous phase whose number lies in the present one is refused without an attempt, also by number alone.
func TestPreviousKeyStopsAtTheNewPhase(t *testing.T) {
	s, o := newSession(SuiteAESGCM)
	mustOpen(t, o, sealPacket(s, 0))
	s.Next()
	mustOpen(t, o, sealPacket(s, 10))
	mustOpen(t, o, sealPacket(s, 20))
	for _, pn := range []uint64{11, 19} {
		if o.keyFor(0, pn) != nil {
			t.Errorf("a key for old packet %d", pn)
		}
	}
	if o.keyFor(0, 9) != &o.previous || o.keyFor(0, 21) != &o.next || o.keyFor(1, 9) != &o.present {
		t.Error("the wrong key")
	}
}

// When the window has passed the beginning of the phase the older key is of no use and is dropped.
func TestPreviousKeyIsForgotten(t *testing.T) {
	s, o := newSession(SuiteAESGCM)
	mustOpen(t, o, sealPacket(s, 0))
	s.Next()
	mustOpen(t, o, sealPacket(s, 100))
	mustOpen(t, o, sealPacket(s, 100+WindowSize-1))
	if o.previous.aead == nil {
		t.Error("the older key went while a packet could still come")
	}
	mustOpen(t, o, sealPacket(s, 100+WindowSize))
	if o.previous.aead != nil {
		t.Error("the older key stays")
	}
}

// A sender that keeps to the rules, a network that reorders, repeats, loses and forges: every packet that the window allows
// opens exactly once and is what was sent.
func TestOpenSim(t *testing.T) {
	for _, seed := range seeds() {
		r := newRand(seed)
		suite := bothSuites[seed%2]
		s, o := newSession(suite)
		var sent []packet
		opened := make(map[uint64]bool)
		var phaseStart uint64 // first number of the sender's phase
		var acknowledged bool // the sender knows of a packet of this phase
		var phases, tries, old int
		pn := uint64(1<<32 - 3000)
		o.window.highest, o.window.any, o.first = pn-1, true, pn-1 // begin near a wrap of the low half
		for range 8000 {
			if acknowledged && r.IntN(40) == 0 {
				s.Next()
				phases++
				phaseStart, acknowledged = pn, false
			}
			sent = append(sent, sealPacket(s, pn))
			pn += 1 + r.Uint64N(2)
			for range r.IntN(3) {
				p := sent[len(sent)-1-r.IntN(min(len(sent), 60))]
				highest, _ := o.Highest()
				if r.IntN(10) == 0 {
					bad := p
					bad.ciphertext = bytes.Clone(p.ciphertext)
					bad.ciphertext[r.IntN(len(bad.ciphertext))] ^= 1 << r.IntN(8)
					want := ErrOpen
					if opened[p.pn] {
						want = ErrReplay
					}
					mustFail(t, o, bad, want)
				}
				if opened[p.pn] {
					mustFail(t, o, p, ErrReplay)
					continue
				}
				tries++
				got, plaintext, err := p.open(o)
				if err != nil {
					// Only packets from two phases back may fail, and they are behind.
					if !errors.Is(err, ErrOpen) || p.pn > highest {
						t.Fatalf("seed %d: packet %d after %d: %v", seed, p.pn, highest, err)
					}
					old++
					continue
				}
				if got != p.pn || string(plaintext) != fmt.Sprintf("packet %d", p.pn) {
					t.Fatalf("seed %d: packet %d opens as %d: %q", seed, p.pn, got, plaintext)
				}
				opened[p.pn] = true
				acknowledged = acknowledged || p.pn >= phaseStart
			}
		}
		if phases < 50 || len(opened) < 4000 || old > tries/10 {
			t.Errorf("seed %d: %d phases, %d opened, %d of %d too old: the test tests little", seed, phases, len(opened), old, tries)
		}
		if o.Phase() != s.Phase() && acknowledged {
			t.Errorf("seed %d: the two ends are in different phases", seed)
		}
	}
}

// FuzzOpen hands arbitrary packets to an opener in the middle of its life. It never panics, and a failure leaves no trace.
// The fuzzer cannot make a tag, so it may also choose genuine packets (by number) to be delivered in between.
func FuzzOpen(f *testing.F) {
	s, _ := newSession(SuiteAESGCM)
	p := sealPacket(s, 0)
	f.Add([]byte{0, 1, 2, 30, 4, 255}, p.header, p.ciphertext, uint8(0), uint32(0))
	f.Add([]byte{}, p.header, p.ciphertext, uint8(0), uint32(0))
	f.Add([]byte{0, 20, 40, 60, 80}, []byte{}, []byte{}, uint8(1), uint32(1<<31))
	f.Add([]byte{5, 5, 70, 3}, []byte{0x81}, make([]byte, TagSize), uint8(255), ^uint32(0))
	f.Fuzz(func(t *testing.T, deliver, header, ciphertext []byte, phase uint8, pn32 uint32) {
		s, o := newSession(SuiteAESGCM)
		var sent []packet
		for pn := range uint64(100) {
			if pn%25 == 24 {
				s.Next()
			}
			sent = append(sent, sealPacket(s, pn))
		}
		opened := make(map[uint64]bool)
		for i, n := range deliver[:min(len(deliver), 200)] {
			before := snapshot(o)
			pn, _, err := o.Open(header, bytes.Clone(ciphertext), phase, pn32+uint32(i))
			if err != nil && snapshot(o) != before {
				t.Fatal("a failure left a trace")
			}
			if err == nil {
				if opened[pn] {
					t.Fatalf("packet %d opened twice", pn)
				}
				opened[pn] = true
			}
			p := sent[int(n)%len(sent)]
			before = snapshot(o)
			if pn, _, err = p.open(o); err != nil {
				if snapshot(o) != before {
					t.Fatal("a failure left a trace")
				}
				continue
			}
			if pn != p.pn || opened[pn] {
				t.Fatalf("packet %d opened as %d, before: %v", p.pn, pn, opened[pn])
			}
			opened[pn] = true
		}
	})
}
