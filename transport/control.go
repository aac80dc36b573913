package transport

import (
	"bytes"
	"slices"
	"time"

	"duet/transport/wire"
)

// Limits of the control stream in one direction.
const (
	maxControlBuffer = 512 << 10 // bytes sent and not acknowledged, or received and not in order
	maxControlHoles  = 64        // separate ranges received ahead of a hole
	maxControlFlight = 48 << 10  // bytes in flight: control never floods a path
)

// span is a range of control bytes.
type span struct{ from, to uint32 }

// controlStream carries small reliable ordered messages both ways: a byte stream by offset, acknowledged by the packets that
// held it.
type controlStream struct {
	// send side: out[0] has offset base; [base, sentTo) was sent at least once
	out    []byte
	base   uint32
	sentTo uint32
	again  []span // lost, to be sent again; sorted
	ackeds []span // acknowledged beyond base, sorted

	// receive side: in[0] has offset read
	in    []byte
	read  uint32
	holes []span // received ranges beyond the contiguous part, sorted
	have  uint32 // contiguous up to here
	dead  bool   // the peer broke the format
}

// SendControl queues a control message. Type, limits and direction are docs/wire.md section 6. It fails with ErrControlFull when too
// much is unacknowledged, with ErrClosed, and with wire.ErrMalformed for a message over its limit.
func (c *Conn) SendControl(now time.Time, m *wire.Control) error {
	c.advance(now)
	if c.state == stateClosing || c.state == stateClosed {
		return ErrClosed
	}
	s := &c.control
	if len(s.out)+len(m.Data) > maxControlBuffer {
		return ErrControlFull
	}
	out, err := wire.AppendControlMessage(s.out, m)
	s.out = out
	if err == nil && m.Type == wire.ControlStart {
		c.send.run, c.send.order, c.send.joined, c.send.skipped = m.Instance, m.Order, m.Order, m.Order
	}
	return err
}

// wants reports whether there are bytes to send now.
func (s *controlStream) wants() bool {
	return len(s.again) > 0 || s.sentTo-s.base < uint32(len(s.out)) && s.sentTo-s.base < maxControlFlight
}

// drained reports whether everything was acknowledged.
func (s *controlStream) drained() bool { return len(s.out) == 0 }

// next returns up to room bytes to send: lost ones first.
func (s *controlStream) next(room int) (offset uint32, data []byte, ok bool) {
	for len(s.again) > 0 {
		r := &s.again[0]
		r.from = max(r.from, s.base)
		if r.from >= r.to {
			s.again = s.again[1:]
			continue
		}
		from, to := r.from, min(r.to, r.from+uint32(room))
		if r.from = to; r.from == r.to {
			s.again = s.again[1:]
		}
		return from, s.out[from-s.base : to-s.base], true
	}
	from := s.sentTo
	to := min(s.base+uint32(len(s.out)), from+uint32(room))
	if from == to {
		return 0, nil, false
	}
	s.sentTo = to
	return from, s.out[from-s.base : to-s.base], true
}

// acked frees bytes that arrived.
func (s *controlStream) acked(offset uint32, n int) {
	s.ackeds = addSpan(s.ackeds, span{offset, offset + uint32(n)}, s.base)
	if len(s.ackeds) > 0 && s.ackeds[0].from <= s.base {
		to := s.ackeds[0].to
		s.out = s.out[:copy(s.out, s.out[to-s.base:])]
		s.base = to
		s.ackeds = slices.Delete(s.ackeds, 0, 1)
	}
}

// lost queues bytes to be sent again, unless they arrived by another packet.
func (s *controlStream) lost(offset uint32, n int) {
	for from, to := max(offset, s.base), offset+uint32(n); from < to; {
		end := to
		for _, a := range s.ackeds {
			if a.from <= from && from < a.to {
				from = a.to
			} else if a.from > from && a.from < end {
				end = a.from
			}
		}
		if from >= to {
			return
		}
		end = max(min(end, to), from+1)
		s.again = addSpan(s.again, span{from, end}, s.base)
		from = end
	}
}

// addSpan inserts a range into a sorted list, merging what touches; what lies below low is cut off.
func addSpan(list []span, r span, low uint32) []span {
	r.from = max(r.from, low)
	if r.from >= r.to {
		return list
	}
	i := 0
	for i < len(list) && list[i].to < r.from {
		i++
	}
	j := i
	for j < len(list) && list[j].from <= r.to {
		r.from, r.to = min(r.from, list[j].from), max(r.to, list[j].to)
		j++
	}
	return slices.Replace(list, i, j, r)
}

// receiveControl takes a CONTROL frame and hands out the messages that are whole now. It reports false for bytes that it could
// not keep: a network that loses every other packet can make more holes than we hold, through no fault of the peer.
func (c *Conn) receiveControl(now time.Time, offset uint32, data []byte) (kept bool) {
	s := &c.control
	end := offset + uint32(len(data))
	if s.dead || end < offset || len(data) == 0 {
		c.drop(DropControl)
		return true
	}
	if end <= s.have {
		return true // a repeat
	}
	if end-s.read > maxControlBuffer { // an honest sender keeps within maxControlFlight
		c.drop(DropControl)
		s.dead = true
		c.Close(now, wire.CloseProtocol, "control stream beyond its limit")
		return true
	}
	if offset > s.have && len(s.holes) >= maxControlHoles {
		c.drop(DropControl)
		return false
	}
	if grow := int(end-s.read) - len(s.in); grow > 0 {
		s.in = append(s.in, make([]byte, grow)...)
	}
	copy(s.in[max(offset, s.have)-s.read:], data[max(offset, s.have)-offset:])
	s.holes = addSpan(s.holes, span{offset, end}, s.have)
	if s.holes[0].from <= s.have {
		s.have = s.holes[0].to
		s.holes = slices.Delete(s.holes, 0, 1)
		c.parseControl(now)
	}
	return true
}

// parseControl hands out whole messages from the contiguous part.
func (c *Conn) parseControl(now time.Time) {
	s := &c.control
	used := 0
	for {
		var m wire.Control
		n, err := wire.NextControl(s.in[used:s.have-s.read], &m)
		if err != nil {
			s.dead = true
			c.drop(DropControl)
			c.Close(now, wire.CloseProtocol, "malformed control message")
			return
		}
		if n == 0 {
			break
		}
		used += n
		m.Data = bytes.Clone(m.Data)
		c.handleControl(&m)
	}
	s.in = s.in[:copy(s.in, s.in[used:])]
	s.read += uint32(used)
}

// handleControl takes what is the transport's own and passes a message on.
func (c *Conn) handleControl(m *wire.Control) {
	switch m.Type {
	case wire.ControlArrival:
		c.send.arrival, c.send.final = time.Duration(m.Arrival)*time.Millisecond, m.Final
	case wire.ControlAim:
		c.send.aim = time.Duration(m.Arrival) * time.Millisecond
	case wire.ControlBitrate:
		c.target.peer = int64(m.Bitrate)
		c.updateBitrate(c.now)
	default:
	}
	if c.events.size < maxEvents {
		c.events.push(Event{Kind: EventControl, Control: *m})
	} else {
		c.stats.EventsDropped++
	}
}
