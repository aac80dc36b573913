//go:build !linux

package udp

import "net/netip"

const oobSize = 0

func (c *Conn) setup() error {
	if err := c.udp.SetReadBuffer(socketBuffer); err != nil {
		return err
	}
	return c.udp.SetWriteBuffer(socketBuffer)
}

func destination([]byte) netip.Addr { return netip.Addr{} }

func source([]byte, netip.Addr) []byte { return nil }
