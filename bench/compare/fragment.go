package main

import "encoding/binary"

// Transports that carry packets and no messages get a frame in fragments, each behind a header: 1 byte kind, 4 index, 2 number of the
// fragment, 2 number of fragments.
const fragmentHeader = 9

// maxOpen is how many frames a defragmenter keeps that are not whole yet, of each kind: four seconds of video. What is older is given up.
const maxOpen = 128

// split cuts a frame evenly into fragments of at most size bytes, headers included.
func split(f *frame, size int) [][]byte {
	room := size - fragmentHeader
	n := (len(f.body) + room - 1) / room
	each := (len(f.body) + n - 1) / n
	list := make([][]byte, 0, n)
	for i := range n {
		part := f.body[min(i*each, len(f.body)):min((i+1)*each, len(f.body))]
		b := make([]byte, fragmentHeader, fragmentHeader+len(part))
		b[0] = byte(f.kind)
		binary.BigEndian.PutUint32(b[1:], f.index)
		binary.BigEndian.PutUint16(b[5:], uint16(i)) //nolint:gosec // a frame has some dozens of fragments
		binary.BigEndian.PutUint16(b[7:], uint16(n)) //nolint:gosec // as above
		list = append(list, append(b, part...))
	}
	return list
}

// defragmenter puts frames together again, whatever the order of their fragments. One goroutine owns it.
type defragmenter struct {
	open [kinds]map[uint32]*partial
}

type partial struct {
	parts [][]byte
	left  int
}

// add takes a fragment and keeps none of it. When it was the last one missing, add returns the frame's body.
func (d *defragmenter) add(b []byte) []byte {
	if len(b) < fragmentHeader || b[0] >= byte(kinds) {
		return nil
	}
	index, i, n := binary.BigEndian.Uint32(b[1:]), binary.BigEndian.Uint16(b[5:]), binary.BigEndian.Uint16(b[7:])
	open := &d.open[b[0]]
	if *open == nil {
		*open = make(map[uint32]*partial)
	}
	p := (*open)[index]
	if p == nil {
		if len(*open) >= maxOpen {
			d.forget(kind(b[0]), index)
		}
		p = &partial{parts: make([][]byte, n), left: int(n)}
		(*open)[index] = p
	}
	if int(i) >= len(p.parts) || p.parts[i] != nil || p.left == 0 {
		return nil
	}
	p.parts[i] = append([]byte{}, b[fragmentHeader:]...)
	if p.left--; p.left > 0 {
		return nil
	}
	var body []byte
	for _, part := range p.parts {
		body = append(body, part...)
	}
	p.parts = nil // what comes twice finds the frame done
	return body
}

// forget drops the frames that lie too far behind one that has come.
func (d *defragmenter) forget(k kind, newest uint32) {
	for index := range d.open[k] {
		if index+maxOpen/2 < newest {
			delete(d.open[k], index)
		}
	}
}
