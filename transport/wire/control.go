package wire

import "encoding/binary"

// ControlType is the first byte of a control message.
type ControlType uint8

// The control messages; docs/wire.md section 6.
const (
	ControlStart    ControlType = 1
	ControlSkip     ControlType = 2
	ControlRecord   ControlType = 3
	ControlKeyFrame ControlType = 4
	ControlBitrate  ControlType = 5
	ControlStatus   ControlType = 6
	ControlEnd      ControlType = 7
	ControlClock    ControlType = 8
	ControlArrival  ControlType = 9
	ControlAim      ControlType = 10
)

// Limits of control messages in bytes.
const (
	ControlMessageHeader = 4
	MaxRecordBody        = 65536
	MaxControlBody       = MaxRecordBody + 256
)

// Control is one parsed control message. Only the fields that its type names are set.
type Control struct {
	Type      ControlType
	Instance  uint32    // START, STATUS 1002
	Order     uint64    // START, SKIP, RECORD, END, STATUS 1002
	Seq       [2]uint16 // START: next sequence numbers, audio and video
	Count     uint32    // SKIP
	Slot, ID  uint8     // RECORD
	Message   uint8     // RECORD: RTMP message type
	Timestamp uint32    // RECORD
	Bitrate   uint32    // BITRATE, bit/s
	Code      uint16    // STATUS
	Clock     [2]uint64 // CLOCK: stream time and relay's clock, µs
	Arrival   uint32    // ARRIVAL, AIM: ms after capture
	Final     bool      // ARRIVAL: what comes later is of no use
	Data      []byte    // RECORD body, STATUS text; a view
}

// StatusPushBegins is the STATUS code that also carries what the relay has of the instance.
const StatusPushBegins = 1002

// AppendControlMessage appends c with its type and length. Bodies over MaxControlBody are the caller's fault and fail with
// ErrMalformed.
func AppendControlMessage(b []byte, c *Control) ([]byte, error) {
	head := len(b)
	b = append(b, byte(c.Type), 0, 0, 0)
	switch c.Type {
	case ControlStart:
		b = binary.BigEndian.AppendUint32(b, c.Instance)
		b = binary.BigEndian.AppendUint64(b, c.Order)
		b = binary.BigEndian.AppendUint16(b, c.Seq[0])
		b = binary.BigEndian.AppendUint16(b, c.Seq[1])
	case ControlSkip:
		b = binary.BigEndian.AppendUint64(b, c.Order)
		b = binary.BigEndian.AppendUint32(b, c.Count)
	case ControlRecord:
		b = binary.BigEndian.AppendUint64(b, c.Order)
		b = append(b, c.Slot, c.ID, c.Message)
		b = binary.BigEndian.AppendUint32(b, c.Timestamp)
		b = append(b, c.Data...)
	case ControlKeyFrame:
	case ControlBitrate:
		b = binary.BigEndian.AppendUint32(b, c.Bitrate)
	case ControlStatus:
		b = binary.BigEndian.AppendUint16(b, c.Code)
		if c.Code == StatusPushBegins {
			b = binary.BigEndian.AppendUint32(b, c.Instance)
			b = binary.BigEndian.AppendUint64(b, c.Order)
		}
		b = appendReason(b, c.Data)
	case ControlArrival:
		b = binary.BigEndian.AppendUint32(b, c.Arrival)
		b = append(b, flag(c.Final))
	case ControlAim:
		b = binary.BigEndian.AppendUint32(b, c.Arrival)
	case ControlEnd:
		b = binary.BigEndian.AppendUint64(b, c.Order)
	case ControlClock:
		b = binary.BigEndian.AppendUint64(b, c.Clock[0])
		b = binary.BigEndian.AppendUint64(b, c.Clock[1])
	default:
		return b[:head], ErrMalformed
	}
	n := len(b) - head - ControlMessageHeader
	if n > MaxControlBody || c.Type == ControlRecord && len(c.Data) > MaxRecordBody {
		return b[:head], ErrMalformed
	}
	b[head+1], b[head+2], b[head+3] = byte(n>>16), byte(n>>8), byte(n)
	return b, nil
}

func flag(v bool) byte {
	if v {
		return 1
	}
	return 0
}

// NextControl parses the control message at the front of b. It returns n = 0 while the message is not whole yet, and
// ErrMalformed if it can never be. A message of unknown type has only Type set.
func NextControl(b []byte, c *Control) (n int, err error) {
	if len(b) < ControlMessageHeader {
		return 0, nil
	}
	r := reader{b: b[1:]}
	size := int(r.u24())
	if size > MaxControlBody {
		return 0, ErrMalformed
	}
	if len(r.b) < size {
		return 0, nil
	}
	r.b = r.b[:size:size]
	*c = Control{Type: ControlType(b[0])}
	switch c.Type {
	case ControlStart:
		c.Instance, c.Order = r.u32(), r.u64()
		c.Seq[0], c.Seq[1] = r.u16(), r.u16()
	case ControlSkip:
		c.Order, c.Count = r.u64(), r.u32()
	case ControlRecord:
		c.Order = r.u64()
		c.Slot, c.ID, c.Message = r.u8(), r.u8(), r.u8()
		c.Timestamp = r.u32()
		c.Data = r.bytes(len(r.b))
	case ControlKeyFrame:
	case ControlBitrate:
		c.Bitrate = r.u32()
	case ControlStatus:
		c.Code = r.u16()
		if c.Code == StatusPushBegins {
			c.Instance, c.Order = r.u32(), r.u64()
		}
		c.Data = r.bytes(int(r.u8()))
	case ControlArrival:
		c.Arrival = r.u32()
		v := r.u8()
		c.Final, r.bad = v == 1, r.bad || v > 1
	case ControlAim:
		c.Arrival = r.u32()
	case ControlEnd:
		c.Order = r.u64()
	case ControlClock:
		c.Clock[0], c.Clock[1] = r.u64(), r.u64()
	default:
		r.b = nil
	}
	if r.bad || len(r.b) != 0 || len(c.Data) > MaxRecordBody {
		return 0, ErrMalformed
	}
	return ControlMessageHeader + size, nil
}
