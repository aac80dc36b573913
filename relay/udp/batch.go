package udp

import (
	"net/netip"
	"time"
)

// Sizes of a batch. What is sealed together leaves together: eight datagrams of a session are one segmented send, and beyond that segmentation
// saves little more.
const (
	MaxDatagram = 1200            // that is sent
	MaxSend     = 8 * MaxDatagram // one Outbox entry: equal segments for one peer
	outboxSends = 32              // entries that one system call takes
	outboxBytes = outboxSends * MaxSend / 2
	inboxReads  = 16      // messages that one system call brings
	inboxBuffer = 1 << 16 // for each: what the kernel joins is no longer
)

// Message is what the kernel handed over at once: one datagram, or several of one sender that it joined, all Segment bytes long but perhaps the last.
type Message struct {
	Data    []byte
	Segment int
	Remote  netip.AddrPort
	Local   netip.Addr // that it was sent to; zero if the system does not tell
	At      time.Time  // when the kernel had it, by the wall clock; zero if it does not tell
}

// Next takes the next datagram off the message, false when there is none left.
func (m *Message) Next() ([]byte, bool) {
	if len(m.Data) == 0 {
		return nil, false
	}
	n := len(m.Data)
	if m.Segment > 0 && m.Segment < n {
		n = m.Segment
	}
	b := m.Data[:n:n]
	m.Data = m.Data[n:]
	return b, true
}

// Inbox holds what one call of Receive brought. One goroutine uses it.
type Inbox struct {
	messages [inboxReads]Message
	n        int
	system   inboxSystem
}

// NewInbox returns an empty one, of about a megabyte, most of which the system never has to back with memory.
func NewInbox() *Inbox {
	in := &Inbox{}
	in.system.init()
	return in
}

// Messages is what came; it is valid until the next Receive.
func (in *Inbox) Messages() []Message { return in.messages[:in.n] }

// Outbox gathers datagrams for one call of Send. One goroutine uses it.
type Outbox struct {
	buf    []byte
	used   int
	sends  [outboxSends]send
	n      int
	system outboxSystem
}

// send is one entry: size bytes from off on, to be cut into segments.
type send struct {
	off, size, segment int
	remote             netip.AddrPort
	local              netip.Addr
}

// NewOutbox returns an empty one.
func NewOutbox() *Outbox {
	return &Outbox{buf: make([]byte, outboxBytes)}
}

// Room is where the next entry is to be written: MaxSend bytes, or nil when the box is full and has to be sent first.
func (o *Outbox) Room() []byte {
	if o.n == outboxSends || len(o.buf)-o.used < MaxSend {
		return nil
	}
	return o.buf[o.used : o.used+MaxSend : o.used+MaxSend]
}

// Add takes the first size bytes of Room as datagrams of segment bytes each (the last may be shorter) to remote, from local if that is set.
func (o *Outbox) Add(size, segment int, remote netip.AddrPort, local netip.Addr) {
	if segment <= 0 || segment > size {
		segment = size
	}
	o.sends[o.n] = send{off: o.used, size: size, segment: segment, remote: remote, local: local}
	o.n++
	o.used += size
}

// Len is how many entries wait.
func (o *Outbox) Len() int { return o.n }

func (o *Outbox) clear() { o.n, o.used = 0, 0 }

// one sends an entry datagram by datagram. It returns how many were refused, and the last reason.
func (c *Conn) one(o *Outbox, s *send) (refused int, err error) {
	for off := 0; off < s.size; off += s.segment {
		b := o.buf[s.off+off : s.off+min(off+s.segment, s.size)]
		if e := c.Write(b, s.remote, s.local); e != nil {
			refused, err = refused+1, e
		}
	}
	return refused, err
}
