package crypto

import (
	"errors"
	"fmt"
)

var (
	// ErrOpen is returned for a packet that is not authentic.
	ErrOpen = errors.New("the packet does not open")
	// ErrReplay is returned for a packet whose number was opened before or is older than the replay window. Whether it was
	// authentic is not looked at.
	ErrReplay = errors.New("the packet is old or repeated")
)

// Opener opens the packets of one direction. It belongs to one goroutine and allocates nothing per packet; a change of keys
// allocates, and only an authentic packet can make one.
//
// It holds up to three keys. Which one a packet needs follows from its phase bit and number alone:
//
//	bit is the present phase's                            present key
//	bit differs, number above all opened                  next key, if the present one has opened anything
//	bit differs, number below the first of this phase     previous key
//	bit differs, in between                               none: no honest sender does this
//
// so that every packet costs at most one AEAD operation, and the next key lies ready before it is asked for.
type Opener struct {
	suite    Suite
	secret   Secret // of the next phase
	next     trafficKey
	present  trafficKey
	previous trafficKey // no key before the first change, and after the window has passed it by
	first    uint64     // lowest packet number opened in the present phase; means something once any packet has been opened
	phase    uint8
	window   replayWindow
	nonce    [ivSize]byte
}

// NewOpener begins with key phase 0. The suite is the handshake's; an unknown one panics.
func NewOpener(suite Suite, secret Secret) *Opener {
	o := &Opener{suite: suite, present: newTrafficKey(suite, &secret), secret: nextSecret(&secret)}
	o.next = newTrafficKey(suite, &o.secret)
	return o
}

// Open authenticates and decrypts one packet, in place: plaintext lies where ciphertext was and lives as long as that buffer.
// phase and pn32 are what the header says, and header is all of it. pn is the full packet number.
//
// The error is ErrReplay or ErrOpen; the opener is then as it was before, but the bytes of ciphertext may be gone.
func (o *Opener) Open(header, ciphertext []byte, phase uint8, pn32 uint32) (pn uint64, plaintext []byte, err error) {
	pn = o.window.nearest(pn32)
	if !o.window.fresh(pn) {
		return 0, nil, ErrReplay
	}
	key := o.keyFor(phase&1, pn)
	if key == nil || len(ciphertext) < TagSize {
		return 0, nil, ErrOpen
	}
	key.nonce(&o.nonce, pn)
	plaintext, err = key.aead.Open(ciphertext[:0], o.nonce[:], ciphertext, header)
	if err != nil {
		return 0, nil, ErrOpen
	}
	switch {
	case key == &o.next:
		o.advance()
		o.first = pn
	case key == &o.present && (pn < o.first || !o.window.any):
		o.first = pn
	}
	o.window.mark(pn)
	if o.window.highest-o.first >= WindowSize {
		o.previous = trafficKey{} // whatever it could open is too old by now
	}
	return pn, plaintext, nil
}

// keyFor returns the one key that may open a packet, nil if there is none.
func (o *Opener) keyFor(phase uint8, pn uint64) *trafficKey {
	switch {
	case phase == o.phase:
		return &o.present
	case !o.window.any:
		return nil // a session begins in phase 0
	case pn > o.window.highest:
		// The present phase has opened a packet, the one that began it at least, so its sender can have had the
		// acknowledgement without which it may not go on.
		return &o.next
	case pn < o.first && o.previous.aead != nil:
		return &o.previous
	}
	return nil
}

// advance makes the next phase the present one and derives the one after it.
func (o *Opener) advance() {
	o.previous, o.present = o.present, o.next
	o.phase ^= 1
	o.secret = nextSecret(&o.secret)
	o.next = newTrafficKey(o.suite, &o.secret)
}

// Highest returns the highest packet number opened, and whether there is one.
func (o *Opener) Highest() (uint64, bool) { return o.window.highest, o.window.any }

// Phase returns the key phase bit of the present phase, 0 or 1.
func (o *Opener) Phase() uint8 { return o.phase }

// Format prints [redacted].
func (o Opener) Format(f fmt.State, _ rune) { redact(f) }
