package udp

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// socketBuffer is asked for in each direction: 4 MiB hold 100 ms of 300 Mbit/s.
const socketBuffer = 4 << 20

// Conn is a UDP socket. It is used in one of two ways: datagram by datagram (Read, Write; one goroutine may read while others write), or, after
// Batch, by one goroutine that gathers: Wait or Rest, Receive, Send. The two are not mixed for reading.
type Conn struct {
	udp   *net.UDPConn
	oob   [oobSize]byte // for Read
	out   [oobSize]byte // for Write
	batch batchSystem
	// Buffers that the system granted are smaller than asked for; for a hint to the operator.
	SmallBuffers bool
	// Drops counts the datagrams that the kernel threw away because nobody read them in time; known after Batch, as of the last Receive.
	Drops uint64
	// Unsegmented says why bursts are sent datagram by datagram; nil while the system cuts them up itself. Known after Batch and Send.
	Unsegmented error
	// Unsteered says why a group's sockets get datagrams by address instead of by their bytes; nil where they do, or where there is no group.
	Unsteered error
	group     int // sockets in its group, itself among them
}

// Listen opens a socket on HOST:PORT. An empty host or :: takes IPv4 and IPv6; port 0 takes a free port.
func Listen(address string) (*Conn, error) { return listen(address, net.ListenConfig{}) }

func listen(address string, config net.ListenConfig) (*Conn, error) {
	addr, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	p, err := config.ListenPacket(context.Background(), "udp", addr.String())
	if err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	u, ok := p.(*net.UDPConn)
	if !ok {
		panic("udp: the network named udp has sockets of another kind")
	}
	c := &Conn{udp: u, group: 1}
	if err := c.setup(); err != nil {
		_ = u.Close()
		return nil, fmt.Errorf("udp: %w", err)
	}
	return c, nil
}

// Steering says which socket of a group gets a datagram: where the first byte under Mask is Value, the one whose number is in the byte at Index; else, and
// where there is no such socket, one that always gets what comes from the same address.
type Steering struct {
	Mask, Value byte
	Index       int
}

// ListenGroup opens n sockets on one address, as Listen does. Where the system has no such groups there is one.
func ListenGroup(address string, n int, by Steering) ([]*Conn, error) {
	if n = min(n, maxGroup); n <= 1 {
		c, err := Listen(address)
		return []*Conn{c}, err
	}
	// Sockets of a group let others of the same user join: that nobody else has the port is asked of one that would not.
	first, err := Listen(address)
	if err != nil {
		return nil, err
	}
	address = first.LocalAddr().String()
	if err := first.Close(); err != nil {
		return nil, fmt.Errorf("udp: %w", err)
	}
	var conns []*Conn
	for range n {
		c, err := listen(address, inGroup())
		if err != nil {
			for _, c := range conns {
				_ = c.Close()
			}
			return nil, err
		}
		c.group = n
		conns = append(conns, c)
	}
	conns[0].Unsteered = conns[0].steer(by)
	return conns, nil
}

// Batch makes the socket ready for Wait, Rest, Wake, Receive and Send.
func (c *Conn) Batch() error {
	if err := c.setupBatch(); err != nil {
		return fmt.Errorf("udp: %w", err)
	}
	return nil
}

// LocalAddr is the address that the socket is bound to.
func (c *Conn) LocalAddr() netip.AddrPort {
	a, ok := c.udp.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return unmap(a.AddrPort())
}

// Read reads one datagram into b. remote is where it came from, local the address that it was sent to (zero if the system
// does not tell). It fails with os.ErrDeadlineExceeded after the deadline of SetReadDeadline.
func (c *Conn) Read(b []byte) (n int, remote netip.AddrPort, local netip.Addr, err error) {
	n, oobn, _, remote, err := c.udp.ReadMsgUDPAddrPort(b, c.oob[:])
	if err != nil {
		return 0, remote, local, err
	}
	return n, unmap(remote), destination(c.oob[:oobn]), nil
}

// Write sends one datagram to remote, from local if that is set. Only one goroutine may write at a time.
func (c *Conn) Write(b []byte, remote netip.AddrPort, local netip.Addr) error {
	_, _, err := c.udp.WriteMsgUDPAddrPort(b, source(c.out[:], local), remote)
	return err
}

// SetReadDeadline ends a Read at t; it may be called from any goroutine.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.udp.SetReadDeadline(t) }

// Close closes the socket. A socket in batches is closed by the goroutine that uses it, or after it.
func (c *Conn) Close() error {
	c.closeBatch()
	return c.udp.Close()
}

func unmap(a netip.AddrPort) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}
