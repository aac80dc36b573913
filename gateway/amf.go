package gateway

import (
	"encoding/binary"
	"errors"
)

// Limits of the AMF0 values that commands hold.
const (
	maxAMFDepth  = 8
	maxAMFValues = 256
)

// errAMF means that a command's body is not what a command has. Nobody acts on more detail.
var errAMF = errors.New("gateway: malformed AMF0")

// checkAMF walks the AMF0 values of a command's body. go-amf0 decodes them later; it sizes arrays by what the wire says and
// recurses without limit, so what it gets is known to be small, shallow, whole, and of the types that commands use. Undefined values
// become null in b.
func checkAMF(b []byte) error {
	c := amfChecker{b: b}
	for len(c.b) > 0 {
		if !c.value(0) {
			return errAMF
		}
	}
	return nil
}

type amfChecker struct {
	b      []byte
	values int
}

// AMF0 type markers.
const (
	amfNumber    = 0
	amfBoolean   = 1
	amfString    = 2
	amfObject    = 3
	amfNull      = 5
	amfUndefined = 6
	amfECMAArray = 8
	amfObjectEnd = 9
	amfArray     = 10
	amfDate      = 11
)

// value takes one value.
func (c *amfChecker) value(depth int) bool {
	c.values++
	if depth > maxAMFDepth || c.values > maxAMFValues || len(c.b) == 0 {
		return false
	}
	at := c.b
	marker := c.b[0]
	c.b = c.b[1:]
	switch marker {
	case amfNumber:
		return c.skip(8)
	case amfBoolean:
		return c.skip(1)
	case amfString:
		return c.text()
	case amfUndefined: // go-amf0 has none
		at[0] = amfNull
		return true
	case amfNull:
		return true
	case amfDate:
		return c.skip(10)
	case amfArray: // the codecs that an encoder offers, in connect
		return c.array(depth)
	case amfECMAArray:
		if len(c.b) < 4 || binary.BigEndian.Uint32(c.b) > maxAMFValues {
			return false
		}
		return c.skip(4) && c.pairs(depth)
	case amfObject:
		return c.pairs(depth)
	default:
		return false
	}
}

// array takes an array's count and values.
func (c *amfChecker) array(depth int) bool {
	if len(c.b) < 4 {
		return false
	}
	n := binary.BigEndian.Uint32(c.b)
	if n > maxAMFValues {
		return false
	}
	c.b = c.b[4:]
	for range n {
		if !c.value(depth + 1) {
			return false
		}
	}
	return true
}

// pairs takes an object's names and values up to its end.
func (c *amfChecker) pairs(depth int) bool {
	for {
		if len(c.b) >= 3 && c.b[0] == 0 && c.b[1] == 0 && c.b[2] == amfObjectEnd {
			return c.skip(3)
		}
		if !c.text() || !c.value(depth+1) {
			return false
		}
	}
}

// text takes a string with its 16-bit length.
func (c *amfChecker) text() bool {
	if len(c.b) < 2 {
		return false
	}
	return c.skip(2 + int(binary.BigEndian.Uint16(c.b)))
}

func (c *amfChecker) skip(n int) bool {
	if len(c.b) < n {
		return false
	}
	c.b = c.b[n:]
	return true
}
