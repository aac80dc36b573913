package bench

import (
	"math/rand/v2"
	"time"

	"duet/bench/tcp"
)

// tcpFlow is a TCP flow without end, or a sequence of short ones.
type tcpFlow struct {
	number   int // in the dumbbell
	sender   *tcp.Sender
	receiver *tcp.Receiver
	ack      []byte // to be sent

	// Of a sequence.
	d          *dumbbell
	rng        *rand.Rand
	connection uint32
	began      time.Time
	took       []time.Duration
	buf        [tcp.MSS]byte
}

func (r *rmcatRun) addTCP(now time.Time, n uint32, long bool) {
	f := &tcpFlow{d: r.d, rng: rand.New(rand.NewPCG(r.seed, 1000+uint64(n)))} //nolint:gosec // sizes and times, the same for the same seed
	f.sender, f.receiver = tcp.NewSender(0, 0), tcp.NewReceiver(0)
	f.number = r.d.add([2]end{tcpSource{f}, tcpSink{f}}, r.legs(rmcatOneWay))
	r.tcp = append(r.tcp, f)
	switch {
	case long:
		r.d.flush(f.number, forward)
	case n < rmcatShortFrom:
		f.file(now)
	default:
		f.idle()
	}
}

// idle waits for the next file of a sequence.
func (f *tcpFlow) idle() {
	f.sender = nil
	f.d.at(f.d.since()+time.Duration(f.rng.ExpFloat64()*float64(rmcatShortIdle)), f.file)
}

// file begins a connection for one file.
func (f *tcpFlow) file(now time.Time) {
	f.connection++
	f.sender = tcp.NewSender(f.connection, rmcatShortMin+f.rng.Int64N(rmcatShortMax-rmcatShortMin+1))
	f.receiver = tcp.NewReceiver(f.connection)
	f.began = now
	f.d.flush(f.number, forward)
}

// tcpSource and tcpSink are the two ends as the dumbbell drives them.
type (
	tcpSource struct{ f *tcpFlow }
	tcpSink   struct{ f *tcpFlow }
)

func (e tcpSource) Deadline() time.Time {
	if e.f.sender == nil {
		return time.Time{}
	}
	return e.f.sender.Deadline()
}

func (e tcpSource) HandleTimeout(now time.Time) {
	if e.f.sender != nil {
		e.f.sender.HandleTimeout(now)
	}
}

func (e tcpSource) HandleDatagram(now time.Time, b []byte) {
	f := e.f
	if f.sender == nil {
		return
	}
	f.sender.HandleDatagram(now, b)
	if f.sender.Done() {
		f.took = append(f.took, now.Sub(f.began))
		f.idle()
	}
}

func (e tcpSource) Flush(now time.Time, send func(b []byte)) {
	for e.f.sender != nil {
		n, ok := e.f.sender.Poll(now, e.f.buf[:])
		if !ok {
			return
		}
		send(e.f.buf[:n])
	}
}

func (tcpSink) Deadline() time.Time     { return time.Time{} }
func (tcpSink) HandleTimeout(time.Time) {}
func (e tcpSink) HandleDatagram(_ time.Time, b []byte) {
	e.f.ack = e.f.receiver.HandleDatagram(e.f.ack, b)
}

func (e tcpSink) Flush(_ time.Time, send func(b []byte)) {
	if len(e.f.ack) > 0 {
		send(e.f.ack)
		e.f.ack = e.f.ack[:0]
	}
}
