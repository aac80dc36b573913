package client

import (
	"time"

	"duet/rtmpchunk"
	"duet/transport"
)

// reportInterval is the time between two netstatus events.
const reportInterval = time.Second

// NetStatus is how a stream does, over the last second. Names and units are the field's.
type NetStatus struct {
	VideoBitrate int     `json:"videoBitrate"` // kbit/s of frames written or released
	AudioBitrate int     `json:"audioBitrate"` // kbit/s
	VideoFPS     float64 `json:"videoFPS"`
	VideoGOP     float64 `json:"videoGOP"`        // seconds between the newest two key frames, by their timestamps
	NetSpeed     int     `json:"netSpeed"`        // kbit/s of UDP payload, both directions
	NetJitter    float64 `json:"netJitter"`       // ms; pusher: of the round trip; player: of the packets' arrival, as RFC 3550 has it
	Quality      int     `json:"netQualityLevel"` // 0 unknown, 1 best … 6 unusable
	VideoWidth   int     `json:"videoWidth"`      // from onMetaData, 0 unknown
	VideoHeight  int     `json:"videoHeight"`
	VideoCache   int     `json:"videoCache"` // pusher: frames that wait to be sent, about; player: ms that wait to be released
	AudioCache   int     `json:"audioCache"`
	RTT          float64 `json:"rtt"`  // ms, to the relay
	Loss         float64 `json:"loss"` // percent of packets lost on the way, before repair

	TargetBitrate int `json:"targetBitrate,omitempty"` // pusher: kbit/s of audio and video that should be made, 0 unknown
	PushBitrate   int `json:"pushBitrate,omitempty"`   // pusher: kbit/s of audio and video that really left
}

// meter measures the media of a stream.
type meter struct {
	at            time.Time // of the last report
	frames        [2]int    // since then
	bytes         [2]int
	keyAt         uint32 // timestamp of the newest key frame
	keyKnown      bool
	gop           time.Duration
	width, height int
}

// frame counts one frame.
func (m *meter) frame(kind rtmpchunk.Kind, key bool, timestamp uint32, size int) {
	m.frames[kind]++
	m.bytes[kind] += size
	if !key {
		return
	}
	if d := timestamp - m.keyAt; m.keyKnown && d < 1<<31 {
		m.gop = time.Duration(d) * time.Millisecond
	}
	m.keyAt, m.keyKnown = timestamp, true
}

// data looks for onMetaData in a message that is no frame.
func (m *meter) data(msg rtmpchunk.Message) {
	if msg.Type != rtmpchunk.TypeData {
		return
	}
	if meta, err := rtmpchunk.ParseMetadata(msg.Payload); err == nil {
		m.width, m.height = meta.Width, meta.Height
	}
}

// read fills in what was measured since the last time and begins anew.
func (m *meter) read(now time.Time, info *NetStatus) {
	seconds := max(now.Sub(m.at).Seconds(), 1e-3)
	kbit := func(bytes int) int { return int(float64(bytes)*8/1000/seconds + 0.5) }
	info.VideoBitrate, info.AudioBitrate = kbit(m.bytes[rtmpchunk.Video]), kbit(m.bytes[rtmpchunk.Audio])
	info.VideoFPS = float64(int(float64(m.frames[rtmpchunk.Video])/seconds*10+0.5)) / 10
	info.VideoGOP = m.gop.Seconds()
	info.VideoWidth, info.VideoHeight = m.width, m.height
	m.at, m.frames, m.bytes = now, [2]int{}, [2]int{}
}

// report tells a netstatus.
func (l *link) report(now time.Time) {
	l.reportAt = now.Add(reportInterval)
	if l.cfg.onEvent == nil || !l.succeeded {
		return
	}
	total := l.totals()
	growth := subStats(total, l.reported)
	l.reported = total
	info := &NetStatus{NetSpeed: int((growth.BytesSent + growth.BytesReceived) * 8 / 1000)}
	if l.current != nil {
		info.RTT = ms(l.current.conn.Stats().RTT)
	}
	l.user.status(now, info, growth)
	if !l.lostAt.IsZero() {
		info.Quality = qualityWorst
	}
	l.cfg.onEvent(Event{Kind: KindNetStatus, Time: now, Info: info})
}

func ms(d time.Duration) float64 { return float64(d/(10*time.Microsecond)) / 100 }

const qualityWorst = 6

// qualitySteps are the bounds of levels 1 to 5; beyond the last is 6. A call is good while loss is repaired within the delay that
// people don't notice, which depends on both.
var qualitySteps = [...]struct{ loss, rtt float64 }{
	{1, 100}, {3, 200}, {8, 300}, {15, 450}, {30, 800},
}

// quality rates loss in percent and the round trip in ms; frames that were skipped make it bad whatever these say.
func quality(loss, rtt float64, skipped bool) int {
	level := qualityWorst
	for i, s := range qualitySteps {
		if loss <= s.loss && rtt <= s.rtt {
			level = i + 1
			break
		}
	}
	if skipped {
		level = max(level, 4)
	}
	return level
}

// jitterMeter measures the interarrival jitter of RFC 3550, section 6.4.1, with capture times for RTP timestamps.
type jitterMeter struct {
	arrived time.Time
	capture uint32
	value   float64 // ms
}

func (j *jitterMeter) packet(now time.Time, capture uint32) {
	if !j.arrived.IsZero() && capture != j.capture {
		d := ms(now.Sub(j.arrived) - time.Duration(int32(capture-j.capture))*transport.Tick)
		j.value += (max(d, -d) - j.value) / 16
	}
	j.arrived, j.capture = now, capture
}
