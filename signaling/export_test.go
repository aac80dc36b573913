package signaling

import (
	"maps"
	"slices"
	"time"
)

// RequestTypes are all that a socket may ask for after its hello.
func RequestTypes() []string { return slices.Sorted(maps.Keys(requests)) }

// SetWriteTime says how long a reader may be slow, for sockets that come later.
func (s *Sockets) SetWriteTime(d time.Duration) { s.writeTime = d }
