package transport

import "time"

// SealPlain seals frames of a test's choice as the next data packet of c: what an authentic and hostile peer can send.
func (c *Conn) SealPlain(now time.Time, plain []byte) []byte {
	b := c.beginPacket(make([]byte, 0, len(plain)+64))
	b = append(b, plain...)
	b = append(b, make([]byte, tagSize)...)[:len(b)]
	n := c.sealPacket(c.advance(now), b, sentPacket{})
	return b[:n]
}

// HeldBytes is what the receive side keeps for repair.
func (c *Conn) HeldBytes() int { return c.receive.kinds[0].bytes + c.receive.kinds[1].bytes }

// MaxHeldBytes is the most that HeldBytes may be.
const MaxHeldBytes = 2 * maxReceiveBytes
