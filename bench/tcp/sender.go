package tcp

import (
	"encoding/binary"
	"time"
)

// MSS is the length of a full segment as the bottleneck sees it.
const MSS = 1200

const (
	segmentHeader = 20
	ackSize       = 20

	// reordering is how many later transmissions must have arrived before one counts as lost (RFC 6675's DupThresh).
	reordering = 3

	// minTimeout is what common systems use in place of RFC 6298's one second.
	minTimeout     = 200 * time.Millisecond
	initialTimeout = time.Second
	maxTimeout     = time.Minute
)

// transmission is one segment on its way.
type transmission struct {
	number int64
	at     time.Time
	done   bool // arrived, or given up
}

// Sender sends a number of bytes, or without end. Its driver calls Poll after every input until there is nothing left to send.
type Sender struct {
	connection   uint32
	size         int64 // bytes, 0 without end
	out          []transmission
	first        int64 // transmission of out[0]; the next is first+len(out)
	inFlight     int
	next         int64   // number of the next new segment
	again        []int64 // numbers to send again
	acked        int64   // all numbers below have arrived
	newest       int64   // latest transmission that is known to have arrived
	recovered    int64   // losses of transmissions below it have been answered
	cubic        cubic
	srtt, rttvar time.Duration
	timeout      time.Duration
	since        time.Time // from which the timeout runs
}

// NewSender makes one end of a connection. Both ends have the same number, by which late segments of an earlier one are known.
func NewSender(connection uint32, size int64) *Sender {
	return &Sender{connection: connection, size: size, newest: -1, cubic: newCubic(), timeout: initialTimeout}
}

// Done reports whether every byte has arrived and is acknowledged.
func (s *Sender) Done() bool { return s.size > 0 && s.acked*MSS >= s.size }

// Deadline is when HandleTimeout is due, zero: never.
func (s *Sender) Deadline() time.Time {
	if s.inFlight == 0 {
		return time.Time{}
	}
	return s.since.Add(s.timeout)
}

// Poll puts the next segment into buf, which has room for MSS bytes. False: nothing may be sent now.
func (s *Sender) Poll(now time.Time, buf []byte) (n int, ok bool) {
	if s.inFlight >= int(s.cubic.window) {
		return 0, false
	}
	for len(s.again) > 0 && s.again[0] < s.acked {
		s.again = s.again[1:]
	}
	number := s.next
	switch {
	case len(s.again) > 0:
		number, s.again = s.again[0], s.again[1:]
	case s.size > 0 && s.next*MSS >= s.size:
		return 0, false
	default:
		s.next++
	}
	n = MSS
	if s.size > 0 {
		n = int(min(MSS, max(s.size-number*MSS, segmentHeader)))
	}
	clear(buf[:n])
	binary.BigEndian.PutUint32(buf, s.connection)
	binary.BigEndian.PutUint64(buf[4:], uint64(s.first+int64(len(s.out))))
	binary.BigEndian.PutUint64(buf[12:], uint64(number))
	s.out = append(s.out, transmission{number: number, at: now})
	if s.inFlight++; s.inFlight == 1 {
		s.since = now
	}
	return n, true
}

// HandleDatagram takes an acknowledgment.
func (s *Sender) HandleDatagram(now time.Time, b []byte) {
	if len(b) != ackSize || binary.BigEndian.Uint32(b) != s.connection {
		return
	}
	s.acked = max(s.acked, min(int64(binary.BigEndian.Uint64(b[4:])), s.next))
	answered := int64(binary.BigEndian.Uint64(b[12:])) - s.first
	full, arrived := s.inFlight >= int(s.cubic.window), 0
	for i := range s.out {
		t := &s.out[i]
		if !t.done && (int64(i) == answered || t.number < s.acked) { // the latter: its own acknowledgment was lost
			t.done = true
			arrived++
			if int64(i) == answered {
				s.sample(now.Sub(t.at))
				s.newest = max(s.newest, s.first+answered)
			}
		}
	}
	s.inFlight -= arrived
	s.detect()
	if arrived == 0 {
		return
	}
	if full && s.newest >= s.recovered {
		s.cubic.acked(now, float64(arrived), s.srtt)
	}
	s.since = now
}

// detect finds the lost, those that enough later ones have overtaken, and forgets the oldest transmissions that are settled.
func (s *Sender) detect() {
	for i := range s.out {
		t := &s.out[i]
		id := s.first + int64(i)
		if t.done || id+reordering > s.newest {
			continue
		}
		t.done = true
		s.inFlight--
		s.again = append(s.again, t.number)
		if id >= s.recovered {
			s.cubic.lost()
			s.recovered = s.first + int64(len(s.out))
		}
	}
	for len(s.out) > 0 && s.out[0].done {
		s.out = s.out[1:]
		s.first++
	}
}

// HandleTimeout is the retransmission timeout: all that is in flight counts as lost.
func (s *Sender) HandleTimeout(now time.Time) {
	if at := s.Deadline(); at.IsZero() || now.Before(at) {
		return
	}
	for i := range s.out {
		if !s.out[i].done && s.out[i].number >= s.acked {
			s.again = append(s.again, s.out[i].number)
		}
	}
	s.first += int64(len(s.out))
	s.out, s.inFlight = s.out[:0], 0
	s.recovered = s.first
	s.cubic.timedOut()
	s.timeout = min(2*s.timeout, maxTimeout)
}

// sample updates the timeout (RFC 6298, section 2).
func (s *Sender) sample(rtt time.Duration) {
	if s.srtt == 0 {
		s.srtt, s.rttvar = rtt, rtt/2
	} else {
		s.rttvar += ((s.srtt - rtt).Abs() - s.rttvar) / 4
		s.srtt += (rtt - s.srtt) / 8
	}
	s.timeout = min(max(s.srtt+4*s.rttvar, minTimeout), maxTimeout)
}
