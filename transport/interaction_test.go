package transport_test

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"duet/bench/netem"
	"duet/crypto"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"

	"github.com/cockroachdb/datadriven"
)

// TestInteraction runs the transcripts in testdata/interaction. Each file is one run, or several that begin with "dial". The output
// of a command is what happened since the one before: by virtual time since the beginning, the side, and the event; with "trace on"
// every datagram too, as it is sent:
//
//	50ms relay   > client  #0 PONG FEEDBACK 0
//	75ms client  closed ok "done" (remote)
//
// Commands that push, drop, or change something take effect at once and let no time pass; only "run" does.
func TestInteraction(t *testing.T) {
	datadriven.Walk(t, "testdata/interaction", func(t *testing.T, path string) {
		d := &script{t: t, link: netem.Config{Delay: 25 * time.Millisecond}}
		datadriven.RunTest(t, path, func(t *testing.T, td *datadriven.TestData) string {
			d.t = t
			if d.s != nil {
				d.s.t = t
			}
			d.out.Reset()
			d.command(td)
			return d.out.String()
		})
	})
}

// script is a transcript being run.
type script struct {
	t       *testing.T
	s       *session
	link    netem.Config
	out     strings.Builder
	trace   bool
	sniffer *transporttest.Sniffer
	filters []filter
	log     [][]byte // every datagram of the client's, and of the relay's, in the order of sending
	from    []netip.AddrPort
}

// filter does something to the next datagrams that match.
type filter struct {
	client bool // who sends them
	left   int
	match  string // in the description
	action string
}

func (d *script) command(td *datadriven.TestData) {
	arg := func(key, fallback string) string {
		if td.HasArg(key) {
			var v string
			td.ScanArgs(d.t, key, &v)
			return v
		}
		return fallback
	}
	number := func(key string, fallback int) int {
		n, err := strconv.Atoi(arg(key, strconv.Itoa(fallback)))
		if err != nil {
			td.Fatalf(d.t, "%s: %v", key, err)
		}
		return n
	}
	duration := func(key, fallback string) time.Duration {
		v, err := time.ParseDuration(arg(key, fallback))
		if err != nil {
			td.Fatalf(d.t, "%s: %v", key, err)
		}
		return v
	}
	switch td.Cmd {
	case "link":
		d.link = netem.Config{Delay: duration("delay", "25ms"), Seed: uint64(number("seed", 1)), Rate: int64(number("rate", 0)), Down: td.HasArg("down")}
		if _, err := fmt.Sscan(strings.TrimSuffix(arg("loss", "0%"), "%"), &d.link.Loss); err != nil {
			td.Fatalf(d.t, "loss: %v", err)
		}
		d.link.Loss /= 100
		if d.s != nil {
			d.s.net.Join(d.s.addr, transporttest.RelayAddr, d.link, d.link)
		}
	case "trace":
		d.trace = td.HasArg("on")
	case "dial":
		d.dial(arg("role", "push"), uint64(number("seed", 1)), duration("budget", "1s"), td)
	case "run":
		d.s.net.Run(duration("for", "1s"))
	case "start":
		d.s.start()
	case "push":
		for range number("count", 1) {
			switch size := number("bytes", 1000); {
			case td.HasArg("audio"):
				d.s.audio(size)
			case td.HasArg("config"):
				d.s.push(9, append([]byte{0x17, 0}, make([]byte, size-2)...))
			case td.HasArg("metadata"):
				d.s.push(18, append([]byte("\x02\x00\x0aonMetaData\x08"), make([]byte, size)...))
			default:
				d.s.push(9, d.s.body(1, td.HasArg("key"), size))
			}
			if every := duration("every", "0s"); every > 0 {
				d.s.net.Run(every)
			}
		}
	case "keyframe":
		if err := d.s.receiver().SendControl(d.s.net.Now(), &wire.Control{Type: wire.ControlKeyFrame}); err != nil {
			td.Fatalf(d.t, "%v", err)
		}
		d.s.net.Kick(d.receiverAddr())
	case "end":
		d.s.control(&wire.Control{Type: wire.ControlEnd, Order: d.s.packetizer.Next()})
	case "close":
		d.close(arg("from", "client"), number("code", 0), arg("reason", ""))
	case "drop", "flip", "double", "forge":
		d.filters = append(d.filters, filter{client: arg("from", "client") == "client", left: number("next", 1), match: arg("with", ""), action: td.Cmd})
	case "replay":
		d.replay(arg("from", "client"), number("n", 0), td.HasArg("elsewhere"))
	case "forget":
		d.s.relay.Forget()
	case "move":
		to := netip.MustParseAddrPort(arg("to", "198.51.100.9:6000"))
		d.s.net.Move(d.s.addr, to)
		d.s.addr = to
	case "stats":
		d.stats(td)
	default:
		td.Fatalf(d.t, "unknown command")
	}
}

func (d *script) receiverAddr() netip.AddrPort {
	if d.s.cfg.Role == wire.RolePush {
		return transporttest.RelayAddr
	}
	return d.s.addr
}

// dial begins a new run.
func (d *script) dial(role string, seed uint64, budget time.Duration, td *datadriven.TestData) {
	o := options{role: wire.RolePush, seed: seed, up: d.link, down: d.link, maxDelay: budget}
	if role == "play" {
		o.role = wire.RolePlay
	}
	o.client = func(c *transport.Config) {
		c.Budget = budget
		if td.HasArg("wrongkey") {
			key, err := crypto.NewStaticKey([32]byte{7})
			if err != nil {
				d.t.Fatal(err)
			}
			c.Server = key.Public()
		}
	}
	o.relay = func(c *transport.AcceptorConfig) {
		if td.HasArg("cookies") {
			c.Rate = 0.5 // never enough for one without a cookie
		}
	}
	d.s = newSession(d.t, o)
	if td.HasArg("refuse") {
		d.s.relay.Admit = func(time.Time, *transport.Request) transport.Admission {
			return transport.Admission{Code: wire.CloseRefused, Reason: "the token has expired"}
		}
	}
	d.s.log = func(who, text string) { d.line(who, text) }
	var err error
	if d.sniffer, err = transporttest.NewSniffer(d.s.cfg, 2000+seed); err != nil {
		d.t.Fatal(err)
	}
	d.s.net.Tap = d.tap
	d.filters, d.log, d.from = nil, nil, nil
	d.s.net.Kick(d.s.addr)
}

func (d *script) line(who, text string) {
	at := d.s.net.Now().Sub(transporttest.Start).Round(100 * time.Microsecond)
	fmt.Fprintf(&d.out, "%8v %-7s %s\n", at, who, text)
}

// tap writes the trace and applies the filters.
func (d *script) tap(from, to netip.AddrPort, b []byte) [][]byte {
	client := from != transporttest.RelayAddr
	what := d.sniffer.Describe(from, b)
	d.log, d.from = append(d.log, slices.Clone(b)), append(d.from, from)
	who, peer := "client", "relay"
	if !client {
		who, peer = "relay", "client"
		if to != d.s.addr {
			peer = to.String()
		}
	}
	out, note := [][]byte{b}, ""
	for i := range d.filters {
		f := &d.filters[i]
		if f.left == 0 || f.client != client || !strings.Contains(what, f.match) {
			continue
		}
		f.left--
		switch f.action {
		case "drop":
			out, note = nil, " — lost"
		case "flip":
			c := slices.Clone(b)
			c[len(c)/2] ^= 1
			out, note = [][]byte{c}, " — a bit flips"
		case "double":
			out, note = [][]byte{b, b}, " — doubled"
		case "forge": // an attacker's, who sees the genuine one and is faster
			c := slices.Clone(b)
			for j := wire.HandshakeHeader; j < len(c); j++ {
				c[j] = byte(j)
			}
			out, note = [][]byte{c, b}, " — a forged one goes ahead"
		}
		break
	}
	if d.trace || note != "" {
		d.line(who, "> "+peer+"  "+what+note)
	}
	return out
}

// replay gives a side's n-th datagram to the other side once more, now; -1 is its latest.
func (d *script) replay(from string, n int, elsewhere bool) {
	client := from == "client"
	if n < 0 { // from the end
		for i := range d.log {
			if (d.from[i] != transporttest.RelayAddr) == client {
				n++
			}
		}
	}
	for i, b := range d.log {
		if (d.from[i] != transporttest.RelayAddr) != client {
			continue
		}
		if n > 0 {
			n--
			continue
		}
		now, c := d.s.net.Now(), slices.Clone(b)
		if client {
			path := transport.Path{Addr: d.s.addr}
			if elsewhere {
				path.Addr = netip.MustParseAddrPort("203.0.113.66:666")
			}
			d.s.relay.HandleDatagram(now, path, c)
			d.s.net.Kick(transporttest.RelayAddr)
		} else {
			d.s.client.HandleDatagram(now, transport.Path{Addr: transporttest.RelayAddr}, c)
			d.s.net.Kick(d.s.addr)
		}
		return
	}
	d.t.Fatal("no such datagram")
}

func (d *script) close(from string, code int, reason string) {
	c, addr := d.s.client, d.s.addr
	if from == "relay" {
		c, addr = d.s.relay.Conn(), transporttest.RelayAddr
	}
	c.Close(d.s.net.Now(), wire.CloseCode(code), reason)
	d.s.net.Kick(addr)
}

// stats prints the counters that matter to a reader, those that are not zero.
func (d *script) stats(td *datadriven.TestData) {
	show := func(who string, c *transport.Conn) {
		st := c.Stats()
		var words []string
		for _, f := range []struct {
			name string
			n    uint64
		}{
			{"sent", st.PacketsSent}, {"received", st.PacketsReceived}, {"again", st.Retransmits}, {"parity", st.RepairsSent},
			{"repaired", st.PacketsRepaired}, {"repeated", st.PacketsRepeated}, {"lost", st.PacketsLost}, {"false-losses", st.FalseLosses},
			{"probes", st.Probes}, {"skipped", st.MessagesSkipped}, {"abandoned", st.BlocksAbandoned}, {"rekeys", st.Rekeys}, {"migrations", st.Migrations},
		} {
			if f.n > 0 {
				words = append(words, fmt.Sprintf("%s=%d", f.name, f.n))
			}
		}
		for reason, n := range st.Dropped {
			if n > 0 {
				words = append(words, fmt.Sprintf("dropped-%v=%d", transport.DropReason(reason), n))
			}
		}
		fmt.Fprintf(&d.out, "%s: %s\n", who, strings.Join(words, " "))
	}
	show("client", d.s.client)
	for _, c := range d.s.relay.Conns {
		show("relay", c)
	}
	if td.HasArg("acceptor") {
		a := d.s.relay.Acceptor.Stats()
		fmt.Fprintf(&d.out, "acceptor: inits=%d accepted=%d refused=%d retries=%d repeated=%d dropped=%d\n", a.Inits, a.Accepted, a.Refused, a.Retries, a.Repeated, a.Dropped)
	}
}
