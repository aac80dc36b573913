package main

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"duet/bench"
	"duet/bench/netem"
)

// peer is one transport: a sender, a relay or server, a receiver.
type peer interface {
	// name is what the command line and the table call it.
	name() string

	// settings tells in a line what it was set to.
	settings(c *config) string

	// open sets it up over the hops of b and returns when the relay has sender and receiver. What it starts it ends by b.onClose, also
	// after an error. The function that it returns sends one frame; one goroutine calls it, and what it waits there counts as delay.
	open(ctx context.Context, b *bed) (send func(f frame) error, err error)
}

// peers are all there are, in the order of the table.
func peers() []peer {
	return []peer{duetPeer{}, srtPeer{}, webrtcPeer{}, quicDatagrams{}, quicStreams{}, kcpPeer{}, webrtcPeer{stock: true}, kcpPeer{stock: true}}
}

// config is what all peers have in common.
type config struct {
	loss     float64
	rtt      time.Duration // of a hop
	deadline time.Duration // from capture to playout
	warmup   time.Duration // not measured
	duration time.Duration
	seed     uint64

	srtLatency [2]time.Duration // of the hops
	nack       time.Duration    // WebRTC's interval between requests for what is missing
	kcpFEC     [2]int           // data and parity shards
}

// bed is the network under one peer.
type bed struct {
	cfg     *config
	got     func(body []byte, at time.Time) // a frame that the receiver had whole at a time
	hops    [2]*bench.Proxy
	closers []func()
}

// links are those of hop 1 or 2. Every link has a seed of its own, the same for all peers.
func (b *bed) links(n int, loss float64) (up, down netem.Config) {
	seed := b.cfg.seed*16 + uint64(2*n) //nolint:gosec // n is 1 or 2
	return netem.Config{Delay: b.cfg.rtt / 2, Loss: loss, Seed: seed}, netem.Config{Delay: b.cfg.rtt / 2, Loss: loss, Seed: seed + 1}
}

// lose makes the hops lose what cfg says. They do not while a peer is being set up: what is compared is how frames get through, not
// handshakes, and some send theirs only once.
func (b *bed) lose() {
	for i, p := range b.hops {
		up, down := b.links(i+1, b.cfg.loss)
		p.SetUp(up)
		p.SetDown(down)
	}
}

// hop puts proxy 1 or 2 in front of a target and returns the address to use instead. Media goes up hop 1 and down hop 2.
func (b *bed) hop(n int, target net.Addr) (netip.AddrPort, error) {
	up, down := b.links(n, 0)
	p, err := bench.StartProxy(context.Background(), bench.ProxyConfig{Target: target.String(), Up: up, Down: down})
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("hop %d: %w", n, err)
	}
	b.hops[n-1] = p
	b.onClose(p.Close)
	return p.Addr(), nil
}

// onClose adds to what close does, before everything added earlier.
func (b *bed) onClose(f func()) { b.closers = append(b.closers, f) }

func (b *bed) close() {
	for i := len(b.closers) - 1; i >= 0; i-- {
		b.closers[i]()
	}
	b.closers = nil
}

// traffic is what went into the links so far: for each hop in the media's direction and back.
type traffic struct {
	media, back [2]netem.Stats
}

func (b *bed) traffic() (t traffic) {
	one, two := b.hops[0].Stats(), b.hops[1].Stats()
	t.media, t.back = [2]netem.Stats{one.Up, two.Down}, [2]netem.Stats{one.Down, two.Up}
	return t
}

// loopback is a free port of this machine.
const loopback = "127.0.0.1:0"

func listenUDP() (*net.UDPConn, error) {
	return net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
}
