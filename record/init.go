package record

import (
	"encoding/binary"
	"fmt"
)

// initSize is what media.mp4 keeps at its beginning for ftyp and moov, which are written again when a track comes. Four tracks take 3 KiB.
const initSize = 64 << 10

const boxHeader = 8

// padInit fills a region up with a free box.
func padInit(head []byte) ([]byte, error) {
	if len(head) > initSize-boxHeader {
		return nil, fmt.Errorf("record: %d bytes describe the tracks, there is room for %d", len(head), initSize-boxHeader)
	}
	b := make([]byte, initSize)
	copy(b, head)
	binary.BigEndian.PutUint32(b[len(head):], uint32(initSize-len(head)))
	copy(b[len(head)+4:], "free")
	return b, nil
}

// trimInit is the inverse: what stands before the free box.
func trimInit(region []byte) []byte {
	at := 0
	for len(region)-at >= boxHeader {
		size := int(binary.BigEndian.Uint32(region[at:]))
		if string(region[at+4:at+8]) == "free" || size < boxHeader || size > len(region)-at {
			break
		}
		at += size
	}
	return region[:at]
}
