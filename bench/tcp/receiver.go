package tcp

import "encoding/binary"

// Receiver is the other end of a Sender. It acknowledges every segment at once.
type Receiver struct {
	connection uint32
	next       int64          // number expected next
	ahead      map[int64]bool // numbers that came before it
}

// NewReceiver makes the other end of the connection of that number.
func NewReceiver(connection uint32) *Receiver {
	return &Receiver{connection: connection, ahead: make(map[int64]bool)}
}

// HandleDatagram takes a segment and appends its acknowledgment to ack; nothing if the segment is another connection's.
func (r *Receiver) HandleDatagram(ack, b []byte) []byte {
	if len(b) < segmentHeader || binary.BigEndian.Uint32(b) != r.connection {
		return ack
	}
	if number := int64(binary.BigEndian.Uint64(b[12:])); number >= r.next {
		r.ahead[number] = true
	}
	for r.ahead[r.next] {
		delete(r.ahead, r.next)
		r.next++
	}
	ack = binary.BigEndian.AppendUint32(ack, r.connection)
	ack = binary.BigEndian.AppendUint64(ack, uint64(r.next))
	return append(ack, b[4:12]...)
}
