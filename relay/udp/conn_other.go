//go:build !linux

package udp

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"
)

const oobSize = 0

var errNotHere = errors.New("the system does not cut bursts up")

func (c *Conn) setup() error {
	if err := c.udp.SetReadBuffer(socketBuffer); err != nil {
		return err
	}
	return c.udp.SetWriteBuffer(socketBuffer)
}

func destination([]byte) netip.Addr { return netip.Addr{} }

func source([]byte, netip.Addr) []byte { return nil }

// maxGroup is 1: other systems share a port between sockets in ways of their own.
const maxGroup = 1

func inGroup() net.ListenConfig { return net.ListenConfig{} }

func (c *Conn) steer(Steering) error { return nil }

// batchSystem stands for Linux's: one datagram is a batch, and Wait reads it ahead.
type batchSystem struct {
	wake   chan struct{} // of one place
	ahead  []byte        // read by Wait
	n      int           // of ahead; 0: nothing
	remote netip.AddrPort
	err    error
}

type inboxSystem struct{}

func (*inboxSystem) init() {}

type outboxSystem struct{}

func (c *Conn) setupBatch() error {
	c.Unsegmented = errNotHere
	c.batch.wake, c.batch.ahead = make(chan struct{}, 1), make([]byte, inboxBuffer)
	return nil
}

func (c *Conn) closeBatch() {}

// Wake ends a Wait or Rest, or the next one; it may be called from any goroutine.
func (c *Conn) Wake() {
	select {
	case c.batch.wake <- struct{}{}:
	default:
	}
	_ = c.udp.SetReadDeadline(time.Unix(1, 0))
}

// Wait returns when there is something to receive, after Wake, or at the latest at the given time.
func (c *Conn) Wait(until time.Time) error {
	if c.batch.n > 0 {
		return nil
	}
	if err := c.udp.SetReadDeadline(until); err != nil {
		return err
	}
	select {
	case <-c.batch.wake: // called before the deadline was set: Read would sleep over it
		return nil
	default:
	}
	c.readAhead()
	return nil
}

// Rest is Wait without regard for datagrams: they gather meanwhile.
func (c *Conn) Rest(until time.Time) error {
	t := time.NewTimer(time.Until(until))
	defer t.Stop()
	select {
	case <-c.batch.wake:
	case <-t.C:
	}
	return nil
}

func (c *Conn) readAhead() {
	n, remote, _, err := c.Read(c.batch.ahead)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
	case errors.Is(err, net.ErrClosed):
		c.batch.err = err
	case err == nil:
		c.batch.n, c.batch.remote = n, remote
	default:
		c.batch.err = err
	}
}

// Receive takes what has come, without waiting, and returns how many messages that is. An error is the network's answer to an earlier send, or
// net.ErrClosed.
func (c *Conn) Receive(in *Inbox) (int, error) {
	in.n = 0
	if err := c.batch.err; err != nil {
		c.batch.err = nil
		return 0, err
	}
	if c.batch.n == 0 {
		return 0, nil
	}
	in.messages[0] = Message{Data: c.batch.ahead[:c.batch.n], Segment: c.batch.n, Remote: c.batch.remote}
	c.batch.n, in.n = 0, 1
	return 1, nil
}

// Send sends all that is in the box and empties it. It returns how many datagrams the system refused.
func (c *Conn) Send(o *Outbox) (refused int) {
	defer o.clear()
	for i := range o.n {
		n, _ := c.one(o, &o.sends[i])
		refused += n
	}
	return refused
}
