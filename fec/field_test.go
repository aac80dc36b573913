package fec

import "testing"

// slowMul multiplies in GF(2⁸) as the definition says: polynomials over GF(2), modulo 0x11d.
func slowMul(a, b byte) byte {
	product, x := 0, int(a)
	for ; b != 0; b >>= 1 {
		if b&1 != 0 {
			product ^= x
		}
		if x <<= 1; x&0x100 != 0 {
			x ^= 0x11d
		}
	}
	return byte(product)
}

func TestTables(t *testing.T) {
	x := byte(1)
	for n := range 255 {
		if powers[n] != x || logs[x] != uint8(n) {
			t.Fatalf("2 to the %d is %#x: powers has %#x, logs %d", n, x, powers[n], logs[x])
		}
		x = slowMul(x, 2)
	}
	for a := range 256 {
		for b := range 256 {
			if got, want := mul(byte(a), byte(b)), slowMul(byte(a), byte(b)); got != want {
				t.Fatalf("%#x · %#x = %#x, want %#x", a, b, got, want)
			}
		}
	}
	for n := -600; n < 600; n++ {
		if got, want := power(n), powers[(n+3*255)%255]; got != want {
			t.Fatalf("2 to the %d = %#x, want %#x", n, got, want)
		}
	}
}

func TestCoefficients(t *testing.T) {
	for i := range MaxParity {
		for j := range MaxBlock {
			if got := slowMul(coefficient(i, j), byte(255-i)^byte(j)); got != 1 {
				t.Fatalf("c(%d,%d) is not the inverse of (255−%d)⊕%d", i, j, i, j)
			}
		}
	}
}
