package udp

import (
	"bytes"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"time"
)

func batched(t *testing.T, address string) *Conn {
	t.Helper()
	c, err := Listen(address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.Batch(); err != nil {
		t.Fatal(err)
	}
	return c
}

// at is the address of a socket as seen from this machine.
func at(c *Conn, host string) netip.AddrPort {
	return netip.AddrPortFrom(netip.MustParseAddr(host), c.LocalAddr().Port())
}

// collect waits for n datagrams.
func collect(t *testing.T, c *Conn, n int) (got [][]byte, last Message) {
	t.Helper()
	in := NewInbox()
	for end := time.Now().Add(5 * time.Second); len(got) < n && time.Now().Before(end); {
		if err := c.Wait(end); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Receive(in); err != nil {
			t.Fatal(err)
		}
		for _, m := range in.Messages() {
			last = m
			for b, ok := m.Next(); ok; b, ok = m.Next() {
				got = append(got, bytes.Clone(b))
			}
		}
	}
	if len(got) != n {
		t.Fatalf("%d datagrams came, want %d", len(got), n)
	}
	return got, last
}

// Bursts of equal datagrams with a shorter last one arrive as they were, in their order, whether the system cuts them up or this package does.
func TestBursts(t *testing.T) {
	for _, whole := range []bool{true, false} {
		for _, host := range []string{"127.0.0.1", "::1"} {
			from, to := batched(t, ":0"), batched(t, ":0")
			if !whole {
				from.Unsegmented = errors.ErrUnsupported
			}
			o := NewOutbox()
			var want [][]byte
			for burst := range 12 {
				room, size := o.Room(), 0
				for i := range 1 + burst%8 {
					n := 1000
					if i == burst%8 {
						n = 100 + burst
					}
					for j := range n {
						room[size+j] = byte(burst<<4 + i)
					}
					want = append(want, bytes.Clone(room[size:size+n]))
					size += n
				}
				o.Add(size, 1000, at(to, host), netip.Addr{})
			}
			if refused := from.Send(o); refused > 0 {
				t.Logf("no %s here", host)
				continue
			}
			got, m := collect(t, to, len(want))
			for i := range want {
				if !bytes.Equal(got[i], want[i]) {
					t.Fatalf("%s: datagram %d is not what was sent: %d bytes, want %d", host, i, len(got[i]), len(want[i]))
				}
			}
			if m.Remote != at(from, host) {
				t.Errorf("%s: came from %v, want %v", host, m.Remote, at(from, host))
			}
			if o.Len() != 0 {
				t.Error("the outbox is not empty after Send")
			}
		}
	}
}

// What a batch socket gets says where it was sent to and when the kernel had it, and an answer leaves from there.
func TestBatchAnswers(t *testing.T) {
	for _, listen := range []string{"0.0.0.0:0", "127.0.0.1:0", "[::]:0"} {
		server, client := batched(t, listen), batched(t, "127.0.0.1:0")
		o := NewOutbox()
		n := copy(o.Room(), "question")
		o.Add(n, n, at(server, "127.0.0.1"), netip.Addr{})
		began := time.Now()
		if client.Send(o) != 0 {
			t.Fatal("not sent")
		}
		_, m := collect(t, server, 1)
		if runtime.GOOS == "linux" && (m.Local != netip.MustParseAddr("127.0.0.1") || m.At.Sub(began).Abs() > 5*time.Second) {
			t.Errorf("%s: to %v at %v", listen, m.Local, m.At)
		}
		n = copy(o.Room(), "answer")
		o.Add(n, n, m.Remote, m.Local)
		if server.Send(o) != 0 {
			t.Fatal("no answer")
		}
		if got, m := collect(t, client, 1); string(got[0]) != "answer" || m.Remote != at(server, "127.0.0.1") {
			t.Errorf("%s: %q from %v", listen, got[0], m.Remote)
		}
	}
}

func TestOutboxIsBounded(t *testing.T) {
	o := NewOutbox()
	entries := 0
	for ; o.Room() != nil; entries++ {
		o.Add(MaxSend, MaxDatagram, netip.AddrPort{}, netip.Addr{})
	}
	if entries != outboxSends/2 {
		t.Errorf("%d full entries fit", entries)
	}
	o.clear()
	for entries = 0; o.Room() != nil; entries++ {
		o.Add(100, 100, netip.AddrPort{}, netip.Addr{})
	}
	if entries != outboxSends {
		t.Errorf("%d small entries fit", entries)
	}
}

// Wake ends a Wait, also one that has not begun; a Rest lets datagrams gather.
func TestWakeAndRest(t *testing.T) {
	c := batched(t, "127.0.0.1:0")
	c.Wake()
	began := time.Now()
	for _, sleep := range []func(time.Time) error{c.Wait, c.Rest} {
		c.Wake()
		if err := sleep(began.Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
	}
	go c.Wake()
	if err := c.Wait(began.Add(30 * time.Second)); err != nil || time.Since(began) > 10*time.Second {
		t.Fatalf("after %v: %v", time.Since(began), err)
	}
	o := NewOutbox()
	n := copy(o.Room(), "x")
	o.Add(n, n, c.LocalAddr(), netip.Addr{})
	c.Send(o)
	until := time.Now().Add(20 * time.Millisecond)
	if err := c.Rest(until); err != nil || time.Now().Before(until) {
		t.Errorf("a datagram ended Rest: %v", err)
	}
	collect(t, c, 1)
	_ = c.Close()
	c.Wake() // late: does nothing
}

func TestBatchesAllocateNothing(t *testing.T) {
	c := batched(t, "127.0.0.1:0")
	in, o, to := NewInbox(), NewOutbox(), c.LocalAddr()
	allocs := testing.AllocsPerRun(200, func() {
		for range 4 {
			room := o.Room()
			o.Add(len(room), MaxDatagram, to, to.Addr())
		}
		if c.Send(o) != 0 {
			t.Fatal("refused")
		}
		for got := 0; got < 4*MaxSend; {
			if err := c.Wait(time.Now().Add(5 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Receive(in); err != nil {
				t.Fatal(err)
			}
			for _, m := range in.Messages() {
				got += len(m.Data)
			}
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a batch, want none", allocs)
	}
}
