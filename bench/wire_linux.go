package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"strings"

	"golang.zx2c4.com/wireguard/tun"
)

// openWire makes a namespace and two interfaces, one out here and one in there, and gives their ends.
func openWire(ctx context.Context, cfg *WireConfig, near, far netip.Addr) (ends [2]io.ReadWriteCloser, remove func() error, err error) {
	if os.Geteuid() != 0 {
		return ends, nil, errors.New("making a network takes root: run it with sudo")
	}
	ip := func(args ...string) error {
		out, err := exec.CommandContext(ctx, "ip", args...).CombinedOutput() //nolint:gosec // our own arguments
		switch {
		case errors.Is(err, exec.ErrNotFound):
			return errors.New("there is no ip command here: install iproute2")
		case err != nil:
			return fmt.Errorf("ip %s: %s", strings.Join(args, " "), strings.TrimSpace(string(out)))
		}
		return nil
	}
	if err := ip("netns", "add", cfg.Name); err != nil {
		return ends, nil, fmt.Errorf("%w (a namespace that was left behind goes with: ip netns del %s)", err, cfg.Name)
	}
	remove = func() error {
		ctx = context.WithoutCancel(ctx) // also when the wire was told to end
		return ip("netns", "del", cfg.Name)
	}
	defer func() {
		if err == nil {
			return
		}
		for _, f := range ends {
			if f != nil {
				_ = f.Close()
			}
		}
		err = errors.Join(err, remove())
	}()
	names := [2]string{cfg.Name + "0", cfg.Name + "1"}
	for i, name := range names {
		end, err := openTUN(name)
		if err != nil {
			return ends, nil, fmt.Errorf("interface %s: %w", name, err)
		}
		ends[i] = end
	}
	within := func(args ...string) []string { return append([]string{"-n", cfg.Name}, args...) }
	mask := fmt.Sprintf("/%d", cfg.Subnet.Bits())
	for _, args := range [][]string{
		{"link", "set", names[1], "netns", cfg.Name},
		{"addr", "add", near.String() + mask, "dev", names[0]},
		{"link", "set", names[0], "up"},
		within("addr", "add", far.String()+mask, "dev", names[1]),
		within("link", "set", names[1], "up"),
		within("link", "set", "lo", "up"),
		within("route", "add", "default", "via", near.String()),
	} {
		if err := ip(args...); err != nil {
			return ends, nil, err
		}
	}
	return ends, remove, nil
}

// tunEnd is an interface as a stream of packets. The library cuts up what the kernel hands over as one large segment.
type tunEnd struct {
	dev   tun.Device
	bufs  [][]byte
	sizes []int
	n, at int // packets in bufs, and which is next
	out   []byte
}

// tunSpace is room in front of a packet, for the library.
const tunSpace = 16

func openTUN(name string) (*tunEnd, error) {
	dev, err := tun.CreateTUN(name, wireMTU)
	if err != nil {
		return nil, err
	}
	go func() {
		for range dev.Events() { // until it is closed
		}
	}()
	e := &tunEnd{dev: dev, sizes: make([]int, dev.BatchSize()), out: make([]byte, tunSpace+maxDatagram)}
	for range e.sizes {
		e.bufs = append(e.bufs, make([]byte, maxDatagram))
	}
	return e, nil
}

// Read gives one packet.
func (e *tunEnd) Read(b []byte) (n int, err error) {
	for e.at == e.n {
		e.at = 0
		if e.n, err = e.dev.Read(e.bufs, e.sizes, tunSpace); err != nil && !errors.Is(err, tun.ErrTooManySegments) {
			e.n = 0
			return 0, err
		}
	}
	n = copy(b, e.bufs[e.at][tunSpace:tunSpace+e.sizes[e.at]])
	e.at++
	return n, nil
}

// Write takes one packet.
func (e *tunEnd) Write(b []byte) (int, error) {
	n := copy(e.out[tunSpace:], b)
	return e.dev.Write([][]byte{e.out[:tunSpace+n]}, tunSpace)
}

// Close removes the interface.
func (e *tunEnd) Close() error { return e.dev.Close() }
