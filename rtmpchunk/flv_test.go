package rtmpchunk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

// sampleMessages has each type of tag, empty bodies, and timestamps on both sides of the 24 bits.
func sampleMessages() []Message {
	return []Message{
		{Type: TypeData, Payload: []byte("metadata")},
		message(TypeVideo, 0, 70000),
		message(TypeAudio, 23, 1),
		message(TypeAudio, 1<<24-1, 0),
		message(TypeVideo, 1<<24, 200),
		{Type: TypeData3, Timestamp: 1 << 31, Payload: []byte{0, 2}},
		message(TypeAudio, 1<<32-1, 300),
	}
}

// flvOf writes messages as a file.
func flvOf(tb testing.TB, messages ...Message) []byte {
	tb.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := w.WriteHeader(true, true); err != nil {
		tb.Fatal(err)
	}
	for _, m := range messages {
		if err := w.Write(m); err != nil {
			tb.Fatal(err)
		}
	}
	return b.Bytes()
}

// readAll reads up to the first error.
func readAll(r io.Reader) (messages []Message, err error) {
	reader := NewReader(r)
	for {
		m, err := reader.Read()
		if err != nil {
			return messages, err
		}
		messages = append(messages, m)
	}
}

func TestFLVRoundTrip(t *testing.T) {
	want := sampleMessages()
	file := flvOf(t, want...)
	for name, r := range map[string]io.Reader{
		"at once":     bytes.NewReader(file),
		"by the byte": iotest.OneByteReader(bytes.NewReader(file)),
		"data, error": iotest.DataErrReader(bytes.NewReader(file)),
	} {
		got, err := readAll(r)
		if err != io.EOF || len(got) != len(want) {
			t.Fatalf("%s: %d messages of %d, then %v", name, len(got), len(want), err)
		}
		for i := range want {
			if !equalMessage(got[i], want[i]) {
				t.Errorf("%s: message %d differs", name, i)
			}
		}
	}
}

func TestWriterBytes(t *testing.T) {
	var b bytes.Buffer
	w := NewWriter(&b)
	if err := w.WriteHeader(true, false); err != nil {
		t.Fatal(err)
	}
	for _, m := range []Message{
		{Type: TypeAudio, Timestamp: 0x12345678, Payload: []byte{0xaf, 1}},
		{Type: TypeCommand, Payload: []byte{2, 0, 0}}, // has no place in a file
	} {
		if err := w.Write(m); err != nil {
			t.Fatal(err)
		}
	}
	want := unhex(t, "464c56 01 04 00000009 00000000  08 000002 345678 12 000000 af01 0000000d")
	if !bytes.Equal(b.Bytes(), want) {
		t.Errorf("got  %x\nwant %x", b.Bytes(), want)
	}
	if err := w.Write(message(TypeVideo, 0, 1<<24)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a body of 16 MiB: %v", err)
	}
}

// callCounter counts calls and fails from a number on.
type callCounter struct{ calls, failAt int }

func (c *callCounter) Write(b []byte) (int, error) {
	c.calls++
	if c.failAt != 0 && c.calls >= c.failAt {
		return 0, io.ErrShortWrite
	}
	return len(b), nil
}

func TestWriterWritesATagAtOnce(t *testing.T) {
	c := &callCounter{}
	w := NewWriter(c)
	for range 3 { // the first one brings the file's header along
		if err := w.Write(message(TypeVideo, 0, 100000)); err != nil {
			t.Fatal(err)
		}
	}
	if c.calls != 3 {
		t.Errorf("%d calls for 3 messages", c.calls)
	}
	c.failAt = 4
	if err := w.Write(message(TypeVideo, 0, 1)); !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("a full disk: %v", err)
	}
}

// TestTruncated cuts a file at every byte: what was whole before is delivered, and the end is told from a fault.
func TestTruncated(t *testing.T) {
	messages := []Message{message(TypeAudio, 0, 3), message(TypeVideo, 5, 9)}
	file := flvOf(t, messages...)
	first := flvHeader + flvTagSize + flvTagHeader + 3
	for n := range file {
		got, err := readAll(bytes.NewReader(file[:n]))
		want, whole := ErrTruncated, 0
		switch {
		case n < 3:
			want = ErrNotFLV
		case n >= flvHeader && n <= flvHeader+flvTagSize, n >= first && n <= first+flvTagSize, n >= len(file)-flvTagSize:
			want = io.EOF
		}
		if n >= first {
			whole++
		}
		if n >= len(file)-flvTagSize {
			whole++
		}
		if !errors.Is(err, want) || len(got) != whole {
			t.Errorf("%d of %d bytes: %d messages of %d, then %v; want %v", n, len(file), len(got), whole, err, want)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	file := flvOf(t, message(TypeAudio, 0, 3), message(TypeVideo, 5, 9))
	second := flvHeader + flvTagSize + flvTagHeader + 3 + flvTagSize
	set := func(at int, v ...byte) []byte {
		b := bytes.Clone(file)
		copy(b[at:], v)
		return b
	}
	var damaged *FormatError
	for _, c := range []struct {
		name     string
		file     []byte
		messages int
		want     error
	}{
		{"an MP4", []byte("\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41"), 0, ErrNotFLV},
		{"text", []byte(strings.Repeat("not media\n", 10)), 0, ErrNotFLV},
		{"a header of 8 bytes", set(5, 0, 0, 0, 8), 0, ErrNotFLV},
		{"a header of 4 GiB", set(5, 255, 255, 255, 255), 0, ErrNotFLV},
		{"an encrypted tag", set(second, 0x29), 1, ErrEncrypted},
		{"reserved bits", set(second, 0x89), 1, nil},
		{"no such type", set(second, 0), 1, nil},
		{"a claim of 16 MiB", set(second+1, 255, 255, 255), 1, ErrTruncated},
		{"a claim of 3 MiB", set(second+1, 0x30, 0, 0), 1, ErrTruncated},
	} {
		got, err := readAll(bytes.NewReader(c.file))
		if c.want == nil && (!errors.As(err, &damaged) || damaged.Offset != int64(second)) || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v; want %v", c.name, err, c.want)
		}
		if len(got) != c.messages {
			t.Errorf("%s: %d messages before; want %d", c.name, len(got), c.messages)
		}
	}
}

// TestReaderTolerates has what other writers get wrong.
func TestReaderTolerates(t *testing.T) {
	want := message(TypeAudio, 5, 9)
	file := flvOf(t, message(TypeAudio, 0, 3), want)
	second := flvHeader + flvTagSize + flvTagHeader + 3 + flvTagSize
	wrongSize := bytes.Clone(file)
	binary.BigEndian.PutUint32(wrongSize[second-flvTagSize:], 12345)
	streamID := bytes.Clone(file)
	streamID[second+10] = 1
	longHeader := append([]byte("FLV\x01\x05\x00\x00\x00\x0c\xff\xff\xff"), file[flvHeader:]...)
	for name, b := range map[string][]byte{"a wrong tag size": wrongSize, "a stream ID": streamID, "a longer header": longHeader} {
		got, err := readAll(bytes.NewReader(b))
		if err != io.EOF || len(got) != 2 || !equalMessage(got[1], want) {
			t.Errorf("%s: %d messages, then %v", name, len(got), err)
		}
	}
}

func TestReaderGoesOnAfterALargeTag(t *testing.T) {
	want := message(TypeVideo, 2, 5)
	r := NewReader(bytes.NewReader(flvOf(t, message(TypeVideo, 1, MaxMessage+1), want)))
	if _, err := r.Read(); !errors.Is(err, ErrTooLarge) {
		t.Fatalf("%v; want %v", err, ErrTooLarge)
	}
	if m, err := r.Read(); err != nil || !equalMessage(m, want) {
		t.Fatalf("the tag after it: %v", err)
	}
	if _, err := r.Read(); err != io.EOF {
		t.Fatalf("at the end: %v", err)
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	fault := errors.New("cable pulled")
	file := flvOf(t, message(TypeAudio, 0, 3))
	r := NewReader(io.MultiReader(bytes.NewReader(file), iotest.ErrReader(fault)))
	if _, err := r.Read(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := r.Read(); err != fault {
			t.Errorf("%v; want the input's error, again and again", err)
		}
	}
}

// TestClaimCostsNoMemory reads a file that says 4 MiB and has none of it.
func TestClaimCostsNoMemory(t *testing.T) {
	file := append([]byte("FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00\x09\x40\x00\x00"), make([]byte, 100)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := NewReader(bytes.NewReader(file)).Read()
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrTruncated) {
		t.Fatal(err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 8*readStep {
		t.Errorf("%d bytes of memory for a file of %d", n, len(file))
	}
}

func FuzzReader(f *testing.F) {
	f.Add(flvOf(f, sampleMessages()[2:]...))
	f.Add([]byte("FLV\x01\x05\x00\x00\x00\x09"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r := NewReader(bytes.NewReader(file))
		var messages []Message
		size := 0
		for {
			m, err := r.Read()
			if errors.Is(err, ErrTooLarge) {
				continue
			}
			if err != nil {
				break
			}
			messages = append(messages, m)
			size += flvTagSize + flvTagHeader + len(m.Payload)
		}
		if size > len(file) {
			t.Fatalf("%d bytes of tags from %d", size, len(file))
		}
		again, err := readAll(bytes.NewReader(flvOf(t, messages...)))
		if err != io.EOF || len(again) != len(messages) {
			t.Fatalf("%d messages came back as %d, then %v", len(messages), len(again), err)
		}
		for i := range again {
			if !equalMessage(again[i], messages[i]) {
				t.Fatalf("message %d differs", i)
			}
		}
	})
}
