package wire

import (
	"encoding/binary"
	"errors"
)

// Version is the only wire version there is.
const Version = 1

// Sizes of datagrams and their parts in bytes; docs/wire.md section 3.
const (
	MaxDatagram     = 1200 // browsers drop larger WebTransport datagrams without a word
	DataHeaderSize  = 13
	HandshakeHeader = 40
	MaxFragment     = MaxDatagram - HandshakeHeader
	MaxFragments    = 3
	CookieSize      = 16
	RetrySize       = 28
	ResetSize       = 28
	ResetValueSize  = 16
)

// Kind is what a datagram is, told by its first byte.
type Kind uint8

// The kinds of datagram.
const (
	KindUnknown Kind = 0
	KindInit    Kind = 1
	KindAccept  Kind = 2
	KindRetry   Kind = 3
	KindReset   Kind = 4
	KindData    Kind = 0x80
)

// Errors of the parse functions. They carry no detail because nothing acts on one: the datagram is dropped and counted.
var (
	ErrShort     = errors.New("wire: too short")
	ErrMalformed = errors.New("wire: malformed")
)

// KindOf classifies a datagram by its first byte, KindUnknown if that byte is not of this version.
func KindOf(b []byte) Kind {
	if len(b) == 0 {
		return KindUnknown
	}
	switch c := b[0]; {
	case Kind(c&DataMask) == KindData|Version:
		return KindData
	case c >= 1 && c <= 4:
		return Kind(c)
	}
	return KindUnknown
}

// For whoever looks at a datagram without parsing it: the first byte under DataMask is KindData|Version if it is a data packet, whose byte DataLoop is the low byte
// of the session ID.
const (
	DataMask = 0xbf
	DataLoop = 8
)

// DataHeader is the clear part of a data packet.
type DataHeader struct {
	Phase        uint8  // key phase, 0 or 1
	Session      uint64 // chosen by the receiver
	PacketNumber uint32 // low half
}

// AppendDataHeader appends the 13 header bytes.
func AppendDataHeader(b []byte, h DataHeader) []byte {
	b = append(b, 0x80|h.Phase<<6|Version)
	b = binary.BigEndian.AppendUint64(b, h.Session)
	return binary.BigEndian.AppendUint32(b, h.PacketNumber)
}

// ParseDataHeader reads the header of a data packet whose kind has been checked. The rest of b is the sealed part.
func ParseDataHeader(b []byte) (DataHeader, error) {
	if len(b) < DataHeaderSize+1+16 {
		return DataHeader{}, ErrShort
	}
	return DataHeader{
		Phase:        b[0] >> 6 & 1,
		Session:      binary.BigEndian.Uint64(b[1:]),
		PacketNumber: binary.BigEndian.Uint32(b[9:]),
	}, nil
}

// Handshake is the clear header of an INIT or ACCEPT datagram with its fragment.
type Handshake struct {
	Kind     Kind
	Suite    uint8
	Client   uint64
	Server   uint64
	Cookie   [CookieSize]byte
	Total    int // length of the whole Noise message
	Offset   int
	Fragment []byte // a view into the datagram
}

// AppendHandshake appends the header and the fragment.
func AppendHandshake(b []byte, h *Handshake) []byte {
	b = append(b, byte(h.Kind), Version, h.Suite, 0)
	b = binary.BigEndian.AppendUint64(b, h.Client)
	b = binary.BigEndian.AppendUint64(b, h.Server)
	b = append(b, h.Cookie[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(h.Total))
	b = binary.BigEndian.AppendUint16(b, uint16(h.Offset))
	return append(b, h.Fragment...)
}

// ParseHandshake reads an INIT or ACCEPT datagram.
func ParseHandshake(b []byte, h *Handshake) error {
	if len(b) <= HandshakeHeader || len(b) > MaxDatagram {
		return ErrShort
	}
	if b[1] != Version || b[3] != 0 {
		return ErrMalformed
	}
	h.Kind = Kind(b[0])
	h.Suite = b[2]
	h.Client = binary.BigEndian.Uint64(b[4:])
	h.Server = binary.BigEndian.Uint64(b[12:])
	copy(h.Cookie[:], b[20:36])
	h.Total = int(binary.BigEndian.Uint16(b[36:]))
	h.Offset = int(binary.BigEndian.Uint16(b[38:]))
	h.Fragment = b[HandshakeHeader:]
	switch {
	case h.Kind != KindInit && h.Kind != KindAccept, h.Client == 0,
		h.Kind == KindInit && (h.Server != 0 || len(b) != MaxDatagram),
		h.Kind == KindAccept && h.Cookie != [CookieSize]byte{},
		h.Total > MaxFragments*MaxFragment, h.Offset%MaxFragment != 0, h.Offset+len(h.Fragment) > h.Total,
		h.Offset+len(h.Fragment) < h.Total && len(h.Fragment) != MaxFragment:
		return ErrMalformed
	}
	return nil
}

// AppendRetry appends a RETRY datagram.
func AppendRetry(b []byte, client uint64, cookie [CookieSize]byte) []byte {
	b = append(b, byte(KindRetry), Version, 0, 0)
	b = binary.BigEndian.AppendUint64(b, client)
	return append(b, cookie[:]...)
}

// ParseRetry reads a RETRY datagram.
func ParseRetry(b []byte) (client uint64, cookie [CookieSize]byte, err error) {
	return parseShort(b, KindRetry)
}

// AppendReset appends a RESET datagram.
func AppendReset(b []byte, session uint64, value [ResetValueSize]byte) []byte {
	b = append(b, byte(KindReset), Version, 0, 0)
	b = binary.BigEndian.AppendUint64(b, session)
	return append(b, value[:]...)
}

// ParseReset reads a RESET datagram.
func ParseReset(b []byte) (session uint64, value [ResetValueSize]byte, err error) {
	return parseShort(b, KindReset)
}

// parseShort reads the layout that RETRY and RESET share: an ID and 16 bytes.
func parseShort(b []byte, kind Kind) (id uint64, value [16]byte, err error) {
	if len(b) != RetrySize {
		return 0, value, ErrShort
	}
	if Kind(b[0]) != kind || b[1] != Version || b[2] != 0 || b[3] != 0 {
		return 0, value, ErrMalformed
	}
	copy(value[:], b[12:])
	return binary.BigEndian.Uint64(b[4:]), value, nil
}
