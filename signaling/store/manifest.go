package store

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
)

// maxChunks is of a snapshot: with chunkSize it makes 2 GiB, and a manifest of 64 KiB.
const maxChunks = 8192

// manifest says of what a snapshot consists. As bytes, integers big-endian:
//
//	 1     version, 1
//	 8     number of the last entry that is in it
//	 8     bytes of the snapshot
//	32     SHA-256 of the snapshot
//	 8 n   numbers of the stream's messages that hold its chunks, in order
type manifest struct {
	Seq    uint64
	Size   int
	Hash   [sha256.Size]byte
	Chunks []uint64
}

const (
	manifestVersion = 1
	manifestHead    = 1 + 8 + 8 + sha256.Size
)

func (m *manifest) encode() []byte {
	b := make([]byte, 0, manifestHead+8*len(m.Chunks))
	b = append(b, manifestVersion)
	b = binary.BigEndian.AppendUint64(b, m.Seq)
	b = binary.BigEndian.AppendUint64(b, uint64(m.Size))
	b = append(b, m.Hash[:]...)
	for _, at := range m.Chunks {
		b = binary.BigEndian.AppendUint64(b, at)
	}
	return b
}

// parseManifest takes what encode writes, and nothing else.
func parseManifest(b []byte) (*manifest, error) {
	switch {
	case len(b) < manifestHead || (len(b)-manifestHead)%8 != 0:
		return nil, fmt.Errorf("a manifest of %d bytes", len(b))
	case b[0] != manifestVersion:
		return nil, fmt.Errorf("a manifest of version %d", b[0])
	}
	m := &manifest{Seq: binary.BigEndian.Uint64(b[1:])}
	size := binary.BigEndian.Uint64(b[9:])
	n := (len(b) - manifestHead) / 8
	if m.Seq == 0 || n > maxChunks || size > maxChunks*chunkSize || uint64(n) != (size+chunkSize-1)/chunkSize {
		return nil, errors.New("a manifest whose numbers don't fit together")
	}
	m.Size = int(size)
	copy(m.Hash[:], b[17:])
	for i := range n {
		m.Chunks = append(m.Chunks, binary.BigEndian.Uint64(b[manifestHead+8*i:]))
	}
	return m, nil
}
