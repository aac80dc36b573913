package transporttest

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"duet/crypto"
	"duet/transport"
	"duet/transport/wire"
)

// Addresses of a Pair's two ends.
var (
	ClientAddr = netip.MustParseAddrPort("192.0.2.1:5000")
	RelayAddr  = netip.MustParseAddrPort("192.0.2.2:7000")
)

// Reader is a seeded source of bytes for everything random in a session.
func Reader(seed uint64) *SeededReader {
	return &SeededReader{r: rand.New(rand.NewPCG(seed, seed^0x9e3779b97f4a7c15))}
}

// SeededReader implements io.Reader; it never fails.
type SeededReader struct{ r *rand.Rand }

// Read fills b.
func (s *SeededReader) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = byte(s.r.Uint32())
	}
	return len(b), nil
}

// ServerKey is the static key of every test relay.
func ServerKey() *crypto.StaticKey {
	k, err := crypto.NewStaticKey([32]byte{1, 2, 3})
	if err != nil {
		panic(err)
	}
	return k
}

// RelayEnd is the relay's side of a Pair: an Acceptor and the sessions that it made.
type RelayEnd struct {
	Acceptor *transport.Acceptor
	Conns    []*transport.Conn // in the order of their INITs
	Admit    func(now time.Time, r *transport.Request) transport.Admission
	Alloc    func() *transport.Packet // of the sessions that Admit lets in, as Policy
	Policy   transport.Policy
	replies  []reply
	ids      *SeededReader
}

// resetSecret is every test relay's: it outlives what Forget forgets.
var resetSecret = [32]byte{9}

type reply struct {
	to transport.Path
	b  []byte
}

// NewRelayEnd returns a relay's end that lets everybody in unless Admit is replaced.
func NewRelayEnd(now time.Time, seed uint64, policy transport.Policy) *RelayEnd {
	e := NewRelayEndWith(now, seed, func(*transport.AcceptorConfig) {})
	e.Policy = policy
	return e
}

// NewRelayEndWith is NewRelayEnd with more to choose: change may set any field of the configuration but Admit.
func NewRelayEndWith(now time.Time, seed uint64, change func(*transport.AcceptorConfig)) *RelayEnd {
	e := &RelayEnd{ids: Reader(seed ^ 77)}
	e.Admit = func(time.Time, *transport.Request) transport.Admission {
		var b [8]byte
		_, _ = e.ids.Read(b[:])
		id := uint64(0)
		for _, c := range b {
			id = id<<8 | uint64(c)
		}
		return transport.Admission{Code: wire.CloseOK, SessionID: id &^ 0xff}
	}
	cfg := transport.AcceptorConfig{
		Key: ServerKey(), Cookies: crypto.NewCookieJar([32]byte{9}), ResetSecret: resetSecret, Rand: Reader(seed), ClockOrigin: now,
	}
	change(&cfg)
	cfg.Admit = func(now time.Time, r *transport.Request) transport.Admission {
		a := e.Admit(now, r)
		a.Alloc, a.Policy = e.Alloc, e.Policy
		return a
	}
	e.Acceptor = transport.NewAcceptor(now, cfg)
	return e
}

// Conn is the newest session, nil before the first.
func (e *RelayEnd) Conn() *transport.Conn {
	if len(e.Conns) == 0 {
		return nil
	}
	return e.Conns[len(e.Conns)-1]
}

// Forget drops every session without a word, as a relay does that is killed and started again.
func (e *RelayEnd) Forget() { e.Conns = nil }

// HandleDatagram implements Endpoint. Data for a session that it does not know is answered with RESET.
func (e *RelayEnd) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	switch wire.KindOf(b) {
	case wire.KindInit:
		out, conn, _ := e.Acceptor.Handle(now, from, b, nil)
		if len(out) > 0 {
			e.replies = append(e.replies, reply{to: from, b: out})
		}
		if conn != nil {
			e.Conns = append(e.Conns, conn)
		}
	case wire.KindData:
		h, err := wire.ParseDataHeader(b)
		if err != nil {
			return
		}
		for _, c := range e.Conns {
			if c.LocalID() == h.Session {
				c.HandleDatagram(now, from, b)
				return
			}
		}
		out := wire.AppendReset(nil, h.Session, crypto.ResetValue(resetSecret, h.Session))
		e.replies = append(e.replies, reply{to: from, b: out})
	default:
	}
}

// HandleTimeout implements Endpoint.
func (e *RelayEnd) HandleTimeout(now time.Time) {
	for _, c := range e.Conns {
		c.HandleTimeout(now)
	}
}

// Poll implements Endpoint.
func (e *RelayEnd) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	if len(e.replies) > 0 {
		r := e.replies[0]
		e.replies = e.replies[1:]
		n := copy(buf, r.b)
		return transport.Transmit{Path: r.to, Size: n, Segment: n}, true
	}
	for _, c := range e.Conns {
		if t, ok := c.Poll(now, buf); ok {
			return t, true
		}
	}
	return transport.Transmit{}, false
}

// Deadline implements Endpoint.
func (e *RelayEnd) Deadline() time.Time {
	var first time.Time
	for _, c := range e.Conns {
		if at := c.Deadline(); !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// ClientConfig is the configuration of a client of ServerKey's relay at RelayAddr.
func ClientConfig(role wire.Role, seed uint64) transport.Config {
	return transport.Config{
		Role: role, Stream: "live/test", Token: "token", Server: ServerKey().Public(), Path: transport.Path{Addr: RelayAddr}, Rand: Reader(seed),
	}
}
