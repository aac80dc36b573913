package bench

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// The synthetic source of every media flow.
const (
	rmcatFPS        = 30
	rmcatVideoEvery = time.Second / rmcatFPS
	rmcatAudioEvery = 20 * time.Millisecond
	rmcatAudioSize  = 120
	rmcatAudioRate  = rmcatAudioSize * 8 * int64(time.Second/rmcatAudioEvery)
	rmcatKeySize    = 3 // the first frame is so many times the size of another; there is no other key frame

	rmcatMin   = 150_000 // RFC 8867, section 4.3
	rmcatStart = 300_000

	// rmcatMax is above every case's bottleneck: the RFC's 1.5 Mbit/s would leave much of 5.1's 2.5 Mbit/s unused, whatever the controller.
	rmcatMax = 4_000_000

	// rmcatSlack beside the path's round trip gives a frame's deadline: 300 ms at 50 ms one way.
	rmcatSlack = 200 * time.Millisecond

	// rmcatDial is how long before its first frame a flow begins its handshake.
	rmcatDial = time.Second
)

// mediaFrame is one message on its way from the source to the sink.
type mediaFrame struct {
	captured time.Time
	size     int
	kind     rtmpchunk.Kind
	left     int // packets that have not come; below 0 before the first
	whole    time.Time
}

// mediaFlow is a session with a source that follows its bitrate target at one end and a relay's end at the other.
type mediaFlow struct {
	number     int       // in the dumbbell
	dir        direction // of the media
	conn       *transport.Conn
	sink       *transporttest.RelayEnd
	packetizer *rtmpchunk.Packetizer
	rng        *rand.Rand
	start      time.Duration // since the dumbbell's zero
	deadline   time.Duration
	frames     []mediaFrame // by order
	accepted   bool
	paused     bool
	keyed      bool // the first frame is out
	refused    int  // frames for which the Conn had no room
	err        error
	buf        [8 * wire.MaxDatagram]byte
}

func newMediaFlow(now time.Time, oneWay time.Duration, seed uint64) (*mediaFlow, error) {
	m := &mediaFlow{
		sink: transporttest.NewRelayEnd(now, seed*2+1, nil), packetizer: rtmpchunk.NewPacketizer(uint32(seed) &^ 1),
		rng: rand.New(rand.NewPCG(seed, 11)), deadline: 2*oneWay + rmcatSlack, //nolint:gosec // sizes of frames, the same for the same seed
	}
	cfg := transporttest.ClientConfig(wire.RolePush, seed*2)
	cfg.Budget = m.deadline
	cfg.Bitrate = transport.BitrateLimits{Min: rmcatMin, Start: rmcatStart, Max: rmcatMax}
	var err error
	m.conn, err = transport.New(now, cfg)
	if err != nil {
		return nil, fmt.Errorf("bench: %w", err)
	}
	m.conn.SetStreamClock(0)
	return m, nil
}

// sourceEnd and sinkEnd are the two ends as the dumbbell drives them.
type (
	sourceEnd struct{ m *mediaFlow }
	sinkEnd   struct{ m *mediaFlow }
)

func (e sourceEnd) Deadline() time.Time         { return e.m.conn.Deadline() }
func (e sourceEnd) HandleTimeout(now time.Time) { e.m.conn.HandleTimeout(now) }
func (e sourceEnd) HandleDatagram(now time.Time, b []byte) {
	e.m.conn.HandleDatagram(now, transport.Path{Addr: transporttest.RelayAddr}, b)
}

func (e sinkEnd) Deadline() time.Time         { return e.m.sink.Deadline() }
func (e sinkEnd) HandleTimeout(now time.Time) { e.m.sink.HandleTimeout(now) }
func (e sinkEnd) HandleDatagram(now time.Time, b []byte) {
	e.m.sink.HandleDatagram(now, transport.Path{Addr: transporttest.ClientAddr}, b)
}

// Flush takes the events out too: what they cause is to be sent now.
func (e sourceEnd) Flush(now time.Time, send func(b []byte)) {
	e.m.drainSource(now)
	e.m.poll(now, e.m.conn.Poll, send)
	e.m.drainSource(now)
}

func (e sinkEnd) Flush(now time.Time, send func(b []byte)) {
	e.m.drainSink(now)
	e.m.poll(now, e.m.sink.Poll, send)
}

func (m *mediaFlow) poll(now time.Time, poll func(time.Time, []byte) (transport.Transmit, bool), send func(b []byte)) {
	for {
		t, ok := poll(now, m.buf[:])
		if !ok {
			return
		}
		for off := 0; off < t.Size; off += t.Segment {
			send(m.buf[off:min(off+t.Segment, t.Size)])
		}
	}
}

func (m *mediaFlow) fail(err error) {
	if m.err == nil {
		m.err = fmt.Errorf("bench: %w", err)
	}
}

func (m *mediaFlow) drainSource(now time.Time) {
	for {
		e, ok := m.conn.PollEvent()
		if !ok {
			return
		}
		switch e.Kind {
		case transport.EventAccepted:
			m.accepted = true
			if err := m.conn.SendControl(now, &wire.Control{Type: wire.ControlStart, Instance: m.packetizer.Instance(), Order: m.packetizer.Next()}); err != nil {
				m.fail(err)
			}
		case transport.EventClosed:
			m.fail(fmt.Errorf("a session ended: %s", e.Reason))
		default:
		}
	}
}

func (m *mediaFlow) drainSink(now time.Time) {
	for _, c := range m.sink.Conns {
		for {
			e, ok := c.PollEvent()
			if !ok {
				break
			}
			if e.Kind != transport.EventPacket {
				continue
			}
			h := &e.Packet.Header
			if int(h.Order) < len(m.frames) {
				f := &m.frames[h.Order]
				if f.left < 0 {
					f.left = int(h.Count)
				}
				if f.left--; f.left == 0 {
					f.whole = now
				}
			}
			e.Packet.Release()
		}
	}
}

// video captures one frame of the size that the target asks for, ±20 %.
func (m *mediaFlow) video(now time.Time) {
	size := int((m.conn.Bitrate() - rmcatAudioRate) / 8 / rmcatFPS * int64(80+m.rng.IntN(41)) / 100)
	first := byte(0x27)
	if !m.keyed {
		size, first, m.keyed = size*rmcatKeySize, 0x17, true
	}
	body := make([]byte, max(size, 6))
	body[0], body[1] = first, 1
	m.push(now, rtmpchunk.TypeVideo, rtmpchunk.Video, body)
}

func (m *mediaFlow) audio(now time.Time) {
	body := make([]byte, rmcatAudioSize)
	body[0], body[1] = 0xaf, 1
	m.push(now, rtmpchunk.TypeAudio, rtmpchunk.Audio, body)
}

func (m *mediaFlow) push(now time.Time, typ uint8, kind rtmpchunk.Kind, body []byte) {
	clock := m.conn.Clock(now)
	m.frames = append(m.frames, mediaFrame{captured: now, size: len(body), kind: kind, left: -1})
	_, err := m.packetizer.Push(rtmpchunk.Message{Type: typ, Timestamp: uint32(clock / time.Millisecond), Payload: body}, transport.Ticks(clock),
		func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) {
			switch err := m.conn.Send(now, &transport.Packet{Header: h, Data: b}); {
			case errors.Is(err, transport.ErrQueueFull):
				m.refused++
			case err != nil:
				m.fail(err)
			}
		})
	if err != nil {
		m.fail(err)
	}
}

// play lets the source run from one time since zero to another, but while it is paused.
func (m *mediaFlow) play(d *dumbbell, from, to time.Duration) {
	m.start = from
	var repeat func(t, every time.Duration, capture func(time.Time))
	repeat = func(t, every time.Duration, capture func(time.Time)) {
		if t >= to {
			return
		}
		d.at(t, func(now time.Time) {
			if m.accepted && !m.paused && m.err == nil {
				capture(now)
				d.flush(m.number, m.dir)
			}
			repeat(t+every, every, capture)
		})
	}
	repeat(from, rmcatVideoEvery, m.video)
	repeat(from, rmcatAudioEvery, m.audio)
}
