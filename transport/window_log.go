package transport

// Limits of a windowLog.
const (
	logPackets = 256
	logSymbols = 64
)

// windowLog remembers which packets of one kind arrived, and which parity over windows, so that the sender knows what the receiver has
// rebuilt: nobody tells.
type windowLog struct {
	run     uint32
	arrived [logPackets]uint32 // by sequence number: that number plus one
	symbols [logSymbols]loggedSymbol
	next    uint16 // number of the next symbol
}

type loggedSymbol struct {
	number uint16
	from   uint16
	k      uint8
	state  symbolState
}

// sent notes a parity symbol and gives its number.
func (l *windowLog) sent(run uint32, from uint16, k int) uint16 {
	if run != l.run {
		*l = windowLog{run: run, next: l.next}
	}
	n := l.next
	l.symbols[n%logSymbols] = loggedSymbol{number: n, from: from, k: uint8(k), state: symbolInFlight}
	l.next++
	return n
}

// fate notes what became of a symbol.
func (l *windowLog) fate(number uint16, state symbolState) {
	if s := &l.symbols[number%logSymbols]; s.k > 0 && s.number == number {
		s.state = state
	}
}

// packet notes that a packet arrived.
func (l *windowLog) packet(run uint32, seq uint16) {
	if run == l.run {
		l.arrived[seq%logPackets] = uint32(seq) + 1
	}
}

func (l *windowLog) has(seq uint16) bool { return l.arrived[seq%logPackets] == uint32(seq)+1 }

func (s *loggedSymbol) covers(seq uint16) bool { return int(seq-s.from) < int(s.k) }

// rebuilt reports whether the receiver has the n packets from first on, with what parity gave it; open, whether that may still change. It
// counts: each symbol that arrived gives the oldest packet that it covers and that nothing else has given yet. Where one is left without,
// the symbols that cover it give nothing.
func (l *windowLog) rebuilt(run uint32, first uint16, n int) (whole, open bool) {
	if run != l.run {
		return false, false
	}
	var given [logPackets]bool
	for i := range uint16(logSymbols) { // by age, and so by where they begin and end
		s := &l.symbols[(l.next+i)%logSymbols]
		if s.state == symbolInFlight {
			open = open || s.covers(first) || s.covers(first+uint16(n)-1)
		}
		if s.state != symbolDelivered {
			continue
		}
		for k := range uint16(s.k) {
			if seq := s.from + k; !l.has(seq) && !given[seq%logPackets] {
				given[seq%logPackets] = true
				break
			}
		}
	}
	for k := range uint16(n) {
		if seq := first + k; !l.has(seq) && (!given[seq%logPackets] || l.tied(seq, &given)) {
			return false, open
		}
	}
	return true, false
}

// tied reports whether every symbol that covers a packet also covers one that nothing gives.
func (l *windowLog) tied(seq uint16, given *[logPackets]bool) bool {
	for i := range l.symbols {
		s := &l.symbols[i]
		if s.state != symbolDelivered || !s.covers(seq) {
			continue
		}
		free := true
		for k := range uint16(s.k) {
			if other := s.from + k; !l.has(other) && !given[other%logPackets] {
				free = false
				break
			}
		}
		if free {
			return false
		}
	}
	return true
}
