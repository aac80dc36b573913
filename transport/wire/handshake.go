package wire

import (
	"encoding/binary"
	"time"
)

// Role is what a client does in a session.
type Role uint8

// The roles.
const (
	RolePush Role = 1
	RolePlay Role = 2
)

// String returns "push" or "play".
func (r Role) String() string {
	if r == RolePush {
		return "push"
	}
	return "play"
}

// Limits of the fields of an INIT payload in bytes.
const (
	MaxStreamName = 133 // "live/" and 128 characters
	MaxToken      = 940 // leaves the INIT one datagram long
	MaxReason     = 200
)

// InitPayload is what a client says under encryption in its first message.
type InitPayload struct {
	Role   Role
	Budget time.Duration // whole milliseconds
	Stream []byte
	Token  []byte
}

// AppendInitPayload appends p and pads with zeros so that len(result)-len(b) is size. It fails with ErrMalformed if a field
// is too long for the format.
func AppendInitPayload(b []byte, p *InitPayload, size int) ([]byte, error) {
	if len(p.Stream) > MaxStreamName || len(p.Token) > MaxToken {
		return b, ErrMalformed
	}
	end := len(b) + size
	b = append(b, byte(p.Role), 0)
	b = binary.BigEndian.AppendUint32(b, uint32(p.Budget/time.Millisecond))
	b = append(b, byte(len(p.Stream)))
	b = append(b, p.Stream...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(p.Token)))
	b = append(b, p.Token...)
	if len(b) > end {
		return b, ErrMalformed
	}
	return append(b, make([]byte, end-len(b))...), nil
}

// ParseInitPayload reads an INIT payload; the slices in p are views into b.
func ParseInitPayload(b []byte, p *InitPayload) error {
	r := reader{b: b}
	p.Role = Role(r.u8())
	zero := r.u8()
	p.Budget = time.Duration(r.u32()) * time.Millisecond
	p.Stream = r.bytes(int(r.u8()))
	p.Token = r.bytes(int(r.u16()))
	if r.bad || zero != 0 || p.Role != RolePush && p.Role != RolePlay || len(p.Stream) > MaxStreamName || len(p.Token) > MaxToken || !allZero(r.b) {
		return ErrMalformed
	}
	return nil
}

// AcceptPayload is the relay's answer under encryption.
type AcceptPayload struct {
	Code        CloseCode // CloseOK: accepted
	Reason      []byte
	Session     uint64
	Reset       [ResetValueSize]byte
	IdleTimeout time.Duration // whole milliseconds
}

// AppendAcceptPayload appends p; a reason over MaxReason bytes is cut.
func AppendAcceptPayload(b []byte, p *AcceptPayload) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(p.Code))
	b = appendReason(b, p.Reason)
	b = binary.BigEndian.AppendUint64(b, p.Session)
	b = append(b, p.Reset[:]...)
	return binary.BigEndian.AppendUint32(b, uint32(p.IdleTimeout/time.Millisecond))
}

// ParseAcceptPayload reads an ACCEPT payload; Reason is a view into b.
func ParseAcceptPayload(b []byte, p *AcceptPayload) error {
	r := reader{b: b}
	p.Code = CloseCode(r.u16())
	p.Reason = r.bytes(int(r.u8()))
	p.Session = r.u64()
	copy(p.Reset[:], r.bytes(ResetValueSize))
	p.IdleTimeout = time.Duration(r.u32()) * time.Millisecond
	if r.bad || !allZero(r.b) {
		return ErrMalformed
	}
	return nil
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}

// reader takes fixed fields off the front of b; once something is missing, bad stays set and every field is zero.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) bytes(n int) []byte {
	if r.bad || n < 0 || len(r.b) < n {
		r.bad = true
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u8() uint8 {
	if v := r.bytes(1); v != nil {
		return v[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if v := r.bytes(2); v != nil {
		return binary.BigEndian.Uint16(v)
	}
	return 0
}

func (r *reader) u24() uint32 {
	if v := r.bytes(3); v != nil {
		return uint32(v[0])<<16 | uint32(v[1])<<8 | uint32(v[2])
	}
	return 0
}

func (r *reader) u32() uint32 {
	if v := r.bytes(4); v != nil {
		return binary.BigEndian.Uint32(v)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if v := r.bytes(8); v != nil {
		return binary.BigEndian.Uint64(v)
	}
	return 0
}
