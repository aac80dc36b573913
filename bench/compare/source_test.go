package main

import (
	"bytes"
	"math"
	"testing"
	"time"
)

// Two seconds of media have the rate, the key frames and the order that the README tells.
func TestSource(t *testing.T) {
	s, again := newSource(7), newSource(7)
	var bytesOf, count [kinds]int
	keys, last := 0, time.Duration(0)
	const length = 60 * time.Second
	for f := s.frame(); f.at < length; f = s.frame() {
		g := again.frame()
		if !bytes.Equal(f.body, g.body) || f.at != g.at {
			t.Fatalf("frame %d of kind %d is another one with the same seed", f.index, f.kind)
		}
		if f.at < last || int(f.index) != count[f.kind] {
			t.Fatalf("frame %d of kind %d at %v comes after %v", f.index, f.kind, f.at, last)
		}
		last = f.at
		count[f.kind]++
		bytesOf[f.kind] += len(f.body)
		if f.key {
			keys++
		}
	}
	if count[video] != 60*fps || count[audio] != 60*audioPerSec || keys != 60*fps/gop {
		t.Errorf("%v frames, %d key frames", count, keys)
	}
	if rate := float64(bytesOf[video]) * 8 / length.Seconds(); math.Abs(rate/videoRate-1) > 0.01 {
		t.Errorf("video has %.0f bit/s", rate)
	}
	if bytesOf[audio] != count[audio]*audioSize {
		t.Errorf("audio has %d bytes", bytesOf[audio])
	}
}

func TestStamp(t *testing.T) {
	f := newSource(1).frame()
	f.stamp(5 * time.Second)
	k, index, captured, err := open(f.body)
	if err != nil || k != f.kind || index != f.index || captured != 5*time.Second {
		t.Errorf("%v %v %v %v", k, index, captured, err)
	}
	f.body = append(f.body, 0)
	if _, _, _, err := open(f.body); err == nil {
		t.Error("a body with a byte more passes")
	}
}
