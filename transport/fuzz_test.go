package transport_test

import (
	"encoding/binary"
	"testing"
	"time"

	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

// Inputs of the fuzz targets below are scripts: a byte that says what happens, two that say how long the rest of the step is,
// then that many bytes.
func steps(b []byte, f func(op byte, data []byte)) {
	for n := 0; len(b) >= 3 && n < 200; n++ {
		size := min(int(binary.BigEndian.Uint16(b[1:])), len(b)-3)
		f(b[0], b[3:3+size])
		b = b[3+size:]
	}
}

// step writes one.
func step(b []byte, op byte, data []byte) []byte {
	return append(binary.BigEndian.AppendUint16(append(b, op), uint16(len(data))), data...)
}

// frameSeeds are plaintexts that mean something.
func frameSeeds() (out [][]byte) {
	control := func(m *wire.Control) []byte {
		b, err := wire.AppendControlMessage(nil, m)
		if err != nil {
			panic(err)
		}
		return wire.AppendControl(nil, 0, b)
	}
	var packet []byte
	_, err := newPacketizer().Push(rtmpchunk.Message{Type: 9, Payload: []byte{0x17, 1, 0, 0, 0, 5}}, 0,
		func() []byte { return make([]byte, 0, rtmpchunk.MaxPacket) }, func(b []byte, _ rtmpchunk.Header) { packet = b })
	if err != nil {
		panic(err)
	}
	feedback := wire.AppendFeedbackRecord(wire.AppendFeedbackHeader(nil, 0, 0, 1, 0), true, 0, 3)
	return [][]byte{
		wire.AppendPing(nil, 1000), wire.AppendPong(nil, [3]uint64{1, 2, 3}), feedback,
		control(&wire.Control{Type: wire.ControlStart, Instance: 42}), control(&wire.Control{Type: wire.ControlEnd, Order: 1 << 60}),
		wire.AppendPath(nil, wire.FramePathChallenge, [8]byte{1}), wire.AppendPath(nil, wire.FramePathResponse, [8]byte{1}),
		wire.AppendClose(nil, wire.CloseBusy, "busy"), wire.AppendMedia(nil, packet),
		append(wire.AppendRepairHeader(nil, wire.Repair{Video: true, K: 3}), packet...), {0}, {0x55},
	}
}

// drive lets a Conn do all that it wants to.
func drive(now time.Time, c *transport.Conn, buf []byte) {
	for round := 0; ; round++ {
		c.HandleTimeout(now)
		for n := 0; ; n++ {
			if _, ok := c.Poll(now, buf); !ok {
				break
			}
			if n > 20_000 {
				panic("Poll has no end")
			}
		}
		if at := c.Deadline(); at.IsZero() || at.After(now) {
			break
		}
		if round > 10 {
			panic("a deadline that has passed stays")
		}
	}
	for e, ok := c.PollEvent(); ok; e, ok = c.PollEvent() {
		if e.Kind == transport.EventPacket {
			e.Packet.Release()
		}
	}
}

// FuzzHandleDatagram gives the ends of a session, in every state, datagrams of any kind: raw bytes, and frames that a hostile
// peer has sealed.
func FuzzHandleDatagram(f *testing.F) {
	var all []byte
	for i, plain := range frameSeeds() {
		f.Add(uint8(i), step(nil, 1, plain))
		all = step(all, 1, plain)
		all = step(all, 2, plain)
		all = step(all, 3, []byte{byte(i)})
	}
	f.Add(uint8(0), all)
	f.Add(uint8(1), all)
	f.Add(uint8(1), step(nil, 0, wire.AppendRetry(nil, 1, [16]byte{1})))
	f.Fuzz(func(t *testing.T, mode uint8, script []byte) {
		now := transporttest.Start
		role := wire.RolePush
		if mode&1 != 0 {
			role = wire.RolePlay
		}
		var buf [2 * wire.MaxDatagram]byte
		client, err := transport.New(now, transporttest.ClientConfig(role, 2))
		if err != nil {
			t.Fatal(err)
		}
		clientPath, relayPath := transport.Path{Addr: transporttest.ClientAddr}, transport.Path{Addr: transporttest.RelayAddr}
		end := transporttest.NewRelayEnd(now, 1, nil)
		init, _ := client.Poll(now, buf[:])
		reply, relay, _ := end.Acceptor.Handle(now, clientPath, buf[:init.Size], nil)
		if mode&2 == 0 { // else the client stays in its handshake
			client.HandleDatagram(now, relayPath, reply)
			if tr, ok := client.Poll(now, buf[:]); ok && mode&4 == 0 { // else the relay's end stays half open
				relay.HandleDatagram(now, clientPath, buf[:tr.Size])
			}
		}
		handshake := mode&2 != 0
		steps(script, func(op byte, data []byte) {
			data = append([]byte(nil), data...)
			switch op % 7 {
			case 0: // raw bytes
				client.HandleDatagram(now, relayPath, append([]byte(nil), data...))
				relay.HandleDatagram(now, clientPath, data)
			case 1: // the client's frames
				if !handshake && len(data) <= wire.MaxDatagram-29 {
					relay.HandleDatagram(now, clientPath, client.SealPlain(now, data))
				}
			case 2: // the relay's
				if len(data) <= wire.MaxDatagram-29 {
					client.HandleDatagram(now, relayPath, relay.SealPlain(now, data))
				}
			case 3: // time
				now = now.Add(time.Duration(len(data)) * 10 * time.Millisecond)
				if len(data) > 0 {
					now = now.Add(time.Duration(data[0]) * time.Millisecond)
				}
			case 4: // the client's frames from elsewhere
				if !handshake && len(data) <= wire.MaxDatagram-29 {
					from := clientPath
					from.Carrier = uint32(len(data))
					relay.HandleDatagram(now, from, client.SealPlain(now, data))
				}
			case 5: // one of ours to send
				sender := client
				if role == wire.RolePlay {
					sender = relay
				}
				h := rtmpchunk.Header{Kind: rtmpchunk.Video, Count: 1, Order: uint16(len(data))}
				_ = sender.Send(now, &transport.Packet{Header: h, Data: make([]byte, 100)})
			case 6:
				relay.Close(now, wire.CloseShutdown, "shutdown")
			}
			if client.Deadline().IsZero() && !client.Closed() {
				t.Fatal("a session that is not closed awaits nothing")
			}
			drive(now, client, buf[:])
			drive(now, relay, buf[:])
			if n := max(client.HeldBytes(), relay.HeldBytes()); n > transport.MaxHeldBytes {
				t.Fatalf("%d bytes held", n)
			}
		})
	})
}

// FuzzAcceptor gives a relay's acceptor first datagrams: raw ones, and such as open.
func FuzzAcceptor(f *testing.F) {
	now := transporttest.Start
	client, err := transport.New(now, transporttest.ClientConfig(wire.RolePush, 2))
	if err != nil {
		f.Fatal(err)
	}
	var buf [wire.MaxDatagram]byte
	tr, _ := client.Poll(now, buf[:])
	init := buf[:tr.Size]
	f.Add(step(step(nil, 0, init), 0, init))
	f.Add(step(step(nil, 1, init), 1, init))
	f.Add(step(step(nil, 2, []byte{1}), 3, init))
	f.Fuzz(func(t *testing.T, script []byte) {
		now := transporttest.Start
		end := transporttest.NewRelayEndWith(now, 1, func(c *transport.AcceptorConfig) { c.Rate = 20 })
		total, replied := 0, 0
		steps(script, func(op byte, data []byte) {
			path := transport.Path{Addr: transporttest.ClientAddr, Carrier: uint32(op >> 4)}
			switch op % 4 {
			case 0: // raw
			case 1: // another Noise message behind the header
				if len(data) > wire.HandshakeHeader {
					data = append(append([]byte(nil), init[:wire.HandshakeHeader]...), data...)
					data = append(data, make([]byte, wire.MaxDatagram)...)[:wire.MaxDatagram]
				}
			case 2:
				now = now.Add(time.Duration(len(data)) * 100 * time.Millisecond)
				return
			case 3: // another client's ID on a genuine one
				c := append([]byte(nil), init...)
				copy(c[4:], data[:min(8, len(data))])
				data = c
			}
			out, conn, req := end.Acceptor.Handle(now, path, append([]byte(nil), data...), nil)
			total += len(data)
			replied += len(out)
			if replied > total {
				t.Fatalf("%d bytes answered %d", replied, total)
			}
			if conn != nil && req.Stream != "live/test" {
				t.Fatalf("a session for %q", req.Stream)
			}
		})
		if st := end.Acceptor.Stats(); st.HalfOpen > 200 {
			t.Fatalf("%d half-open sessions", st.HalfOpen)
		}
	})
}

// FuzzPlayout gives a playout packets and control messages of any content, in any order, and holds it to its limits: it never
// releases an order twice in a run, and all that it was given comes back.
func FuzzPlayout(f *testing.F) {
	header := func(h rtmpchunk.Header) []byte {
		b := make([]byte, rtmpchunk.HeaderSize+20)
		if _, err := h.Marshal(b); err != nil {
			panic(err)
		}
		return b
	}
	control := func(m *wire.Control) []byte {
		b, err := wire.AppendControlMessage(nil, m)
		if err != nil {
			panic(err)
		}
		return b
	}
	var s []byte
	s = step(s, 1, control(&wire.Control{Type: wire.ControlStart, Instance: 42}))
	s = step(s, 0, header(rtmpchunk.Header{Kind: rtmpchunk.Video, Count: 1, Instance: 42}))
	s = step(s, 0, header(rtmpchunk.Header{Kind: rtmpchunk.Video, Count: 2, Order: 1, Instance: 42}))
	s = step(s, 1, control(&wire.Control{Type: wire.ControlRecord, Order: 2, Slot: 2, ID: 1, Data: []byte("x")}))
	s = step(s, 1, control(&wire.Control{Type: wire.ControlSkip, Order: 3, Count: 100}))
	s = step(s, 2, make([]byte, 40))
	s = step(s, 1, control(&wire.Control{Type: wire.ControlEnd, Order: 1 << 63}))
	s = step(s, 2, make([]byte, 4000))
	f.Add(s)
	f.Fuzz(func(t *testing.T, script []byte) {
		now := transporttest.Start
		p := transport.NewPlayout(400*time.Millisecond, now)
		var packets pool
		given := 0
		var parser rtmpchunk.Parser
		last, run := -1, uint32(0)
		steps(script, func(op byte, data []byte) {
			switch op % 4 {
			case 0:
				k := packets.get()
				k.Data = append(k.Data[:0], data[:min(len(data), rtmpchunk.MaxPacket)]...)
				given = max(given, len(packets.free)+1)
				if _, err := parser.Parse(k.Data, &k.Header); err != nil {
					k.Release()
					return
				}
				p.Packet(now, k)
			case 1:
				var m wire.Control
				if n, err := wire.NextControl(data, &m); err != nil || n == 0 {
					return
				}
				switch m.Type {
				case wire.ControlStart:
					p.Start(now, &m)
				case wire.ControlSkip:
					p.Skip(&m)
				case wire.ControlRecord:
					p.Record(now, &m)
				case wire.ControlEnd:
					p.End(now, &m)
				}
			case 2:
				now = now.Add(time.Duration(len(data)) * time.Millisecond)
			case 3:
				p.SetClock(time.Duration(len(data)-500) * time.Second)
			}
			for n := 0; ; n++ {
				r, ok := p.Poll(now)
				if !ok {
					break
				}
				if n > 10_000 {
					t.Fatal("Poll has no end")
				}
				if r.Kind == transport.ReleaseRun || r.Run != run {
					run, last = r.Run, -1
				}
				if r.Media && last >= 0 && r.Header.Order == uint16(last) {
					t.Fatalf("order %d twice", last)
				}
				if r.Media {
					last = int(r.Header.Order)
				}
			}
			if d := p.Deadline(); !d.IsZero() && !d.After(now) {
				t.Fatalf("deadline %v at %v, and nothing to poll", d, now)
			}
		})
		p.Close()
		if st := p.Stats(); st.Held != 0 {
			t.Fatalf("%d bytes held after Close", st.Held)
		}
		for _, k := range packets.free {
			if k.count != 0 {
				t.Fatal("a packet was given back and is held")
			}
		}
	})
}
