package transport_test

import (
	"fmt"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

func TestSmoke(t *testing.T) {
	for _, loss := range []float64{0, 0.05, 0.2} {
		n := transporttest.NewNetwork()
		relay := transporttest.NewRelayEnd(n.Now(), 1, nil)
		c, err := transport.New(n.Now(), transporttest.ClientConfig(wire.RolePush, 2))
		if err != nil {
			t.Fatal(err)
		}
		c.SetStreamClock(0)
		po := transport.NewPlayout(time.Second, n.Now())
		released := 0
		var delays []time.Duration
		n.Add(transporttest.ClientAddr, c, func(now time.Time) {
			for {
				e, ok := c.PollEvent()
				if !ok {
					return
				}
				if e.Kind == transport.EventClosed {
					fmt.Println("client closed", e.Reason)
				}
			}
		})
		n.Add(transporttest.RelayAddr, relay, func(now time.Time) {
			rc := relay.Conn()
			if rc == nil {
				return
			}
			for {
				e, ok := rc.PollEvent()
				if !ok {
					break
				}
				switch e.Kind {
				case transport.EventPacket:
					po.Packet(now, e.Packet)
				case transport.EventControl:
					switch e.Control.Type {
					case wire.ControlStart:
						po.Start(now, &e.Control)
					case wire.ControlRecord:
						po.Record(now, &e.Control)
					case wire.ControlSkip:
						po.Skip(&e.Control)
					case wire.ControlEnd:
						po.End(now, &e.Control)
					}
				case transport.EventClosed:
					fmt.Println("relay closed", e.Reason, e.Cause)
				case transport.EventConfirmed:
					fmt.Println("confirmed at", now.Sub(transporttest.Start))
				}
			}
			if off, ok := rc.PeerClock(now); ok {
				po.SetClock(off)
			}
			for {
				r, ok := po.Poll(now)
				if !ok {
					break
				}
				if r.Kind == transport.ReleaseMessage {
					released++
					if r.Media {
						delays = append(delays, now.Sub(r.Captured))
					}
				} else {
					fmt.Println("release", r.Kind, now.Sub(transporttest.Start))
				}
			}
		})
		cfg := netem.Config{Delay: 25 * time.Millisecond, Loss: loss, Seed: 5}
		cfg2 := cfg
		cfg2.Seed = 6
		n.Join(transporttest.ClientAddr, transporttest.RelayAddr, cfg, cfg2)
		n.Kick(transporttest.ClientAddr)
		n.Run(time.Second)
		pk := rtmpchunk.NewPacketizer(42)
		c.SendControl(n.Now(), &wire.Control{Type: wire.ControlStart, Instance: pk.Instance()})
		n.Kick(transporttest.ClientAddr)
		const frames = 900
		for i := range frames {
			size := 6000
			if i%60 == 0 {
				size = 40000
			}
			body := make([]byte, size)
			body[0] = 0x27
			if i%60 == 0 {
				body[0] = 0x17
			}
			body[1] = 1
			for _, m := range []rtmpchunk.Message{{Type: 9, Timestamp: uint32(i * 33), Payload: body}, {Type: 8, Timestamp: uint32(i * 33), Payload: []byte("\xaf\x01abcdefg")}} {
				_, err := pk.Push(m, transport.Ticks(c.Clock(n.Now())), func() []byte { return make([]byte, 0, 1200) }, func(p []byte, h rtmpchunk.Header) {
					if err := c.Send(n.Now(), &transport.Packet{Header: h, Data: p}); err != nil {
						t.Fatal(err)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			n.Kick(transporttest.ClientAddr)
			n.Run(33 * time.Millisecond)
		}
		c.SendControl(n.Now(), &wire.Control{Type: wire.ControlEnd, Order: pk.Next()})
		n.Kick(transporttest.ClientAddr)
		n.Run(2 * time.Second)
		st := c.Stats()
		fmt.Printf("loss %.2f released %d/%d  %+v\n", loss, released, 2*frames, st)
		fmt.Printf("relay %+v\n", relay.Conn().Stats())
		fmt.Println(po.Stats(), c.Drained())
		if len(delays) > 0 {
			var max time.Duration
			for _, d := range delays {
				if d > max {
					max = d
				}
			}
			fmt.Println("max delay", max)
		}
	}
}
