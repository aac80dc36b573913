package transport

import (
	"duet/transport/wire"
)

// EventKind says what happened.
type EventKind uint8

// The events of a Conn.
const (
	EventAccepted  EventKind = iota + 1 // client: the relay has let us in; the first data packet is about to go
	EventConfirmed                      // relay: the first packet under the new keys has opened; the session is real
	EventPacket                         // receive side: Packet, received or repaired; the reader owns one reference
	EventControl                        // a control message: Control; its Data is valid until the next call into the Conn
	EventBitrate                        // sender: the encoder should make Bitrate from now on
	EventPath                           // relay: media now goes to a new, validated path
	EventClosed                         // the session is over: Code, Reason, Remote; nothing follows
)

// Event is one thing that happened; the fields that its kind names are set.
type Event struct {
	Kind    EventKind
	Packet  *Packet
	Control wire.Control
	Code    wire.CloseCode
	Reason  string
	Cause   CloseCause
	Bitrate int64 // bits a second of messages: Conn.Bitrate
}

// CloseCause says how a session came to its end.
type CloseCause uint8

// The causes.
const (
	CauseLocal    CloseCause = iota // Close was called here
	CauseRemote                     // the peer said CLOSE, or refused the handshake
	CauseTimeout                    // no handshake answer, or nothing heard for the idle timeout
	CauseReset                      // the relay does not know this session any more
	CauseInternal                   // a limit or a fault of our own: Reason says which
)

// maxEvents bounds the queue between two drains. A driver that drains after every input never comes near it, unless the peer
// is hostile; past it packets and control messages are dropped and counted, what happened to the session itself is kept.
const maxEvents = 4096

// eventQueue is a ring that grows as needed, to little more than maxEvents, and is reused.
type eventQueue struct {
	ring       []Event
	head, size int
}

func (q *eventQueue) push(e Event) {
	if q.size == len(q.ring) {
		grown := make([]Event, max(16, 2*len(q.ring)))
		for i := range q.size {
			grown[i] = q.ring[(q.head+i)%len(q.ring)]
		}
		q.ring, q.head = grown, 0
	}
	q.ring[(q.head+q.size)%len(q.ring)] = e
	q.size++
}

func (q *eventQueue) pop() (Event, bool) {
	if q.size == 0 {
		return Event{}, false
	}
	e := q.ring[q.head]
	q.ring[q.head] = Event{}
	q.head = (q.head + 1) % len(q.ring)
	q.size--
	return e, true
}
