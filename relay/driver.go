package relay

import (
	"errors"
	"fmt"
	"net"
	"time"

	"duet/relay/udp"
	"duet/transport"
)

// driver runs a loop on its socket, in one goroutine.
type driver struct {
	cfg        *Config
	loop       *Loop
	sock       *udp.Conn
	in         *udp.Inbox
	out        *udp.Outbox
	woken      time.Time // when the loop last slept until
	busy       bool      // it is woken more often than every restTime
	worked     bool      // there was something to do since it last rested
	logged     bool      // that bursts are sent datagram by datagram
	sendErrors uint64    // the network's answers to earlier sends among them: clients that are gone
	wakeups    uint64
	delay, lag Histogram
}

const (
	// shutdownGrace is how long the relay waits for its clients' answers to CLOSE.
	shutdownGrace = 500 * time.Millisecond
	// idleWait is how long the loop sleeps when no session has anything to do.
	idleWait = time.Second
	// restTime is from one wake-up to the next at the least: a wake-up costs as much as a dozen datagrams, and under load what gathers
	// meanwhile is handled together. Whoever is first after a pause is not kept waiting.
	restTime = time.Millisecond
)

// serve runs until the loop has shut down, or the socket fails.
func (d *driver) serve() error {
	err := d.run()
	d.loop.mail.stop()
	d.loop.release()
	if cerr := d.sock.Close(); err == nil {
		err = cerr
	}
	return err
}

// run drives the loop: mail, alarms, what has come, what is to be sent; then it sleeps, but never wakes more often than every restTime.
func (d *driver) run() error {
	for {
		now := time.Now()
		if due := d.loop.Deadline(); !due.IsZero() && now.After(due) {
			d.lag.Add(now.Sub(due))
			d.worked = true
		}
		d.loop.RunMail(now)
		d.loop.HandleTimeout(now)
		came, err := d.receive(now)
		if err != nil {
			return err
		}
		d.flush(now)
		if d.loop.stopped(now) {
			return nil
		}
		if came {
			d.measure()
			d.worked = true
			continue // there may be more
		}
		if err := d.sleep(now); err != nil {
			return fmt.Errorf("relay: socket: %w", err)
		}
	}
}

// sleep waits for something to do: mail, a datagram, the next alarm. While it is woken more often than every restTime it lets what comes
// gather for that long, until nothing has.
func (d *driver) sleep(now time.Time) (err error) {
	if d.loop.mail.waiting() {
		return nil
	}
	if rest := d.woken.Add(restTime); d.busy && d.worked && now.Before(rest) {
		d.worked = false
		err = d.sock.Rest(rest)
		d.woke(time.Now())
		return err
	}
	d.busy = false
	wake := d.loop.Deadline()
	if wake.IsZero() || wake.Sub(now) > idleWait {
		wake = now.Add(idleWait)
	}
	if wake.After(now) {
		err = d.sock.Wait(wake)
	}
	before := d.woken
	d.woke(time.Now())
	d.busy = d.woken.Sub(before) < restTime
	return err
}

func (d *driver) woke(now time.Time) {
	d.woken = now
	d.wakeups++
}

// receive takes what the socket has to the loop, as much as one system call brings.
func (d *driver) receive(now time.Time) (came bool, err error) {
	n, err := d.sock.Receive(d.in)
	switch {
	case errors.Is(err, net.ErrClosed):
		return false, fmt.Errorf("relay: socket: %w", err)
	case err != nil:
		d.sendErrors++
		return true, nil //nolint:nilerr // the network's answer to an earlier send: a client that is gone
	}
	messages := d.in.Messages()
	for i := range messages {
		m := &messages[i]
		from, media := transport.Path{Local: m.Local, Addr: m.Remote}, d.loop.media
		for b, ok := m.Next(); ok; b, ok = m.Next() {
			if d.cfg.Tap != nil {
				d.cfg.Tap(true, b)
			}
			d.loop.HandleDatagram(now, from, b)
		}
		if d.loop.media == media {
			m.At = time.Time{} // no media: nobody waits for it
		}
	}
	return n > 0, nil
}

// flush sends what the loop has.
func (d *driver) flush(now time.Time) {
	for {
		room := d.out.Room()
		if room == nil {
			d.send()
			continue
		}
		t, ok := d.loop.Poll(now, room)
		if !ok {
			break
		}
		if d.cfg.Tap != nil {
			for off := 0; off < t.Size; off += t.Segment {
				d.cfg.Tap(false, room[off:min(off+t.Segment, t.Size)])
			}
		}
		d.out.Add(t.Size, t.Segment, t.Path.Addr, t.Path.Local)
	}
	if d.out.Len() > 0 {
		d.send()
	}
}

func (d *driver) send() {
	d.sendErrors += uint64(d.sock.Send(d.out))
	if d.sock.Unsegmented != nil && !d.logged {
		d.logged = true
		d.cfg.Logger.Warn("the system does not cut bursts up: datagrams are sent one by one, which costs more", "reason", d.sock.Unsegmented)
	}
}

// measure counts how long the media that came waited, from the kernel until all that was to be sent for it was handed over. What the pacer holds
// back is not in it.
func (d *driver) measure() {
	now := time.Now().Round(0) // the kernel's times are of the wall clock
	for i := range d.in.Messages() {
		if m := &d.in.Messages()[i]; !m.At.IsZero() {
			d.delay.Add(now.Sub(m.At))
		}
	}
}

// snapshot has the counters of loop and socket.
func (d *driver) snapshot() Stats {
	st := d.loop.Snapshot()
	st.SendErrors, st.KernelDrops, st.Wakeups = d.sendErrors, d.sock.Drops, d.wakeups
	st.Unsegmented = d.sock.Unsegmented != nil
	st.Delay, st.LoopLag = d.delay, d.lag
	return st
}
