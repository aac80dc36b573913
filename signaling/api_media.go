package signaling

import "duet/signaling/desk"

// MediaView is what a relay holds, and what it has carried since it began.
type MediaView struct {
	Sessions    int          `json:"sessions"`
	Streams     int          `json:"streams"`
	Players     int          `json:"players"`
	BytesIn     uint64       `json:"bytesIn"`
	BytesOut    uint64       `json:"bytesOut"`
	Packets     uint64       `json:"packets"`     // of media, sent to players for the first time
	Retransmits uint64       `json:"retransmits"` // sent again
	Repairs     uint64       `json:"repairs"`     // of parity
	CPU         float64      `json:"cpu"`         // seconds that the process has used
	Delay       []MediaDelay `json:"delay"`       // in the relay: a histogram in doublings
}

// MediaDelay is how many packets took at most so long.
type MediaDelay struct {
	Milli   float64 `json:"ms"`
	Packets uint64  `json:"packets"`
}

func getMedia(x *exchange) (any, error) {
	var v *MediaView
	var err error
	if x.cfg.Media != nil {
		v, err = x.cfg.Media(x.ctx)
	}
	if v == nil && err == nil {
		err = &desk.Error{Code: desk.NotFound, Text: "the relay is another process: its --admin port has its figures"}
	}
	return v, err
}
