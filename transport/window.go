package transport

import (
	"time"

	"duet/fec"
	"duet/transport/wire"
)

// maxWindow is the largest number of packets that a parity symbol may speak of.
const maxWindow = fec.MaxBlock

// sendWindow keeps the newest packets of one kind that were sent, for parity over as many of them as it can still help. Where no report
// comes back in time, that is cheaper than parity for each message alone: what one frame's does not need, another's does.
type sendWindow struct {
	ring   [maxWindow]windowPacket // by sequence number
	from   uint16                  // the oldest kept
	end    uint16                  // one past the newest
	run    uint32
	on     bool    // packets are kept
	credit float64 // parity symbols owed
	owed   int     // of them, to be sent now
	index  uint8   // of the next parity symbol
}

type windowPacket struct {
	packet    *Packet
	useless   time.Time // parity that is sent later comes too late for it
	delivered bool
}

// add takes a packet that was sent for the first time.
func (w *sendWindow) add(p *Packet, useless time.Time) {
	if h := &p.Header; !w.on || h.Instance != w.run || h.Seq != w.end {
		w.release()
		w.on, w.run, w.from, w.end = true, h.Instance, h.Seq, h.Seq
	}
	if int(w.end-w.from) == maxWindow {
		w.drop()
	}
	p.Retain()
	w.ring[w.end%maxWindow] = windowPacket{packet: p, useless: useless}
	w.end++
}

// drop forgets the oldest.
func (w *sendWindow) drop() {
	e := &w.ring[w.from%maxWindow]
	e.packet.Release()
	*e = windowPacket{}
	w.from++
}

// release forgets all.
func (w *sendWindow) release() {
	for w.from != w.end {
		w.drop()
	}
	w.on, w.owed, w.credit = false, 0, 0
}

// delivered notes that a packet arrived.
func (w *sendWindow) delivered(run uint32, seq uint16) {
	if w.on && run == w.run && seq-w.from < w.end-w.from {
		w.ring[seq%maxWindow].delivered = true
	}
}

// slide forgets what parity can't help any more, and gives the number of packets that it can.
func (w *sendWindow) slide(now time.Time) int {
	for w.from != w.end {
		if e := &w.ring[w.from%maxWindow]; !e.delivered && now.Before(e.useless) {
			break
		}
		w.drop()
	}
	return int(w.end - w.from)
}

// owe adds parity for k packets more, a share of a symbol each.
func (w *sendWindow) owe(k int, share float64) {
	w.credit += float64(k) * share
	n := int(w.credit)
	w.credit -= float64(n)
	w.owed += n
}

// symbolSize is the size of a parity symbol over the window.
func (w *sendWindow) symbolSize() int {
	longest := 0
	for seq := w.from; seq != w.end; seq++ {
		longest = max(longest, len(w.ring[seq%maxWindow].packet.Data))
	}
	return 2 + longest
}

// write appends the frame of the next parity symbol.
func (w *sendWindow) write(b []byte, video bool, e *fec.Encoder) []byte {
	b = wire.AppendRepairHeader(b, wire.Repair{Video: video, Window: true, Base: w.from, K: int(w.end - w.from), Index: int(w.index)})
	start := len(b)
	for seq := w.from; seq != w.end; seq++ {
		symbol := e.AddWindow(b[start:], seq, w.ring[seq%maxWindow].packet.Data, int(w.index))
		b = append(b[:start], symbol...) // the same bytes, unless b had to grow
	}
	w.index = (w.index + 1) % wire.MaxRepairParity
	return b
}
