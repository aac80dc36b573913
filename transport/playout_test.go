package transport_test

import (
	"bytes"
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// stage feeds a Playout by hand.
type stage struct {
	t          *testing.T
	now        time.Time
	p          *transport.Playout
	packetizer *rtmpchunk.Packetizer
}

const stageDelay = 300 * time.Millisecond

func newStage(t *testing.T) *stage {
	return &stage{t: t, now: transporttest.Start, p: transport.NewPlayout(stageDelay, transporttest.Start), packetizer: newPacketizer()}
}

func (s *stage) start(order uint64) {
	s.p.Start(s.now, &wire.Control{Type: wire.ControlStart, Instance: s.packetizer.Instance(), Order: order})
}

// message makes the packets of the next message, or its record.
func (s *stage) message(typ uint8, body []byte) (packets []*transport.Packet, record *wire.Control) {
	s.t.Helper()
	capture := transport.Ticks(s.now.Sub(transporttest.Start))
	rec, err := s.packetizer.Push(rtmpchunk.Message{Type: typ, Timestamp: capture / 16, Payload: body}, capture,
		func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) },
		func(b []byte, h rtmpchunk.Header) { packets = append(packets, &transport.Packet{Header: h, Data: b}) })
	if err != nil {
		s.t.Fatal(err)
	}
	if rec != nil {
		record = &wire.Control{Type: wire.ControlRecord, Order: rec.Order, Slot: uint8(rec.Slot), ID: rec.ID, Message: rec.Type, Timestamp: rec.Timestamp, Data: rec.Body}
	}
	return packets, record
}

func (s *stage) video(n int) []*transport.Packet {
	packets, _ := s.message(9, append([]byte{0x27, 1, 0, 0, 0}, make([]byte, n)...))
	return packets
}

func (s *stage) give(packets ...*transport.Packet) {
	for _, k := range packets {
		s.p.Packet(s.now, k)
	}
}

// want polls and compares the kinds and orders of what is released: "run", "end", "record", or a frame's order.
func (s *stage) want(want ...any) {
	s.t.Helper()
	var got []any
	for {
		r, ok := s.p.Poll(s.now)
		if !ok {
			break
		}
		switch {
		case r.Kind == transport.ReleaseRun:
			got = append(got, "run")
		case r.Kind == transport.ReleaseEnd:
			got = append(got, "end")
		case !r.Media:
			got = append(got, "record")
		case r.Gap:
			got = append(got, "gap", int(r.Header.Order))
		default:
			got = append(got, int(r.Header.Order))
		}
	}
	same := len(got) == len(want)
	for i := 0; same && i < len(got); i++ {
		same = got[i] == want[i]
	}
	if !same {
		s.t.Errorf("at %v released %v, want %v", s.now.Sub(transporttest.Start), got, want)
	}
}

// deadline waits until the playout wants to be asked again.
func (s *stage) deadline() {
	s.t.Helper()
	at := s.p.Deadline()
	if at.IsZero() {
		s.t.Fatal("nothing is awaited")
	}
	if at.After(s.now) {
		s.now = at
	}
}

func TestPlayoutOrder(t *testing.T) {
	s := newStage(t)
	a, b, c := s.video(2000), s.video(10), s.video(10)
	s.give(b...)
	s.want() // before START
	s.start(0)
	s.want("run")
	s.give(c...)
	s.give(a[1], a[1])
	s.want()
	s.give(a[0])
	s.want(0, 1, 2)
	s.give(a[0], c[0])
	s.want()
	if st := s.p.Stats(); st.Late != 2 || st.Held != 0 || st.Released[1] != 3 {
		t.Errorf("%+v", st)
	}
}

func TestPlayoutGivesUpInTime(t *testing.T) {
	s := newStage(t)
	s.p.SetClock(0)
	s.start(0)
	s.want("run")
	lost := s.video(10)
	s.now = s.now.Add(50 * time.Millisecond)
	s.give(s.video(10)...)
	s.want()
	at := s.now.Add(stageDelay)
	s.deadline()
	if diff := at.Sub(s.now); diff < 0 || diff > time.Millisecond {
		t.Errorf("gives up at %v, want at %v", s.now, at)
	}
	s.want("gap", 1)
	s.give(lost...)
	s.want()
	if st := s.p.Stats(); st.Skipped[1] != 1 || st.Late != 1 {
		t.Errorf("%+v", st)
	}
	if !s.p.Deadline().IsZero() {
		t.Error("awaits something with nothing known")
	}
}

func TestPlayoutSkip(t *testing.T) {
	s := newStage(t)
	s.start(0)
	a, b, c, d := s.video(2000), s.video(10), s.video(10), s.video(10)
	s.give(a[0])
	s.give(d...)
	s.give(b...)
	s.want("run")
	s.p.Skip(&wire.Control{Order: 0, Count: 3}) // the second one is whole: it stays
	s.want("gap", 1, "gap", 3)
	s.give(c...)
	s.want()
	if st := s.p.Stats(); st.Skipped[1] != 2 || st.Held != 0 {
		t.Errorf("%+v", st)
	}
}

func TestPlayoutWaitsForConfiguration(t *testing.T) {
	s := newStage(t)
	s.start(0)
	_, config := s.message(9, []byte("\x17\x00\x00\x00\x00avcC"))
	frame := s.video(10)
	if config == nil || frame[0].Header.Config == 0 {
		t.Fatal("no configuration in this stream")
	}
	s.give(frame...)
	s.want("run")
	s.p.Record(s.now, config)
	s.want("record", 1)
	s.p.Record(s.now, config) // a repeat after a reconnection
	s.want()

	// One that comes after its turn is released all the same, and what needs it follows.
	_, config = s.message(9, []byte("\x17\x00\x00\x00\x00avcD"))
	frame = s.video(10)
	s.p.Skip(&wire.Control{Order: 2, Count: 1})
	s.give(frame...)
	s.want()
	s.p.Record(s.now, config)
	s.want("record", "gap", 3)
}

func (s *stage) audio() []*transport.Packet {
	packets, _ := s.message(8, []byte{0xaf, 1, 2, 3, 4})
	return packets
}

// Apart, neither kind waits for the other, and what is given up is a gap in its own kind alone.
func TestPlayoutApart(t *testing.T) {
	s := newStage(t)
	s.p.SetApart(true)
	s.start(0)
	s.give(append(s.video(10), s.audio()...)...) // 0, 1
	s.want("run", 0, 1)
	lost, late := s.audio(), s.video(2000) // 2, 3
	s.give(s.audio()...)                   // 4: an audio frame is missing before it
	s.give(late[1:]...)
	s.give(s.video(10)...) // 5
	s.want()
	s.give(late[0])
	s.want(3, 5)
	s.give(late[0], late[0]) // repeats of what was released
	s.give(lost...)
	s.want(2, 4)
	lost = s.video(10) // 6
	s.give(s.audio()...)
	s.give(s.audio()...)
	s.give(s.video(10)...) // 9
	s.want(7, 8)
	s.p.Skip(&wire.Control{Order: 6, Count: 1})
	s.want("gap", 9)
	s.give(lost...)
	_ = s.audio() // 10: nothing of it ever comes
	s.give(s.video(10)...)
	s.want(11)
	s.p.Skip(&wire.Control{Order: 10, Count: 1})
	s.give(s.video(10)...) // 12: nothing is missing of its kind
	s.give(s.audio()...)
	s.want(12, 13)
	if st := s.p.Stats(); st.Held != 0 || st.Released != [2]uint64{6, 6} {
		t.Errorf("%+v", st)
	}
}

// Apart, over a network that loses, repeats and reorders, every whole frame is released once, in the order of its kind.
func TestPlayoutApartAnyOrder(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := newStage(t)
		s.p.SetApart(true)
		s.p.SetClock(0)
		s.start(0)
		type arrival struct {
			at time.Duration
			k  *transport.Packet
		}
		var way []arrival
		whole := make(map[uint16]bool)
		for i := range 120 {
			s.now = transporttest.Start.Add(time.Duration(i) * 10 * time.Millisecond)
			packets := s.audio()
			if i%3 == 0 {
				packets = s.video(1500 * (1 + r.IntN(3)))
			}
			all := true
			for _, k := range packets {
				if r.IntN(20) == 0 {
					all = false
					continue
				}
				for range 1 + r.IntN(2) {
					way = append(way, arrival{time.Duration(i)*10*time.Millisecond + time.Duration(r.IntN(150))*time.Millisecond, k})
				}
			}
			whole[packets[0].Header.Order] = all
		}
		slices.SortStableFunc(way, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
		got := make(map[uint16]bool)
		newest := [2]int{-1, -1}
		drain := func() {
			for {
				rel, ok := s.p.Poll(s.now)
				if !ok {
					return
				}
				if !rel.Media {
					continue
				}
				h := rel.Header
				if int(h.Order) <= newest[h.Kind] || got[h.Order] || !whole[h.Order] {
					t.Fatalf("seed %d: %d of kind %d after %v, whole %t", seed, h.Order, h.Kind, newest, whole[h.Order])
				}
				newest[h.Kind], got[h.Order] = int(h.Order), true
			}
		}
		for _, a := range way {
			for at := transporttest.Start.Add(a.at); ; {
				if d := s.p.Deadline(); d.IsZero() || d.After(at) {
					s.now = at
					break
				} else if d.After(s.now) {
					s.now = d
				}
				drain()
			}
			s.give(a.k)
			drain()
		}
		s.now = s.now.Add(2 * stageDelay)
		drain()
		for order, all := range whole {
			if all && !got[order] {
				t.Errorf("seed %d: frame %d was whole in time and is not released", seed, order)
			}
		}
		if st := s.p.Stats(); st.Held != 0 {
			t.Errorf("seed %d: %+v", seed, st)
		}
	}
}

func TestPlayoutEnd(t *testing.T) {
	s := newStage(t)
	s.start(0)
	s.give(s.video(10)...)
	lost := s.video(10)
	s.p.End(s.now, &wire.Control{Order: 2})
	s.want("run", 0)
	s.deadline()
	s.want("end")
	s.give(lost...)
	s.want()
	if st := s.p.Stats(); st.Skipped[1] != 1 {
		t.Errorf("%+v", st)
	}
}

func TestPlayoutStartAgain(t *testing.T) {
	s := newStage(t)
	s.start(0)
	a, b, c := s.video(2000), s.video(10), s.video(10)
	s.give(a[0])
	s.want("run")
	s.start(2) // the same run after a reconnection: 1 will not come, of 0 a part is here and the rest may come
	s.give(c...)
	s.want()
	s.give(a[1])
	s.want(0, "gap", 2)
	s.give(b...)
	s.want()

	// Another run: what is held of the old one goes, numbers begin anew.
	old := s.video(2000)
	s.give(old[0])
	s.packetizer = rtmpchunk.NewPacketizer(4242)
	s.start(0)
	s.give(old[1])
	s.give(s.video(10)...)
	s.want("run", 0)
	if st := s.p.Stats(); st.Held != 0 {
		t.Errorf("%+v", st)
	}
	s.p.Close()
}

// TestPlayoutFarNumbers has a peer announce numbers beyond all reason: nothing takes long, nothing takes room.
func TestPlayoutFarNumbers(t *testing.T) {
	for _, far := range []uint64{1 << 20, 1 << 40, 1 << 63, math.MaxUint64 - 1, math.MaxUint64} {
		s := newStage(t)
		s.start(0)
		s.give(s.video(10)...)
		s.p.Skip(&wire.Control{Order: far, Count: math.MaxUint32})
		s.p.Skip(&wire.Control{Order: 1, Count: math.MaxUint32})
		s.p.Record(s.now, &wire.Control{Order: far, Data: []byte("x")})
		s.p.End(s.now, &wire.Control{Order: far})
		for range 10 {
			s.now = s.now.Add(time.Second)
			for _, ok := s.p.Poll(s.now); ok; {
				_, ok = s.p.Poll(s.now)
			}
		}
		s.start(far)
		for range 10 {
			s.now = s.now.Add(time.Second)
			for _, ok := s.p.Poll(s.now); ok; {
				_, ok = s.p.Poll(s.now)
			}
		}
	}
}

// TestPlayoutHostilePackets gives packets of as many messages as there can be, each of which claims to be of the largest.
func TestPlayoutHostilePackets(t *testing.T) {
	s := newStage(t)
	s.start(0)
	r := rand.New(rand.NewPCG(1, 1))
	most := 0
	for i := range 100_000 {
		h := rtmpchunk.Header{Kind: rtmpchunk.Video, Count: 4096, Index: uint16(r.IntN(4096)), Order: uint16(i), Instance: s.packetizer.Instance()}
		s.give(&transport.Packet{Header: h, Data: make([]byte, rtmpchunk.HeaderSize+1)})
		most = max(most, s.p.Stats().Held)
	}
	if most > 64<<20 {
		t.Errorf("held %d bytes", most)
	}
	s.p.Close()
	if st := s.p.Stats(); st.Held != 0 {
		t.Errorf("held %d bytes after Close", st.Held)
	}
}

// TestPlayoutIgnoresTheNetworksOrder shuffles a stream's packets: the messages come out as they went in.
func TestPlayoutIgnoresTheNetworksOrder(t *testing.T) {
	for seed := range uint64(10) {
		s := newStage(t)
		s.start(0)
		r := rand.New(rand.NewPCG(seed, 2))
		var all []*transport.Packet
		var bodies [][]byte
		for range 50 {
			body := append([]byte{0x27, 1, 0, 0, 0}, make([]byte, r.IntN(5000))...)
			for i := range body[5:] {
				body[5+i] = byte(r.Uint32())
			}
			packets, _ := s.message(9, body)
			all, bodies = append(all, packets...), append(bodies, body)
		}
		all = append(all, all[:len(all)/3]...)
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		next := 0
		for _, k := range all {
			s.give(k)
			for {
				rel, ok := s.p.Poll(s.now)
				if !ok {
					break
				}
				if rel.Kind != transport.ReleaseMessage {
					continue
				}
				if !bytes.Equal(rel.Message.Payload, bodies[next]) {
					t.Fatalf("seed %d: message %d is another", seed, next)
				}
				next++
			}
		}
		if next != len(bodies) || s.p.Stats().Held != 0 {
			t.Errorf("seed %d: %d of %d messages, %+v", seed, next, len(bodies), s.p.Stats())
		}
	}
}
