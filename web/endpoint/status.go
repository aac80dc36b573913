package endpoint

import (
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

const (
	reportInterval = time.Second
	bitsPerByte    = 8
	bitsPerKbit    = 1000
	qualityWorst   = 6
)

// status is how a stream did over the last second, in the field's names and units: netstatus. Its fields go out in this order.
type status struct {
	videoBitrate, audioBitrate float64 // kbit/s of frames
	videoFPS, videoGOP         float64 // frames a second, seconds
	netSpeed, netJitter        float64 // kbit/s of datagrams both ways, ms
	quality                    float64 // 0 unknown, 1 best … 6 unusable
	videoCache, audioCache     float64 // player: ms that have come and wait
	rtt, loss                  float64 // ms; percent before repair
	target, waiting            float64 // pusher: kbit/s asked for, bytes that wait
	skipped, repaired          float64 // frames given up, packets repaired or sent again, so far
	reconnects                 float64
}

func (s *status) fields() []float64 {
	return []float64{
		s.videoBitrate, s.audioBitrate, s.videoFPS, s.videoGOP, s.netSpeed, s.netJitter, s.quality, s.videoCache, s.audioCache, s.rtt, s.loss,
		s.target, s.waiting, s.skipped, s.repaired, s.reconnects,
	}
}

// report puts a status out.
func (l *link) report(now time.Time) {
	l.reportAt = now.Add(reportInterval)
	total := l.past
	for _, s := range l.sessions {
		total = addStats(total, s.conn.Stats())
	}
	growth := total
	growth.BytesSent -= l.reported.BytesSent
	growth.BytesReceived -= l.reported.BytesReceived
	growth.MessagesSkipped -= l.reported.MessagesSkipped
	l.reported = total
	s := status{
		netSpeed:   float64((growth.BytesSent + growth.BytesReceived) * bitsPerByte / bitsPerKbit),
		repaired:   float64(total.PacketsRepaired + total.Retransmits),
		reconnects: float64(l.reconnects),
	}
	if l.current != nil {
		s.rtt = ms(l.current.conn.Stats().RTT)
	}
	l.user.status(now, &s, growth)
	if !l.lostAt.IsZero() {
		s.quality = qualityWorst
	}
	w := &l.e.out
	w.begin(OutStatus)
	for _, v := range s.fields() {
		w.f64(v)
	}
	w.end()
}

// addStats adds the counters that a status needs.
func addStats(a, b transport.Stats) transport.Stats {
	a.BytesSent += b.BytesSent
	a.BytesReceived += b.BytesReceived
	a.MessagesSkipped += b.MessagesSkipped
	a.PacketsRepaired += b.PacketsRepaired
	a.Retransmits += b.Retransmits
	return a
}

func ms(d time.Duration) float64 { return float64(d/(10*time.Microsecond)) / 100 }

// qualitySteps returns the bounds of levels 1 to 5 in percent of loss and ms of round trip, as package client has them.
func qualitySteps() [5][2]float64 {
	return [5][2]float64{{1, 100}, {3, 200}, {8, 300}, {15, 450}, {30, 800}}
}

// quality rates loss and the round trip; frames that were skipped make it bad whatever these say.
func quality(loss, rtt float64, skipped bool) float64 {
	level := qualityWorst
	for i, s := range qualitySteps() {
		if loss <= s[0] && rtt <= s[1] {
			level = i + 1
			break
		}
	}
	if skipped {
		level = max(level, 4)
	}
	return float64(level)
}

// meter measures the media of a stream.
type meter struct {
	at       time.Time
	frames   [2]int
	bytes    [2]int
	keyAt    uint32
	keyKnown bool
	gop      float64 // seconds
}

func (m *meter) frame(kind rtmpchunk.Kind, key bool, timestamp uint32, size int) {
	m.frames[kind]++
	m.bytes[kind] += size
	if !key || kind == rtmpchunk.Audio {
		return
	}
	if d := timestamp - m.keyAt; m.keyKnown && d < 1<<31 {
		m.gop = float64(d) / 1000
	}
	m.keyAt, m.keyKnown = timestamp, true
}

// read fills in what was measured since the last time and begins anew.
func (m *meter) read(now time.Time, s *status) {
	seconds := reportInterval.Seconds()
	if !m.at.IsZero() {
		seconds = max(now.Sub(m.at).Seconds(), 1e-3)
	}
	s.videoBitrate = float64(m.bytes[rtmpchunk.Video]) * bitsPerByte / bitsPerKbit / seconds
	s.audioBitrate = float64(m.bytes[rtmpchunk.Audio]) * bitsPerByte / bitsPerKbit / seconds
	s.videoFPS, s.videoGOP = float64(m.frames[rtmpchunk.Video])/seconds, m.gop
	m.at, m.frames, m.bytes = now, [2]int{}, [2]int{}
}

// arrival follows one kind's packets by their sequence numbers: what is missing when a later one comes was lost, or is late.
type arrival struct {
	any               bool
	next              uint16 // one past the highest
	run               uint32
	expected, missing uint64 // since the last status
	newest, played    uint32 // capture times in ticks
	begun, playedAny  bool
	cameAt            time.Time
	jitter            float64 // ms, RFC 3550, section 6.4.1, with capture times for RTP timestamps
}

func (a *arrival) packet(now time.Time, h *rtmpchunk.Header) {
	if !a.any || h.Instance != a.run {
		a.any, a.next, a.run = true, h.Seq, h.Instance
	}
	if d := h.Seq - a.next; d < 1<<15 {
		a.expected += uint64(d) + 1
		a.missing += uint64(d)
		a.next = h.Seq + 1
	}
	if h.Index == 0 {
		if a.begun && h.Capture != a.newest {
			d := ms(now.Sub(a.cameAt) - time.Duration(int32(h.Capture-a.newest))*transport.Tick)
			a.jitter += (max(d, -d) - a.jitter) / 16
		}
		a.cameAt = now
	}
	if !a.begun || int32(h.Capture-a.newest) > 0 {
		a.newest, a.begun = h.Capture, true
	}
}

func (a *arrival) released(capture uint32) { a.played, a.playedAny = capture, true }

// held is how many ms of media have come that are not released yet.
func (a *arrival) held() float64 {
	if !a.begun || !a.playedAny {
		return 0
	}
	return max(0, ms(time.Duration(int32(a.newest-a.played))*transport.Tick))
}
