package main

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

func TestFragments(t *testing.T) {
	const seed = 3
	rng := rand.New(rand.NewPCG(seed, 0))
	src := newSource(seed)
	var d defragmenter
	for range 500 {
		f := src.frame()
		f.stamp(0)
		parts := split(&f, 1150)
		rng.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
		parts = append(parts[:len(parts):len(parts)], parts...) // everything twice
		var got [][]byte
		for _, p := range parts {
			if len(p) > 1150 {
				t.Fatalf("a fragment of %d bytes", len(p))
			}
			if body := d.add(p); body != nil {
				got = append(got, body)
			}
		}
		if len(got) != 1 || !bytes.Equal(got[0], f.body) {
			t.Fatalf("seed %d: frame %d of kind %d came %d times", seed, f.index, f.kind, len(got))
		}
	}
	for k, open := range d.open {
		if len(open) > maxOpen {
			t.Errorf("kind %d: %d frames are kept", k, len(open))
		}
	}
}

// Frames that never become whole are given up, later ones come all the same.
func TestFragmentsMissing(t *testing.T) {
	src := newSource(1)
	var d defragmenter
	for range 2000 {
		f := src.frame()
		parts := split(&f, 500)
		whole := f.index%3 == 0
		if !whole {
			parts = parts[1:]
		}
		var got []byte
		for _, p := range parts {
			if body := d.add(p); body != nil {
				got = body
			}
		}
		if (got != nil) != whole {
			t.Fatalf("frame %d of kind %d: %d bytes", f.index, f.kind, len(got))
		}
	}
	if n := len(d.open[video]); n > maxOpen {
		t.Errorf("%d frames are kept", n)
	}
}

func FuzzFragments(f *testing.F) {
	one := newSource(1).frame()
	for _, p := range split(&one, 1150) {
		f.Add(p, uint16(200))
	}
	f.Add([]byte{}, uint16(1))
	f.Add([]byte{1, 0, 0, 0, 0, 0, 9, 0, 2, 1}, uint16(10))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		var d defragmenter
		d.add(b) // whatever it is
		if len(b) == 0 || size <= fragmentHeader {
			return
		}
		d = defragmenter{}
		in := frame{kind: video, index: 1, body: b}
		var out []byte
		for _, p := range split(&in, int(size)) {
			if body := d.add(p); body != nil {
				out = body
			}
		}
		if (len(b)+int(size))/(int(size)-fragmentHeader) < 1<<16 && !bytes.Equal(out, b) {
			t.Errorf("%d bytes in fragments of %d came as %d", len(b), size, len(out))
		}
	})
}
