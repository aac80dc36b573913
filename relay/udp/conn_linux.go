package udp

import (
	"net/netip"
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

// destination finds the packet-info message in what came with a datagram.
func destination(oob []byte) netip.Addr {
	for len(oob) >= unix.CmsgLen(0) {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&oob[0])) // #nosec G103 -- the kernel wrote it, the length is checked
		size := int(h.Len)
		if size < unix.CmsgLen(0) || size > len(oob) {
			break
		}
		data := oob[unix.CmsgLen(0):size]
		switch {
		case h.Level == unix.IPPROTO_IP && h.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			return netip.AddrFrom4([4]byte(data[8:12])) // in_pktinfo: ifindex, spec_dst, addr
		case h.Level == unix.IPPROTO_IPV6 && h.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		oob = oob[min(len(oob), unix.CmsgSpace(size-unix.CmsgLen(0))):]
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
