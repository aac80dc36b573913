package endpoint

import (
	"encoding/binary"
	"math"
)

// A record is what passes between the worker and an endpoint, many in a row:
//
//	+---------------+------+----------------------+
//	| length        | type | body ...             |   length u32, of type and body; all numbers are big-endian,
//	+---------------+------+----------------------+   f64 is IEEE 754, times are ms of the clock that Step is told

// InType is the type of a record that goes in.
type InType uint8

// The records that go in.
const (
	InDatagrams InType = 1 // carrier u32; then datagrams, each behind its length u16: a message of the WebSocket carrier as it came
	InCarrier   InType = 2 // carrier u32, flags u8 (1 up, 2 reliable): it is up, or is gone
	InBacklog   InType = 3 // carrier u32, bytes u32 that it has not sent yet
	InFrame     InType = 4 // codec u8, flags u8 (FlagKey, FlagConfig), timestamp u32 in ms, capture f64; then the frame or configuration
	InKeyFrame  InType = 5 // player: ask the pusher for a key frame
	InMessage   InType = 6 // pusher: timestamp u32, then text: a data message within the stream
	InSize      InType = 7 // pusher: width u16, height u16, frame rate u16: onMetaData
	InClose     InType = 8 // end it
)

// OutType is the type of a record that comes out.
type OutType uint8

// The records that come out.
const (
	OutDatagrams OutType = 1  // carrier u32; then datagrams, each behind its length u16
	OutEvent     OutType = 2  // code i32, then text
	OutFrame     OutType = 3  // codec u8, flags u8, timestamp u32, composition i32 in ms, captured f64 (NaN unknown), complete f64; then data
	OutStatus    OutType = 4  // f64 each: see statusFields
	OutBitrate   OutType = 5  // pusher: bit/s f64 that the encoders should make together
	OutKeyFrame  OutType = 6  // pusher: a key frame is needed
	OutTarget    OutType = 7  // player: ms f64 after their capture at which frames should be shown
	OutBacklog   OutType = 8  // pusher: bytes f64 that wait to be sent, ms f64 that this will take
	OutMessage   OutType = 9  // player: timestamp u32, then text
	OutSize      OutType = 10 // player: width u16, height u16
	OutRun       OutType = 11 // player: another run of the pusher begins, timestamps start anew
	OutOver      OutType = 12 // it is over: code i32 (0: ended without trouble), then text
)

// Flags of frames.
const (
	FlagKey    = 1 // decoding can begin here
	FlagConfig = 2 // a decoder configuration, no frame
	FlagGap    = 4 // frames of this kind were given up before this one
)

const recordHeader = 5

// nextRecord takes the first record off b. ok is false at the end, or where b is cut off, which the worker never does.
func nextRecord(b []byte) (kind InType, body, rest []byte, ok bool) {
	if len(b) < recordHeader {
		return 0, nil, nil, false
	}
	n := int(binary.BigEndian.Uint32(b))
	if n < 1 || n > len(b)-4 {
		return 0, nil, nil, false
	}
	return InType(b[4]), b[recordHeader : 4+n], b[4+n:], true
}

// writer appends records to a buffer.
type writer struct {
	b     []byte
	start int
}

func (w *writer) begin(kind OutType) {
	w.start = len(w.b)
	w.b = append(w.b, 0, 0, 0, 0, byte(kind))
}

func (w *writer) end() { binary.BigEndian.PutUint32(w.b[w.start:], uint32(len(w.b)-w.start-4)) }

func (w *writer) u8(v uint8)    { w.b = append(w.b, v) }
func (w *writer) u16(v uint16)  { w.b = binary.BigEndian.AppendUint16(w.b, v) }
func (w *writer) u32(v uint32)  { w.b = binary.BigEndian.AppendUint32(w.b, v) }
func (w *writer) f64(v float64) { w.b = binary.BigEndian.AppendUint64(w.b, math.Float64bits(v)) }
func (w *writer) text(s string) { w.b = append(w.b, s...) }
func (w *writer) data(b []byte) { w.b = append(w.b, b...) }

// reader takes numbers off a record's body. Past the end it gives zeros and says so.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.bad = true
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8    { return r.take(1)[0] }
func (r *reader) u16() uint16  { return binary.BigEndian.Uint16(r.take(2)) }
func (r *reader) u32() uint32  { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) f64() float64 { return math.Float64frombits(binary.BigEndian.Uint64(r.take(8))) }
