package transport

import "time"

// DropReason says why something from the network was dropped.
type DropReason uint8

// The reasons.
const (
	DropMalformed DropReason = iota // not a datagram of this version
	DropSession                     // another session's ID
	DropOpen                        // tag does not fit: damaged, forged, or for other keys
	DropReplay                      // seen before, or too old to tell
	DropHandshake                   // a handshake datagram that does not fit
	DropReset                       // a RESET that does not prove itself
	DropFrame                       // unknown or malformed frame
	DropFeedback                    // reports what was never sent
	DropControl                     // control bytes beyond the limit or malformed
	DropPacket                      // not an RTP packet as docs/wire.md has it
	DropRepair                      // parity that does not fit its block
	DropDirection                   // media from the side that should not send it
	DropReasons                     // their number
)

var dropNames = [DropReasons]string{"malformed", "session", "open", "replay", "handshake", "reset", "frame", "feedback", "control", "packet", "repair", "direction"}

// String returns the reason as one word.
func (r DropReason) String() string {
	if r < DropReasons {
		return dropNames[r]
	}
	return "unknown"
}

// Stats counts what a session did. Bytes are UDP payload.
type Stats struct {
	DatagramsSent, DatagramsReceived   uint64
	BytesSent, BytesReceived           uint64
	PacketsSent, PacketsReceived       uint64 // media, first time
	MediaBytesSent, MediaBytesReceived uint64 // RTP packets, without repeats
	MessageBytesSent                   uint64 // of them, the messages' own, about
	Retransmits, RepairsSent           uint64
	RepairsReceived, RepairsUnused     uint64
	PacketsRepaired, PacketsRepeated   uint64
	PacketsLost, FalseLosses           uint64 // datagrams of ours that the peer did not get
	FeedbackSent, FeedbackReceived     uint64
	Probes, WindowLimited, Rekeys      uint64
	Migrations, MessagesSkipped        uint64
	BlocksAbandoned, ControlRefused    uint64
	EventsDropped                      uint64
	Dropped                            [DropReasons]uint64
	RTT, MinRTT                        time.Duration
	Loss                               float64 // of our datagrams, as estimated now
	Window, InFlight, QueuedBytes      int
	Rate                               int64 // bits a second that may be sent, everything counted
	Bitrate                            int64 // bits a second of messages that should be made
	Peak                               float64
	Queue, Noise                       time.Duration // that stands on the path
}

func (c *Conn) drop(r DropReason) { c.stats.Dropped[r]++ }

// Stats returns the counters and the present estimates.
func (c *Conn) Stats() Stats {
	s := c.stats
	s.RTT, s.MinRTT = c.rtt.srtt(), c.rtt.min()
	s.Loss = c.loss.rate.estimate()
	s.Window, s.InFlight, s.QueuedBytes = c.cc.window, c.cc.inFlight, c.send.queuedBytes
	s.Rate, s.Bitrate, s.Queue, s.Noise = int64(8*c.cc.rate.now), c.Bitrate(), c.cc.queue, c.cc.jitter.level()
	return s
}
