package wire

import "encoding/binary"

// FrameType is the first byte of a frame.
type FrameType uint8

// The frames; docs/wire.md section 4.
const (
	FramePadding       FrameType = 0x00
	FramePing          FrameType = 0x01
	FramePong          FrameType = 0x02
	FrameFeedback      FrameType = 0x03
	FrameControl       FrameType = 0x04
	FramePathChallenge FrameType = 0x05
	FramePathResponse  FrameType = 0x06
	FrameClose         FrameType = 0x07
	FrameMedia         FrameType = 0x10
	FrameRepair        FrameType = 0x11
)

// Sizes of frames in bytes, type byte included.
const (
	PingSize         = 9
	PongSize         = 25
	FeedbackHeader   = 11
	ControlHeader    = 7
	PathSize         = 9
	RepairHeader     = 6
	MaxFeedbackCount = 512
	MaxRepairBlock   = 128
	MaxRepairParity  = 128
	FeedbackAgeMax   = 0x1fff // ticks

	MaxFeedbackEarlier   = 63 // bytes
	feedbackEarlierShift = 10
	feedbackReceived     = 0x8000
	feedbackECNShift     = 13
	repairVideo          = 0x80
	repairWindow         = 0x40
	feedbackECNMask      = 3
	feedbackRecordLen    = 2
)

// AckEliciting reports whether a packet with a frame of this type asks for a FEEDBACK.
func (t FrameType) AckEliciting() bool {
	switch t {
	case FrameControl, FrameMedia, FrameRepair, FramePathResponse, FrameClose:
		return true
	default:
		return false
	}
}

// CloseCode says why a session ended; docs/wire.md section 7.
type CloseCode uint16

// The close codes that travel.
const (
	CloseOK       CloseCode = 0
	CloseRefused  CloseCode = 1
	CloseReplaced CloseCode = 2
	CloseBusy     CloseCode = 3
	CloseLimit    CloseCode = 4
	CloseShutdown CloseCode = 5
	CloseProtocol CloseCode = 6
	CloseIdle     CloseCode = 7
	CloseRevoked  CloseCode = 8
)

var closeNames = [...]string{"ok", "refused", "replaced", "busy", "limit", "shutdown", "protocol", "idle", "revoked"}

// String returns the code's name in docs/wire.md.
func (c CloseCode) String() string {
	if int(c) < len(closeNames) {
		return closeNames[c]
	}
	return "unknown"
}

// Final reports whether the same client would get the same answer again: it must not reconnect.
func (c CloseCode) Final() bool {
	switch c {
	case CloseRefused, CloseReplaced, CloseBusy, CloseRevoked:
		return true
	default:
		return false
	}
}

// Frame is one parsed frame. Only the fields that its type names are set.
type Frame struct {
	Type     FrameType
	Clock    [3]uint64 // PING: [0]; PONG: all three
	Offset   uint32    // CONTROL
	Data     []byte    // CONTROL bytes, PATH token (8), CLOSE reason, MEDIA's RTP packet, REPAIR's parity symbol; a view
	Code     CloseCode // CLOSE
	Feedback Feedback
	Repair   Repair
}

// Feedback is the body of a FEEDBACK frame.
type Feedback struct {
	Base    uint32 // low half of the first packet number
	Clock   uint32 // receiver's clock when it was built, ticks
	Records []byte // two bytes a packet; use At
	Earlier []byte // one bit a packet, before the first; use Had
}

// Count is the number of packets reported.
func (f *Feedback) Count() int { return len(f.Records) / feedbackRecordLen }

// Had reports whether packet number base−1−i was received, for i below 8·len(Earlier).
func (f *Feedback) Had(i int) bool { return f.Earlier[i/8]>>(i%8)&1 != 0 }

// At returns the record of packet number base+i: whether it was received, its ECN mark, and its age in ticks at building.
func (f *Feedback) At(i int) (received bool, ecn uint8, age uint32) {
	v := binary.BigEndian.Uint16(f.Records[i*feedbackRecordLen:])
	return v&feedbackReceived != 0, uint8(v >> feedbackECNShift & feedbackECNMask), uint32(v & FeedbackAgeMax)
}

// Repair is the header of a REPAIR frame.
type Repair struct {
	Video  bool
	Window bool   // over a window, which may hold packets of several messages, and not over a block
	Base   uint16 // sequence number of the first packet
	K      int    // packets
	Index  int    // which parity symbol
}

// AppendPing appends a PING.
func AppendPing(b []byte, clock uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, byte(FramePing)), clock)
}

// AppendPong appends a PONG.
func AppendPong(b []byte, clock [3]uint64) []byte {
	b = append(b, byte(FramePong))
	for _, c := range clock {
		b = binary.BigEndian.AppendUint64(b, c)
	}
	return b
}

// AppendFeedbackHeader appends a FEEDBACK frame up to its records, of which exactly n (1 to 512) must follow by
// AppendFeedbackRecord, and after them the m (0 to 63) bytes of Earlier.
func AppendFeedbackHeader(b []byte, base, clock uint32, n, m int) []byte {
	b = append(b, byte(FrameFeedback))
	b = binary.BigEndian.AppendUint32(b, base)
	b = binary.BigEndian.AppendUint32(b, clock)
	return binary.BigEndian.AppendUint16(b, uint16(m<<feedbackEarlierShift|n))
}

// AppendFeedbackRecord appends the record of one packet number.
func AppendFeedbackRecord(b []byte, received bool, ecn uint8, age uint32) []byte {
	if !received {
		return append(b, 0, 0)
	}
	return binary.BigEndian.AppendUint16(b, feedbackReceived|uint16(ecn&feedbackECNMask)<<feedbackECNShift|uint16(min(age, FeedbackAgeMax)))
}

// AppendControl appends a CONTROL frame.
func AppendControl(b []byte, offset uint32, data []byte) []byte {
	b = append(b, byte(FrameControl))
	b = binary.BigEndian.AppendUint32(b, offset)
	b = binary.BigEndian.AppendUint16(b, uint16(len(data)))
	return append(b, data...)
}

// AppendPath appends a PATH_CHALLENGE or PATH_RESPONSE.
func AppendPath(b []byte, t FrameType, token [8]byte) []byte {
	return append(append(b, byte(t)), token[:]...)
}

// AppendClose appends a CLOSE; a reason over MaxReason bytes is cut.
func AppendClose(b []byte, code CloseCode, reason string) []byte {
	b = append(b, byte(FrameClose))
	b = binary.BigEndian.AppendUint16(b, uint16(code))
	return appendReason(b, []byte(reason))
}

// AppendMedia appends a MEDIA frame, which must be the packet's only one.
func AppendMedia(b, rtp []byte) []byte {
	return append(append(b, byte(FrameMedia)), rtp...)
}

// AppendRepairHeader appends a REPAIR frame up to its parity symbol, which must follow and end the packet.
func AppendRepairHeader(b []byte, r Repair) []byte {
	var flags byte
	if r.Video {
		flags |= repairVideo
	}
	if r.Window {
		flags |= repairWindow
	}
	b = append(b, byte(FrameRepair), flags)
	b = binary.BigEndian.AppendUint16(b, r.Base)
	return append(b, byte(r.K), byte(r.Index))
}

// NextFrame parses the first frame of b into f and returns what follows it.
func NextFrame(b []byte, f *Frame) (rest []byte, err error) {
	r := reader{b: b}
	f.Type = FrameType(r.u8())
	switch f.Type {
	case FramePadding:
	case FramePing:
		f.Clock[0] = r.u64()
	case FramePong:
		f.Clock[0], f.Clock[1], f.Clock[2] = r.u64(), r.u64(), r.u64()
	case FrameFeedback:
		f.Feedback.Base, f.Feedback.Clock = r.u32(), r.u32()
		n := int(r.u16())
		m := n >> feedbackEarlierShift
		n &= 1<<feedbackEarlierShift - 1
		if n == 0 || n > MaxFeedbackCount {
			return nil, ErrMalformed
		}
		f.Feedback.Records = r.bytes(n * feedbackRecordLen)
		f.Feedback.Earlier = r.bytes(m)
	case FrameControl:
		f.Offset = r.u32()
		f.Data = r.bytes(int(r.u16()))
	case FramePathChallenge, FramePathResponse:
		f.Data = r.bytes(8)
	case FrameClose:
		f.Code = CloseCode(r.u16())
		f.Data = r.bytes(int(r.u8()))
	case FrameMedia:
		f.Data = r.bytes(len(r.b))
	case FrameRepair:
		flags := r.u8()
		f.Repair = Repair{Video: flags&repairVideo != 0, Window: flags&repairWindow != 0, Base: r.u16(), K: int(r.u8()), Index: int(r.u8())}
		f.Data = r.bytes(len(r.b))
		if flags&^(repairVideo|repairWindow) != 0 || f.Repair.K == 0 || f.Repair.K > MaxRepairBlock || f.Repair.Index >= MaxRepairParity {
			return nil, ErrMalformed
		}
	default:
		return nil, ErrMalformed
	}
	if r.bad {
		return nil, ErrShort
	}
	return r.b, nil
}

func appendReason(b, reason []byte) []byte {
	reason = reason[:min(len(reason), MaxReason)]
	return append(append(b, byte(len(reason))), reason...)
}
