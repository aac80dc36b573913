package rtmpchunk

// maxNALUnits bounds the walk over a frame's NAL units. A frame has a few slices; one with more than this is not looked at
// to its end, and counts as one that others refer to.
const maxNALUnits = 1024

// nalUnits walks over length-prefixed NAL units and calls visit with each one, which is never empty, until visit returns
// false. It returns whether it came to the frame's end, with at least one unit and nothing left over.
func nalUnits(frame []byte, lengthSize uint8, visit func(unit []byte) bool) bool {
	if lengthSize == 0 {
		lengthSize = 4 // what nearly every encoder writes
	}
	for n := 0; len(frame) > 0; n++ {
		if n == maxNALUnits || len(frame) < int(lengthSize) {
			return false
		}
		var size uint64
		for _, b := range frame[:lengthSize] {
			size = size<<8 | uint64(b)
		}
		frame = frame[lengthSize:]
		if size == 0 || size > uint64(len(frame)) || !visit(frame[:size]) {
			return false
		}
		frame = frame[size:]
		if len(frame) == 0 {
			return true
		}
	}
	return false
}

// avcDiscardable reports whether no other frame refers to an H.264 frame: it has slices (types 1 to 5), and nal_ref_idc is 0
// in all of them and in everything else that it holds but parameter-free units (H.264, 7.4.1).
func avcDiscardable(frame []byte, lengthSize uint8) bool {
	slices := 0
	return nalUnits(frame, lengthSize, func(unit []byte) bool {
		if unit[0]>>5&3 != 0 {
			return false // a reference slice, or a parameter set that later frames need
		}
		if t := unit[0] & 0x1f; t >= 1 && t <= 5 {
			slices++
		}
		return true
	}) && slices > 0
}

// hevcLayer returns the temporal layer of an HEVC frame, and whether it is a sub-layer non-reference picture: all of its
// slices have an even type below 16 (H.265, table 7-1), and it brings no parameter sets.
func hevcLayer(frame []byte, lengthSize uint8) (layer uint8, unreferenced bool) {
	slices := 0
	unreferenced = true
	whole := nalUnits(frame, lengthSize, func(unit []byte) bool {
		if len(unit) < 2 {
			return false
		}
		switch t := unit[0] >> 1 & 0x3f; {
		case t < 32:
			slices++
			layer = max(unit[1]&7, 1) - 1
			if t >= 16 || t%2 != 0 {
				unreferenced = false
			}
		case t <= 34: // VPS, SPS, PPS
			unreferenced = false
		}
		return true
	})
	if !whole || slices == 0 {
		return 0, false
	}
	return min(layer, MaxLayer), unreferenced
}
