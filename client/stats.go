package client

import (
	"time"

	"duet/transport"
)

// Stats is what a Pusher or Player has done so far, over all its sessions. Bytes are UDP payload unless said otherwise.
type Stats struct {
	AudioFrames, VideoFrames uint64 // pusher: written; player: released
	Records                  uint64 // configurations, metadata and data messages, likewise
	Skipped                  uint64 // frames given up: pusher: never or not wholly sent; player: not whole in time
	MediaBytes               uint64 // bytes of those messages' payloads
	Switches                 uint64 // pusher of Renditions: how often another one went out from then on

	DatagramsSent, DatagramsReceived uint64
	BytesSent, BytesReceived         uint64
	PacketsSent, PacketsReceived     uint64        // media packets, each counted once
	PacketsLost                      uint64        // pusher: datagrams called lost; player: packets that were missing when a later one came
	Retransmits, RepairsSent         uint64        // pusher
	RepairsReceived, PacketsRepaired uint64        // player
	Loss                             float64       // percent of packets lost before repair; pusher: of datagrams
	RTT, MinRTT                      time.Duration // newest session

	Delay      Delays        // player: from capture to release
	FirstFrame time.Duration // player: from the beginning of DialPlayer to the first frame
	Reconnects uint64        // sessions after the first
	Dropped    uint64        // datagrams and frames that were not what they should be
}

// totals sums up all sessions.
func (l *link) totals() transport.Stats {
	t := l.past
	for _, s := range l.sessions {
		t = addStats(t, s.conn.Stats())
	}
	return t
}

// stats fills in what comes from the sessions.
func (l *link) stats() Stats {
	t := l.totals()
	s := Stats{
		DatagramsSent: t.DatagramsSent, DatagramsReceived: t.DatagramsReceived, BytesSent: t.BytesSent, BytesReceived: t.BytesReceived,
		PacketsSent: t.PacketsSent, PacketsReceived: t.PacketsReceived + t.PacketsRepaired, PacketsLost: t.PacketsLost,
		Retransmits: t.Retransmits, RepairsSent: t.RepairsSent, RepairsReceived: t.RepairsReceived, PacketsRepaired: t.PacketsRepaired,
		RTT: t.RTT, MinRTT: t.MinRTT, Reconnects: l.reconnects,
	}
	for _, n := range t.Dropped {
		s.Dropped += n
	}
	return s
}

// addStats adds the counters of two sessions; estimates are the later one's.
func addStats(a, b transport.Stats) transport.Stats {
	sum := combine(a, b, func(x, y uint64) uint64 { return x + y })
	sum.RTT, sum.MinRTT, sum.Loss, sum.QueuedBytes = b.RTT, b.MinRTT, b.Loss, b.QueuedBytes
	return sum
}

// subStats is how much the counters have grown from b to a.
func subStats(a, b transport.Stats) transport.Stats {
	return combine(a, b, func(x, y uint64) uint64 { return x - y })
}

// combine applies f to the counters that are reported here.
func combine(a, b transport.Stats, f func(x, y uint64) uint64) transport.Stats {
	c := transport.Stats{
		DatagramsSent: f(a.DatagramsSent, b.DatagramsSent), DatagramsReceived: f(a.DatagramsReceived, b.DatagramsReceived),
		BytesSent: f(a.BytesSent, b.BytesSent), BytesReceived: f(a.BytesReceived, b.BytesReceived),
		PacketsSent: f(a.PacketsSent, b.PacketsSent), PacketsReceived: f(a.PacketsReceived, b.PacketsReceived),
		MediaBytesSent: f(a.MediaBytesSent, b.MediaBytesSent), MediaBytesReceived: f(a.MediaBytesReceived, b.MediaBytesReceived),
		MessageBytesSent: f(a.MessageBytesSent, b.MessageBytesSent),
		Retransmits:      f(a.Retransmits, b.Retransmits), RepairsSent: f(a.RepairsSent, b.RepairsSent),
		RepairsReceived: f(a.RepairsReceived, b.RepairsReceived), PacketsRepaired: f(a.PacketsRepaired, b.PacketsRepaired),
		PacketsLost: f(a.PacketsLost, b.PacketsLost), MessagesSkipped: f(a.MessagesSkipped, b.MessagesSkipped),
	}
	for i := range c.Dropped {
		c.Dropped[i] = f(a.Dropped[i], b.Dropped[i])
	}
	return c
}
