package rtmpchunk

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
	"testing"
)

// amfNumberBytes writes a named number.
func amfNumberBytes(name string, v float64) string {
	b := binary.BigEndian.AppendUint64([]byte{amfNumber}, math.Float64bits(v))
	return string(amfName(name)[1:]) + string(b)
}

const amfEnd = "\x00\x00\x09"

func TestParseMetadata(t *testing.T) {
	name := string(onMetaData)
	size := amfNumberBytes("width", 1280) + amfNumberBytes("height", 720) + amfNumberBytes("framerate", 29.97)
	full := Metadata{Width: 1280, Height: 720, FPS: 29.97}
	deep := strings.Repeat("\x0a\x00\x00\x00\x01", 100000)
	for _, c := range []struct {
		name string
		body string
		want Metadata
		ok   bool
	}{
		{"an ECMA array", name + "\x08\x00\x00\x00\x03" + size + amfEnd, full, true},
		{"an object", name + "\x03" + size + amfEnd, full, true},
		{"from a publisher", string(setDataFrame) + name + "\x03" + size + amfEnd, full, true},
		{"no end marker", name + "\x08\x00\x00\x00\x03" + size, full, true},
		{"bytes after the end", name + "\x03" + size + amfEnd + "more", full, true},
		{"a string", name + "\x03\x00\x07encoder\x02\x00\x03obs" + size + amfEnd, Metadata{1280, 720, 29.97, 0, 0, 0, 0, "obs"}, true},
		{
			"values that are passed over", name + "\x03" + "\x00\x01a\x01\x01" + "\x00\x01b\x05" + "\x00\x01c\x06" +
				"\x00\x01d\x0b123456789a" + "\x00\x01e\x0c\x00\x00\x00\x02xy" + "\x00\x01f\x0a\x00\x00\x00\x02\x05\x06" +
				"\x00\x01g\x10\x00\x01T\x00\x01h\x05" + amfEnd + "\x00\x01i\x08\x00\x00\x00\x00" + amfEnd + "\x00\x01j\x07\x00\x01" + size + amfEnd, full, true,
		},
		{"a width that is a string", name + "\x03\x00\x05width\x02\x00\x0212" + amfEnd, Metadata{}, true},
		{"numbers that make no sense", name + "\x03" + amfNumberBytes("width", math.NaN()) + amfNumberBytes("height", -1) +
			amfNumberBytes("framerate", math.Inf(1)) + amfEnd, Metadata{}, true},
		{"cut off in a value", name + "\x03" + size[:len(size)-1], Metadata{Width: 1280, Height: 720}, false},
		{"cut off in a name", name + "\x03\x00\x09wid", Metadata{}, false},
		{"nothing after the name", name, Metadata{}, false},
		{"a number after the name", name + "\x00\x00\x00\x00\x00\x00\x00\x00\x00", Metadata{}, false},
		{"another event", string(amfName("onCuePoint")) + "\x03" + amfEnd, Metadata{}, false},
		{"an unknown marker", name + "\x03\x00\x01a\x20" + amfEnd, Metadata{}, false},
		{"an array of 4 billion", name + "\x03\x00\x01a\x0a\xff\xff\xff\xff", Metadata{}, false},
		{"nested too deep", name + "\x03\x00\x01a" + deep[:5*maxDepth] + "\x05" + amfEnd, Metadata{}, false},
		{"nested very deep", name + "\x03\x00\x01a" + deep, Metadata{}, false},
		{"empty", "", Metadata{}, false},
	} {
		got, err := ParseMetadata([]byte(c.body))
		if got != c.want || (err == nil) != c.ok {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestStripSetDataFrame(t *testing.T) {
	inner := append(bytes.Clone(onMetaData), amfNull)
	wrapped := append(bytes.Clone(setDataFrame), inner...)
	if got := StripSetDataFrame(wrapped); !bytes.Equal(got, inner) {
		t.Errorf("%q", got)
	}
	if got := StripSetDataFrame(inner); !bytes.Equal(got, inner) {
		t.Errorf("%q", got)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add([]byte(string(onMetaData) + "\x08\x00\x00\x00\x01" + amfNumberBytes("width", 640) + amfEnd))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := ParseMetadata(body)
		if m.Width < 0 || m.Height < 0 || math.IsNaN(m.FPS) || len(m.Encoder) > len(body) {
			t.Errorf("%+v", m)
		}
		if err == nil && Classify(Message{Type: TypeData, Payload: body}).Slot != SlotMetadata {
			t.Error("readable as metadata, but not classified so")
		}
	})
}
