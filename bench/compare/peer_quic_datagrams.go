package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/quic-go/quic-go"
)

// quicDatagrams sends a frame's fragments as QUIC datagrams (RFC 9221), which nobody sends again.
type quicDatagrams struct{}

const (
	quicDatagram = 1150 // bytes: with QUIC's own they fit into quicPacket

	// quicQueue is how many fragments wait where the congestion control lets none go: more than it could send within any deadline.
	quicQueue = 1024

	// quicBacklog is how much may lie in quic-go's own queue when a video frame begins: two frames and a little. The queue alone holds a
	// quarter of a second of what the congestion control leaves at 5 % loss, so without this no frame would be in time.
	quicBacklog = 15_000 // bytes

	quicOverhead = 30    // bytes that a packet adds to a datagram
	quicLeak     = 2_000 // bytes a second: more than the error of quicOverhead, so that the estimate does not drift
)

func (quicDatagrams) name() string { return "quic-datagram" }

func (quicDatagrams) settings(*config) string {
	return fmt.Sprintf("%s; plain datagrams, no repair; a video frame that would begin behind %d bytes is left out whole, at the sender and at the relay",
		quicCommon, quicBacklog)
}

// quicGate leaves out whole frames where the congestion control lets less go than comes, so that the others are in time. One goroutine
// owns it.
type quicGate struct {
	conn   *quic.Conn
	queue  chan []byte
	handed float64 // bytes given to quic-go and not yet sent, by estimate
	sent   uint64  // what quic-go said last
	at     time.Time

	index uint32 // the video frame that leave is about
	leave bool
}

func newQUICGate(conn *quic.Conn) *quicGate {
	g := &quicGate{conn: conn, queue: make(chan []byte, quicQueue), at: time.Now(), sent: conn.ConnectionStats().BytesSent}
	go func() {
		for {
			select {
			case <-conn.Context().Done():
				return
			case b := <-g.queue:
				if conn.SendDatagram(b) != nil { // waits while its queue is full
					return
				}
			}
		}
	}()
	return g
}

// backlog estimates what has not been sent yet.
func (g *quicGate) backlog() float64 {
	now, sent := time.Now(), g.conn.ConnectionStats().BytesSent
	g.handed = max(0, g.handed-float64(sent-g.sent)-quicLeak*now.Sub(g.at).Seconds())
	g.at, g.sent = now, sent
	return g.handed
}

// put sends a fragment, unless its frame is left out.
func (g *quicGate) put(b []byte) {
	if len(b) < fragmentHeader {
		return
	}
	if index := binary.BigEndian.Uint32(b[1:]); kind(b[0]) == video && index != g.index {
		g.index, g.leave = index, g.backlog() > quicBacklog
	}
	if g.leave && kind(b[0]) == video {
		return
	}
	select {
	case g.queue <- b:
		g.handed += float64(len(b) + quicOverhead)
	default:
	}
}

func (quicDatagrams) open(ctx context.Context, b *bed) (func(frame) error, error) {
	out, in, err := quicHop(ctx, b, 1)
	if err != nil {
		return nil, err
	}
	receiver, forward, err := quicHop(ctx, b, 2)
	if err != nil {
		return nil, err
	}
	first, second := newQUICGate(out), newQUICGate(forward)
	go quicReceive(in, second.put)
	go func() {
		var whole defragmenter
		quicReceive(receiver, func(d []byte) {
			if body := whole.add(d); body != nil {
				b.got(body, time.Now())
			}
		})
	}()
	return func(f frame) error {
		for _, part := range split(&f, quicDatagram) {
			first.put(part)
		}
		return nil
	}, nil
}

// quicReceive hands on datagrams until the connection ends.
func quicReceive(conn *quic.Conn, got func([]byte)) {
	for {
		d, err := conn.ReceiveDatagram(context.Background())
		if err != nil {
			return
		}
		got(d)
	}
}
