//go:build !linux

package bench

import (
	"context"
	"errors"
	"io"
	"net/netip"
)

func openWire(context.Context, *WireConfig, netip.Addr, netip.Addr) (ends [2]io.ReadWriteCloser, remove func() error, err error) {
	return ends, nil, errors.ErrUnsupported
}
