package transport

import (
	"time"

	"duet/fec"
	"duet/rtmpchunk"
	"duet/transport/wire"
)

const (
	windowKept    = 256         // packets kept for parity over windows, per kind: what the oldest of them may still speak of
	windowQuiet   = time.Second // without parity nothing is kept, where there is time for reports
	windowSymbols = 32          // parity symbols kept, per kind: each is useless once its packets are there, or too old
)

// receiveWindow keeps what parity over windows needs. It is empty where there is time for reports, until the first such symbol comes.
type receiveWindow struct {
	recent  [windowKept]*Packet // by sequence number
	symbols []fec.Equation      // the oldest first
	free    [][]byte
	newest  uint16
	on      bool
	heardAt time.Time // when the newest symbol came
	rebuilt [][]byte  // scratch
}

// packet gives the bytes of a packet that is there.
func (w *receiveWindow) packet(seq uint16) []byte {
	if p := w.recent[seq%windowKept]; p != nil && p.Header.Seq == seq {
		return p.Data
	}
	return nil
}

// keep takes a packet that was handed out. One of another run makes a new beginning.
func (w *receiveWindow) keep(p *Packet) {
	w.on = true
	if old := w.recent[w.newest%windowKept]; old != nil && old.Header.Instance != p.Header.Instance {
		w.release()
		w.on = true
	}
	if int16(p.Header.Seq-w.newest) > 0 || w.recent[w.newest%windowKept] == nil {
		w.newest = p.Header.Seq
	}
	e := &w.recent[p.Header.Seq%windowKept]
	if *e != nil {
		(*e).Release()
	}
	p.Retain()
	*e = p
}

// wanted reports whether packets are to be kept although there is time for reports, and forgets them once they are not.
func (w *receiveWindow) wanted(now time.Time) bool {
	if w.on && now.Sub(w.heardAt) >= windowQuiet {
		w.release()
	}
	return w.on
}

// add takes a parity symbol.
func (w *receiveWindow) add(r *wire.Repair, data []byte) {
	if len(w.symbols) == windowSymbols {
		w.forget(0)
	}
	var buf []byte
	if n := len(w.free); n > 0 {
		buf, w.free = w.free[n-1], w.free[:n-1]
	}
	w.symbols = append(w.symbols, fec.Equation{Base: r.Base, K: r.K, Index: uint8(r.Index), Data: append(buf[:0], data...)})
}

func (w *receiveWindow) forget(i int) {
	w.free = append(w.free, w.symbols[i].Data)
	w.symbols = append(w.symbols[:i], w.symbols[i+1:]...)
}

// tidy forgets symbols that say nothing new, or speak of packets that are not kept any more.
func (w *receiveWindow) tidy() {
	for i := len(w.symbols) - 1; i >= 0; i-- {
		e := &w.symbols[i]
		missing := 0
		for k := range e.K {
			if w.packet(e.Base+uint16(k)) == nil {
				missing++
			}
		}
		if missing == 0 || int16(w.newest-e.Base) >= windowKept-maxWindow {
			w.forget(i)
		}
	}
}

func (w *receiveWindow) release() {
	for i, p := range w.recent {
		if p != nil {
			p.Release()
			w.recent[i] = nil
		}
	}
	w.symbols, w.free, w.rebuilt, w.on = w.symbols[:0], nil, nil, false
}

// receiveWindowRepair takes a parity symbol over a window.
func (c *Conn) receiveWindowRepair(now time.Time, kind rtmpchunk.Kind, r *wire.Repair, data []byte) {
	w := &c.receive.windows[kind]
	if !w.on {
		w.on, w.newest = true, r.Base
	}
	w.heardAt = now
	w.add(r, data)
	c.solveWindow(now, kind)
}

// solveWindow rebuilds what the symbols give.
func (c *Conn) solveWindow(now time.Time, kind rtmpchunk.Kind) {
	w := &c.receive.windows[kind]
	w.tidy()
	if len(w.symbols) == 0 {
		return
	}
	rebuilt := w.rebuilt[:0]
	solved, ok := c.receive.solver.Solve(w.symbols, w.packet, func(_ uint16, b []byte) {
		if n := len(rebuilt); n < cap(rebuilt) { // into what an earlier one stood in
			rebuilt = rebuilt[:n+1]
		} else {
			rebuilt = append(rebuilt, nil)
		}
		last := &rebuilt[len(rebuilt)-1]
		*last = append((*last)[:0], b...)
	})
	w.rebuilt = rebuilt
	if !ok {
		c.drop(DropRepair)
		for len(w.symbols) > 0 {
			w.forget(len(w.symbols) - 1)
		}
		return
	}
	if solved == 0 {
		return
	}
	for _, b := range rebuilt {
		c.takePacket(now, b, true) // which copies it
	}
	w.tidy()
}
