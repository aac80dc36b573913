package udp

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// oobSize holds one packet-info control message of either family.
const oobSize = 64

// setup asks the kernel to tell each datagram's destination, and for large buffers.
func (c *Conn) setup() error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw.Control, func(fd int) error {
		// A socket takes the option of its own family; a dual-stack one takes both.
		err4 := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		err6 := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		if err4 != nil && err6 != nil {
			return err4
		}
		for _, option := range [...]int{unix.SO_RCVBUF, unix.SO_SNDBUF} {
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, socketBuffer); err != nil {
				return err
			}
			granted, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
			if err != nil {
				return err
			}
			c.SmallBuffers = c.SmallBuffers || granted < socketBuffer // the kernel counts double
		}
		return nil
	})
}

// control runs f on the socket's file descriptor.
func control(run func(func(fd uintptr)) error, f func(fd int) error) error {
	var inner error
	if err := run(func(fd uintptr) { inner = f(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// maxGroup is how many sockets a group has at most: as many as a byte can name.
const maxGroup = 256

// inGroup makes a socket one of a group, before it is bound.
func inGroup() net.ListenConfig {
	return net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return control(raw.Control, func(fd int) error { return unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1) })
	}}
}

// steer gives the group of c a program that chooses by a datagram's bytes, which begin with its payload.
func (c *Conn) steer(by Steering) error {
	const nobody = 1<<32 - 1 // the system chooses by address
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: 0},
		{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: uint32(by.Mask)},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(by.Value), Jf: 2},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: uint32(by.Index)},
		{Code: unix.BPF_RET | unix.BPF_A},
		{Code: unix.BPF_RET | unix.BPF_K, K: nobody},
	}
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	return control(raw.Control, func(fd int) error {
		return unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	})
}

// batchSystem is what batches need of the system. Its goroutine waits in ppoll itself: the runtime's poller would add its own wake-up to the
// kernel's, and rounds waits up to whole milliseconds.
type batchSystem struct {
	fd     int // of the socket, which stays open as long as Conn does; 0: not set up
	inet6  bool
	fds    [2]unix.PollFd // socket, wake
	ts     unix.Timespec
	drops  uint32     // as the kernel last counted
	mu     sync.Mutex // guards what follows
	wake   int        // an eventfd
	closed bool
}

// setupBatch asks for joined datagrams, times and the drop counter; each is an extra that an older kernel may not have.
func (c *Conn) setupBatch() error {
	raw, err := c.udp.SyscallConn()
	if err != nil {
		return err
	}
	s := &c.batch
	err = control(raw.Control, func(fd int) error {
		domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
		if err != nil {
			return err
		}
		s.fd, s.inet6 = fd, domain == unix.AF_INET6
		_ = unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_GRO, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		if _, err := unix.GetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT); err != nil {
			c.Unsegmented = err
		}
		return nil
	})
	if err != nil {
		return err
	}
	if s.wake, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return err
	}
	s.fds = [2]unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}, {Fd: int32(s.wake), Events: unix.POLLIN}}
	return nil
}

func (c *Conn) closeBatch() {
	s := &c.batch
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd != 0 && !s.closed {
		s.closed = true
		_ = unix.Close(s.wake)
	}
}

// Wake ends a Wait or Rest, or the next one; it may be called from any goroutine.
func (c *Conn) Wake() {
	s := &c.batch
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fd != 0 && !s.closed {
		one := [8]byte{1}
		_, _ = unix.Write(s.wake, one[:])
	}
}

// Wait returns when there is something to receive, after Wake, or at the latest at the given time.
func (c *Conn) Wait(until time.Time) error { return c.batch.poll(c.batch.fds[:], until) }

// Rest is Wait without regard for datagrams: they gather meanwhile. It is for a millisecond or so. Where the group leaves a processor to the rest of the
// program, this one is kept: giving it back and asking for it again costs more than the wake-up.
func (c *Conn) Rest(until time.Time) error {
	s := &c.batch
	if runtime.GOMAXPROCS(0) <= c.group || time.Until(until) > keepTime {
		return s.poll(s.fds[1:], until)
	}
	s.ts = unix.NsecToTimespec(int64(max(0, time.Until(until))))
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&s.fds[1])), 1, uintptr(unsafe.Pointer(&s.ts)), 0, 0, 0) // #nosec G103 -- one entry, and a time
	if errno != 0 && errno != unix.EINTR {
		return errno
	}
	s.heard(int(n))
	return nil
}

// keepTime is how long a processor is kept asleep at most: a collection that has to stop the program interrupts it, but that costs.
const keepTime = 2 * time.Millisecond

func (s *batchSystem) poll(fds []unix.PollFd, until time.Time) error {
	s.ts = unix.NsecToTimespec(int64(max(0, time.Until(until))))
	n, err := unix.Ppoll(fds, &s.ts, nil)
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	s.heard(n)
	return nil
}

// heard empties the eventfd if that is what ended the wait.
func (s *batchSystem) heard(n int) {
	if n > 0 && s.fds[1].Revents != 0 {
		var b [8]byte
		_, _ = unix.Read(s.wake, b[:])
		s.fds[1].Revents = 0
	}
}

// mmsghdr is the kernel's struct of that name.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// inboxOOB holds every control message that was asked for: two of packet info (a dual-stack socket may get both), the segment size, the time
// and the drop counter.
const inboxOOB = 192

// inboxSystem is what recvmmsg writes to.
type inboxSystem struct {
	hdrs  [inboxReads]mmsghdr
	iovs  [inboxReads]unix.Iovec
	names [inboxReads]unix.RawSockaddrInet6 // the larger of the two
	oob   [inboxReads][inboxOOB]byte
	buf   []byte
}

func (s *inboxSystem) init() {
	s.buf = make([]byte, inboxReads*inboxBuffer)
	for i := range s.hdrs {
		s.iovs[i].Base = &s.buf[i*inboxBuffer]
		s.iovs[i].SetLen(inboxBuffer)
		h := &s.hdrs[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&s.names[i])) // #nosec G103 -- the kernel fills it, its length is given beside it
		h.Iov = &s.iovs[i]
		h.SetIovlen(1)
		h.Control = &s.oob[i][0]
	}
}

// Receive takes what has come, without waiting, and returns how many messages that is. An error is the network's answer to an earlier send, or
// net.ErrClosed.
func (c *Conn) Receive(in *Inbox) (int, error) {
	s := &in.system
	in.n = 0
	for i := range s.hdrs {
		s.hdrs[i].hdr.Namelen = unix.SizeofSockaddrInet6
		s.hdrs[i].hdr.SetControllen(inboxOOB)
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(c.batch.fd), uintptr(unsafe.Pointer(&s.hdrs[0])), inboxReads, unix.MSG_DONTWAIT, 0, 0) // #nosec G103 -- as many headers as it is told
	switch errno {
	case 0:
	case unix.EAGAIN, unix.EINTR:
		return 0, nil
	case unix.EBADF, unix.ENOTSOCK:
		return 0, net.ErrClosed
	default:
		return 0, errno
	}
	for i := range int(n) {
		h := &s.hdrs[i]
		m := &in.messages[i]
		*m = Message{Data: s.buf[i*inboxBuffer:][:h.n], Segment: int(h.n), Remote: s.remote(i)}
		c.explain(m, s.oob[i][:h.hdr.Controllen])
	}
	in.n = int(n)
	return in.n, nil
}

// remote is where message i came from.
func (s *inboxSystem) remote(i int) netip.AddrPort {
	sa := &s.names[i]
	port := (*[2]byte)(unsafe.Pointer(&sa.Port)) // #nosec G103 -- both families have it at the same place, in network order
	if sa.Family == unix.AF_INET {
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa)) // #nosec G103 -- the smaller of the two
		return netip.AddrPortFrom(netip.AddrFrom4(in4.Addr), binary.BigEndian.Uint16(port[:]))
	}
	a := netip.AddrFrom16(sa.Addr).Unmap()
	if sa.Scope_id != 0 && a.Is6() { // link-local: names its interface
		a = a.WithZone(strconv.Itoa(int(sa.Scope_id)))
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port[:]))
}

// explain reads the control messages that came with a message.
func (c *Conn) explain(m *Message, oob []byte) {
	for h, data := range controls(oob) {
		switch {
		case h.Level == unix.IPPROTO_UDP && h.Type == unix.UDP_GRO && len(data) >= 4:
			m.Segment = int(int32(binary.NativeEndian.Uint32(data)))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS && len(data) >= 16:
			m.At = time.Unix(int64(binary.NativeEndian.Uint64(data)), int64(binary.NativeEndian.Uint64(data[8:])))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL && len(data) >= 4:
			total := binary.NativeEndian.Uint32(data)
			c.Drops += uint64(total - c.batch.drops)
			c.batch.drops = total
		default:
			if a := packetInfo(h, data); a.IsValid() {
				m.Local = a
			}
		}
	}
}

// controls yields the control messages in oob, as the kernel wrote them.
func controls(oob []byte) func(yield func(unix.Cmsghdr, []byte) bool) {
	return func(yield func(unix.Cmsghdr, []byte) bool) {
		for len(oob) >= unix.CmsgLen(0) {
			h := *(*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) // #nosec G103 -- the kernel wrote it, the length is checked
			size := int(h.Len)
			if size < unix.CmsgLen(0) || size > len(oob) || !yield(h, oob[unix.CmsgLen(0):size]) {
				return
			}
			oob = oob[min(len(oob), unix.CmsgSpace(size-unix.CmsgLen(0))):]
		}
	}
}

// packetInfo is the destination that a control message tells, zero if it tells something else.
func packetInfo(h unix.Cmsghdr, data []byte) netip.Addr {
	switch {
	case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
		return netip.AddrFrom4([4]byte(data[8:12])) // in_pktinfo: ifindex, spec_dst, addr
	case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
		return netip.AddrFrom16([16]byte(data[:16])).Unmap()
	}
	return netip.Addr{}
}

// destination finds the packet-info message in what came with a datagram.
func destination(oob []byte) netip.Addr {
	for h, data := range controls(oob) {
		if a := packetInfo(h, data); a.IsValid() {
			return a
		}
	}
	return netip.Addr{}
}

// source writes the packet-info message that makes a datagram leave from local into buf; nil if local is not set.
func source(buf []byte, local netip.Addr) []byte {
	if !local.IsValid() || local.IsMulticast() {
		return nil
	}
	size, level, kind := unix.SizeofInet4Pktinfo, unix.IPPROTO_IP, unix.IP_PKTINFO
	if local.Is6() {
		size, level, kind = unix.SizeofInet6Pktinfo, unix.IPPROTO_IPV6, unix.IPV6_PKTINFO
	}
	oob := buf[:unix.CmsgSpace(size)]
	clear(oob)
	h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) // #nosec G103 -- buf is oobSize long
	h.Level, h.Type = int32(level), int32(kind)
	h.SetLen(unix.CmsgLen(size))
	data := oob[unix.CmsgLen(0):]
	if local.Is6() {
		ip := local.As16()
		copy(data[:16], ip[:])
	} else {
		ip := local.As4()
		copy(data[4:8], ip[:]) // spec_dst
	}
	return oob
}

// outboxOOB holds packet info and the segment size.
const outboxOOB = oobSize + 24

// outboxSystem is what sendmmsg reads.
type outboxSystem struct {
	hdrs  [outboxSends]mmsghdr
	iovs  [outboxSends]unix.Iovec
	names [outboxSends]unix.RawSockaddrInet6
	oob   [outboxSends][outboxOOB]byte
}

// sendPatience is how long a full send buffer is waited for; then what is left of the box is lost, as on a full network.
const sendPatience = 5 * time.Millisecond

// Send sends all that is in the box and empties it. It returns how many datagrams the system refused.
func (c *Conn) Send(o *Outbox) (refused int) {
	defer o.clear()
	if c.Unsegmented != nil { // some are to be cut up here, so all go that way, in their order
		for i := range o.n {
			n, _ := c.one(o, &o.sends[i])
			refused += n
		}
		return refused
	}
	s := &o.system
	for i := range o.n {
		s.prepare(i, o, c.batch.inet6)
	}
	waited := false
	for i := 0; i < o.n; {
		n, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(c.batch.fd), uintptr(unsafe.Pointer(&s.hdrs[i])), uintptr(o.n-i), unix.MSG_DONTWAIT, 0, 0) // #nosec G103 -- as many headers as are left
		switch {
		case errno == 0:
			i += int(n)
		case errno == unix.EINTR:
		case errno == unix.EAGAIN && !waited:
			waited = true
			c.batch.ts = unix.NsecToTimespec(int64(sendPatience))
			_, _ = unix.Ppoll([]unix.PollFd{{Fd: int32(c.batch.fd), Events: unix.POLLOUT}}, &c.batch.ts, nil)
		default:
			refused += c.refused(o, &o.sends[i], errno)
			i++
		}
	}
	return refused
}

// refused deals with an entry that the system would not take. Where it takes the same bytes one by one, it is segmentation that does not work
// here (a device without checksums, say), and is left alone from now on.
func (c *Conn) refused(o *Outbox, s *send, errno unix.Errno) (refused int) {
	datagrams := (s.size + s.segment - 1) / s.segment
	switch {
	case datagrams == 1 || errno == unix.EAGAIN || errno == unix.ENOBUFS:
		return datagrams
	default:
		n, err := c.one(o, s)
		if err == nil && (errno == unix.EIO || errno == unix.EINVAL || errno == unix.EOPNOTSUPP || errno == unix.ENOPROTOOPT || errno == unix.EMSGSIZE) {
			c.Unsegmented = errno
		}
		return n
	}
}

// prepare writes the header of entry i.
func (s *outboxSystem) prepare(i int, o *Outbox, inet6 bool) {
	e := &o.sends[i]
	h := &s.hdrs[i].hdr
	s.iovs[i].Base = &o.buf[e.off]
	s.iovs[i].SetLen(e.size)
	h.Iov = &s.iovs[i]
	h.SetIovlen(1)
	h.Name = (*byte)(unsafe.Pointer(&s.names[i])) // #nosec G103 -- its length is given below
	h.Namelen = address(&s.names[i], e.remote, inet6)
	oob := s.oob[i][:len(source(s.oob[i][:oobSize], e.local))]
	if e.segment < e.size {
		oob = s.oob[i][:len(oob)+unix.CmsgSpace(2)]
		c := (*unix.Cmsghdr)(unsafe.Pointer(&oob[len(oob)-unix.CmsgSpace(2)])) // #nosec G103 -- outboxOOB has room for both
		c.Level, c.Type = unix.IPPROTO_UDP, unix.UDP_SEGMENT
		c.SetLen(unix.CmsgLen(2))
		binary.NativeEndian.PutUint16(oob[len(oob)-unix.CmsgSpace(2)+unix.CmsgLen(0):], uint16(e.segment))
	}
	h.Control, h.Flags = nil, 0
	if len(oob) > 0 {
		h.Control = &oob[0]
	}
	h.SetControllen(len(oob))
}

// address writes a destination for a socket of the family given and returns its length.
func address(sa *unix.RawSockaddrInet6, to netip.AddrPort, inet6 bool) uint32 {
	a := to.Addr()
	if !inet6 && a.Unmap().Is4() {
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa)) // #nosec G103 -- the smaller of the two
		*in4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: a.Unmap().As4()}
		binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&in4.Port))[:], to.Port()) // #nosec G103 -- a port is in network order
		return unix.SizeofSockaddrInet4
	}
	*sa = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.As16()}             // of an IPv4 address: the mapped one
	binary.BigEndian.PutUint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:], to.Port()) // #nosec G103 -- a port is in network order
	if zone := a.Zone(); zone != "" {
		if id, err := strconv.ParseUint(zone, 10, 32); err == nil {
			sa.Scope_id = uint32(id)
		}
	}
	return unix.SizeofSockaddrInet6
}
