package relay_test

import (
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
)

const (
	defaultWorlds = 40
	worldStream   = "live/world"
	lookEvery     = 100 * time.Millisecond // between two looks at memory
	maxFailures   = 8                      // told of a world
)

// TestWorlds draws worlds and holds what happens in them against the laws (check_laws_test.go). A seed is a world; one that fails prints
// the line that repeats it. DUET_WORLDS says how many, DUET_SEED which is the first.
func TestWorlds(t *testing.T) {
	first, n := number(t, "DUET_SEED", 1), number(t, "DUET_WORLDS", defaultWorlds)
	if os.Getenv("DUET_SEED") != "" && os.Getenv("DUET_WORLDS") == "" {
		n = 1
	}
	for seed := first; seed < first+n; seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			t.Parallel()
			w := newWorld(seed)
			w.live()
			if len(w.failures) == 0 {
				t.Logf("%v", w)
				return
			}
			t.Errorf("DUET_SEED=%d go test ./relay -run TestWorlds\n\t%v", seed, w)
			for _, f := range w.failures {
				t.Errorf("\t%s", f)
			}
		})
	}
}

// Same seed, same world, to the byte.
func TestWorldRepeats(t *testing.T) {
	a, b := newWorld(7), newWorld(7)
	a.live()
	b.live()
	if x, y := a.String(), b.String(); x != y || a.transcript != b.transcript {
		t.Errorf("two runs of one seed differ:\n%s, %x\n%s, %x", x, a.transcript, y, b.transcript)
	}
}

func number(t *testing.T, name string, or uint64) uint64 {
	t.Helper()
	s := os.Getenv(name)
	if s == "" {
		return or
	}
	v, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}

// world is a relay, a pusher, players, the links between them, and what is known of all that was sent.
type world struct {
	seed   uint64
	rand   *rand.Rand
	net    *transporttest.Network
	origin time.Time
	keys   *crypto.TokenKeys
	relay  *station
	clock  *transporttest.Skewed // the relay's
	gate   *guard                // the relay's

	pusher  *caller // the present one
	pushers []*caller
	players []*listener
	hops    map[*client]*hop
	byAddr  map[netip.AddrPort]*client
	runs    map[uint32]*run
	ears    map[uint64]*ear // of the relay, by its session IDs

	plan      plan
	gop       time.Duration
	restarts  int
	takenOver map[*client]bool
	healed    struct {
		is bool
		at time.Time
	}
	longestDelay time.Duration    // of the players
	ways         [2]time.Duration // the pusher's

	totals                   []total // what was pushed until when
	hurt                     map[uint64]struct{}
	hash                     maphash.Seed
	recent                   [64][]byte // datagrams for replays
	recentAt                 int
	toStranger, fromStranger int
	transcript               uint64 // of all datagrams

	memories                     []relay.Memory
	cacheMost, frames, mostRings int
	mostMedia, mostAnswer        float64
	longest                      time.Duration
	overfull                     bool
	failures                     []string
}

type total struct {
	at             time.Time
	bytes, packets int
}

func newWorld(seed uint64) *world {
	w := &world{
		seed: seed, rand: rand.New(rand.NewPCG(seed, 0x776f726c64)), net: transporttest.NewNetwork(), origin: transporttest.Start,
		keys: crypto.NewTokenKeys(1, [32]byte{7}), hops: make(map[*client]*hop), byAddr: make(map[netip.AddrPort]*client),
		runs: make(map[uint32]*run), ears: make(map[uint64]*ear), takenOver: make(map[*client]bool), hurt: make(map[uint64]struct{}),
		hash: maphash.MakeSeed(), mostMedia: -1e9, mostAnswer: -1e9,
	}
	w.relay = &station{w: w}
	w.clock = &transporttest.Skewed{Endpoint: w.relay, Ahead: w.within(0, 10*time.Minute), PPM: w.ppm()}
	w.relay.start()
	w.gate = &guard{w: w, name: "the relay", inner: w.clock}
	w.net.Add(relayAddr, w.gate, nil)
	w.net.Tap = w.tap
	w.draw()
	return w
}

// live lets the world's time pass.
func (w *world) live() {
	w.play()
	w.look()
	w.run(w.plan.heal)
	w.heal()
	w.run(w.plan.stop - w.plan.heal)
	w.pusher.end()
	w.run(w.longestDelay + time.Second)
	w.judgeProgress()
	w.judgeBytes()
	w.run(sessionMemory)
	w.judgeSessions()
	for _, c := range w.clients() {
		if !c.gone {
			c.leave()
		}
	}
	w.run(2 * time.Second)
	w.judgeEmpty()
}

// run lets time pass unless all is lost.
func (w *world) run(d time.Duration) {
	if len(w.failures) < maxFailures {
		w.net.Run(d)
	}
}

// look looks at memory again and again.
func (w *world) look() {
	w.judgeMemory()
	w.net.At(lookEvery, func(time.Time) { w.look() })
}

// clients lists everybody in the order of their coming.
func (w *world) clients() []*client {
	var list []*client
	for _, p := range w.pushers {
		list = append(list, &p.client)
	}
	for _, p := range w.players {
		list = append(list, &p.client)
	}
	return list
}

func (w *world) fail(format string, args ...any) {
	if len(w.failures) < maxFailures {
		w.failures = append(w.failures, fmt.Sprintf("%7v ", w.since(w.net.Now()))+fmt.Sprintf(format, args...))
	}
}

func (w *world) since(at time.Time) time.Duration { return at.Sub(w.origin).Round(time.Millisecond) }

func (w *world) healedFor() time.Duration {
	if !w.healed.is {
		return 0
	}
	return w.net.Now().Sub(w.healed.at)
}

func (w *world) String() string {
	return fmt.Sprintf("%d players, %d frames released; media ×%.2f, answers ×%.2f, rings %+d, longest %v; %v",
		len(w.players), w.frames, w.mostMedia, w.mostAnswer, w.mostRings, w.longest.Round(time.Millisecond), &w.plan)
}

// pushed notes a message for the accounts.
func (w *world) pushed(m *sentMessage) {
	t := total{at: m.at}
	if n := len(w.totals); n > 0 {
		t.bytes, t.packets = w.totals[n-1].bytes, w.totals[n-1].packets
	}
	if m.record != nil {
		t.bytes += len(m.record.Body)
	}
	for _, p := range m.packets {
		t.bytes += len(p.Data)
	}
	t.packets += len(m.packets)
	w.totals = append(w.totals, t)
}

// lastPush is when the newest message was pushed.
func (w *world) lastPush() time.Time {
	if n := len(w.totals); n > 0 {
		return w.totals[n-1].at
	}
	return w.origin
}

// totalAt is what had been pushed before a time.
func (w *world) totalAt(at time.Time) total {
	for i := len(w.totals) - 1; i >= 0; i-- {
		if w.totals[i].at.Before(at) {
			return w.totals[i]
		}
	}
	return total{}
}

func (w *world) bytesSince(at time.Time) int {
	return w.totalAt(w.net.Now().Add(1)).bytes - w.totalAt(at).bytes
}

func (w *world) packetsSince(at time.Time) int {
	return w.totalAt(w.net.Now().Add(1)).packets - w.totalAt(at).packets
}

// station is the relay's host: a loop that may be killed and started again.
type station struct {
	w    *world
	loop *relay.Loop // nil while it is down
}

func (s *station) start() {
	cfg := relay.Config{Key: transporttest.ServerKey(), Secret: [32]byte{3}, Tokens: s.w.keys}
	s.loop = relay.NewLoop(s.w.clock.Local(s.w.net.Now()), cfg, transporttest.Reader(s.w.rand.Uint64()), func() {})
}

// cached is what the relay has for players that join.
func (s *station) cached() (packets, bytes int) {
	if s.loop == nil {
		return 0, 0
	}
	return s.loop.Cached(worldStream)
}

// HandleDatagram implements transporttest.Endpoint.
func (s *station) HandleDatagram(now time.Time, from transport.Path, b []byte) {
	if s.loop == nil {
		return
	}
	if h, err := wire.ParseDataHeader(b); err == nil && wire.KindOf(b) == wire.KindData {
		if e := s.w.ears[h.Session]; e != nil && !s.w.damaged(b) {
			e.note(s.w.net.Now(), h.PacketNumber)
		}
	}
	s.loop.HandleDatagram(now, from, b)
}

// HandleTimeout implements transporttest.Endpoint.
func (s *station) HandleTimeout(now time.Time) {
	if s.loop != nil {
		s.loop.HandleTimeout(now)
	}
}

// Poll implements transporttest.Endpoint.
func (s *station) Poll(now time.Time, buf []byte) (transport.Transmit, bool) {
	if s.loop == nil {
		return transport.Transmit{}, false
	}
	return s.loop.Poll(now, buf)
}

// Deadline implements transporttest.Endpoint.
func (s *station) Deadline() time.Time {
	if s.loop == nil {
		return time.Time{}
	}
	return s.loop.Deadline()
}

func (w *world) token(action crypto.Action, party string) string {
	tok, err := w.keys.Mint(crypto.Token{Action: action, KeyID: 1, Expiry: w.origin.Add(24 * time.Hour), Stream: worldStream, Party: party})
	if err != nil {
		panic(err) // every field is ours
	}
	return tok
}

// newClient puts a client with its own clock at an address.
func (w *world) newClient(c *client, u clientUser, role wire.Role, name, addr string, budget time.Duration) {
	*c = client{w: w, name: name, addr: netip.MustParseAddrPort(addr), user: u, impatient: w.chance(0.5)}
	action := crypto.ActionPlay
	if role == wire.RolePush {
		action = crypto.ActionPush
	}
	c.cfg = transporttest.ClientConfig(role, 0)
	c.cfg.Stream, c.cfg.Token, c.cfg.Budget = worldStream, w.token(action, "party"), budget
	c.skew = &transporttest.Skewed{Endpoint: c, Ahead: w.within(-2*time.Hour, 2*time.Hour), PPM: w.ppm()}
	w.byAddr[c.addr] = c
	w.net.Add(c.addr, &guard{w: w, name: name, inner: c.skew}, nil)
}

func (w *world) newPusher(addr string) *caller {
	p := &caller{run: &run{instance: w.rand.Uint32() &^ 1}, recent: w.within(0, time.Second)}
	p.packetizer = rtmpchunk.NewPacketizer(p.run.instance)
	w.newClient(&p.client, p, wire.RolePush, fmt.Sprintf("pusher %d", len(w.pushers)+1), addr, time.Second)
	w.runs[p.run.instance] = p.run
	w.pusher, w.pushers = p, append(w.pushers, p)
	return p
}

func (w *world) newPlayer(addr string, d time.Duration) *listener {
	p := &listener{maxDelay: d, runs: make(map[uint32]*heardRun)}
	w.newClient(&p.client, p, wire.RolePlay, fmt.Sprintf("player %d", len(w.players)+1), addr, d)
	p.playout = transport.NewPlayout(d, p.skew.Local(w.origin))
	w.longestDelay = max(w.longestDelay, d)
	w.players = append(w.players, p)
	return p
}
