package udp

import (
	"net/netip"
	"syscall"
	"testing"
)

// Where the system refuses a burst but takes its datagrams, bursts are left alone from then on; where it takes neither, the way there is to blame.
func TestFallback(t *testing.T) {
	from, to := batched(t, "127.0.0.1:0"), batched(t, "127.0.0.1:0")
	o := NewOutbox()
	o.Add(copy(o.Room(), "onetwo"), 3, to.LocalAddr(), netip.Addr{})
	if n := from.refused(o, &o.sends[0], syscall.EIO); n != 0 || from.Unsegmented == nil {
		t.Errorf("%d refused, %v", n, from.Unsegmented)
	}
	if got, _ := collect(t, to, 2); string(got[0]) != "one" || string(got[1]) != "two" {
		t.Errorf("got %q", got)
	}
	from.Unsegmented = nil
	o.sends[0].remote = netip.MustParseAddrPort("[2001:db8::1]:9") // not on this socket
	if n := from.refused(o, &o.sends[0], syscall.EINVAL); n != 2 || from.Unsegmented != nil {
		t.Errorf("%d refused, %v", n, from.Unsegmented)
	}
}

// What comes faster than it is read is counted.
func TestKernelDrops(t *testing.T) {
	from, to := batched(t, "127.0.0.1:0"), batched(t, "127.0.0.1:0")
	if err := to.udp.SetReadBuffer(1 << 14); err != nil {
		t.Fatal(err)
	}
	o, in := NewOutbox(), NewInbox()
	for range 100 {
		o.Add(MaxDatagram, MaxDatagram, to.LocalAddr(), netip.Addr{})
		from.Send(o)
	}
	for range 2 { // the counter comes with a datagram that was queued after the drops
		for n := 1; n > 0; {
			var err error
			if n, err = to.Receive(in); err != nil {
				t.Fatal(err)
			}
		}
		o.Add(100, 100, to.LocalAddr(), netip.Addr{})
		from.Send(o)
	}
	if to.Drops < 50 {
		t.Errorf("%d drops were counted", to.Drops)
	}
}
