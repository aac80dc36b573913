package endpoint_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/transporttest"
	"duet/transport/wire"
	"duet/web/endpoint"
)

// world is a relay and the endpoints of browsers in virtual time, a step a millisecond. Carriers are numbers from 1 on for the pusher, from
// 100 on for the player.
type world struct {
	t      testing.TB
	now    float64 // ms
	cfg    relay.Config
	keys   *crypto.TokenKeys
	loop   *relay.Loop
	rand   *rand.Rand
	seed   uint64
	loss   float64
	flight []flight
	sides  []*side
}

type flight struct {
	at float64
	to *side // nil: to the relay
	id uint32
	b  []byte
}

const oneWay = 10 // ms

// side is one endpoint as its worker drives it.
type side struct {
	w      *world
	e      *endpoint.Endpoint
	in     []byte
	dead   map[uint32]bool // carriers over which nothing passes
	codes  []int
	texts  []string
	frames []frame
	rates  []float64
	keys   int
	msgs   []string
	size   [2]int
	over   bool
	code   int
	report int // statuses
}

type frame struct {
	codec, flags uint8
	timestamp    uint32
	captured     float64
	data         string
}

func newWorld(t testing.TB, seed uint64) *world {
	key := transporttest.ServerKey()
	w := &world{t: t, keys: crypto.NewTokenKeys(1, [32]byte{7}), rand: rand.New(rand.NewPCG(seed, 1)), seed: seed}
	w.cfg = relay.Config{Key: key, Secret: [32]byte{9}, Tokens: w.keys}
	w.restart()
	return w
}

func (w *world) time() time.Time {
	return transporttest.Start.Add(time.Duration(w.now * float64(time.Millisecond)))
}

// restart replaces the relay by one that knows nothing.
func (w *world) restart() {
	w.seed++
	w.loop = relay.NewLoop(w.time(), w.cfg, transporttest.Reader(w.seed), func() {})
}

func (w *world) url(action crypto.Action, stream string, valid time.Duration) crypto.URL {
	w.t.Helper()
	token, err := w.keys.Mint(crypto.Token{Action: action, Expiry: w.time().Add(valid), Stream: stream, Party: "p"})
	if err != nil {
		w.t.Fatal(err)
	}
	return crypto.URL{Host: "relay.example:7000", Stream: stream, Key: w.cfg.Key.Public(), Token: token}
}

func (w *world) add(open func(endpoint.Config) (*endpoint.Endpoint, error), cfg endpoint.Config) *side {
	w.t.Helper()
	w.seed++
	cfg.Rand = transporttest.Reader(w.seed)
	e, err := open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	s := &side{w: w, e: e, dead: make(map[uint32]bool)}
	w.sides = append(w.sides, s)
	return s
}

func (s *side) put(kind endpoint.InType, body []byte) {
	s.in = binary.BigEndian.AppendUint32(s.in, uint32(len(body)+1))
	s.in = append(append(s.in, byte(kind)), body...)
}

func (s *side) carrier(id uint32, flags byte) {
	s.put(endpoint.InCarrier, append(binary.BigEndian.AppendUint32(nil, id), flags))
}

func (s *side) push(codec rtmpchunk.Codec, flags byte, data string) {
	b := append([]byte{byte(codec), flags}, binary.BigEndian.AppendUint32(nil, uint32(s.w.now))...)
	b = binary.BigEndian.AppendUint64(b, math.Float64bits(s.w.now-3))
	s.put(endpoint.InFrame, append(b, data...))
}

// run lets ms pass; each is called every 20 of them.
func (w *world) run(ms int, each func(i int)) {
	buf := make([]byte, 8*wire.MaxDatagram)
	for i := range ms {
		if each != nil && i%20 == 0 {
			each(i / 20)
		}
		w.flight = slices.DeleteFunc(w.flight, func(f flight) bool {
			if f.at > w.now {
				return false
			}
			if f.to == nil {
				w.loop.HandleDatagram(w.time(), w.path(f.id), f.b)
				return true
			}
			body := binary.BigEndian.AppendUint32(nil, f.id)
			body = append(binary.BigEndian.AppendUint16(body, uint16(len(f.b))), f.b...)
			f.to.put(endpoint.InDatagrams, body)
			return true
		})
		w.loop.HandleTimeout(w.time())
		for {
			t, ok := w.loop.Poll(w.time(), buf)
			if !ok {
				break
			}
			for off := 0; off < t.Size; off += t.Segment {
				w.send(w.owner(t.Path.Carrier), t.Path.Carrier, buf[off:min(off+t.Segment, t.Size)])
			}
		}
		for _, s := range w.sides {
			s.take(s.e.Step(w.now, s.in, nil))
			s.in = s.in[:0]
		}
		w.now++
	}
}

func (w *world) path(id uint32) transport.Path { return transport.Path{Carrier: id} }

func (w *world) owner(id uint32) *side {
	i := int(id / 100)
	if i >= len(w.sides) {
		return nil
	}
	return w.sides[i]
}

func (w *world) send(to *side, id uint32, b []byte) {
	if owner := w.owner(id); owner == nil || owner.dead[id] || w.rand.Float64() < w.loss {
		return
	}
	w.flight = append(w.flight, flight{at: w.now + oneWay, to: to, id: id, b: bytes.Clone(b)})
}

// take reads what came out.
func (s *side) take(out []byte) {
	for len(out) > 0 {
		n := int(binary.BigEndian.Uint32(out))
		kind, b := endpoint.OutType(out[4]), out[5:4+n]
		out = out[4+n:]
		f64 := func(at int) float64 { return math.Float64frombits(binary.BigEndian.Uint64(b[at:])) }
		switch kind {
		case endpoint.OutDatagrams:
			id := binary.BigEndian.Uint32(b)
			for b = b[4:]; len(b) > 0; {
				n := int(binary.BigEndian.Uint16(b))
				if n > wire.MaxDatagram {
					s.w.t.Fatalf("a datagram of %d bytes", n)
				}
				s.w.send(nil, id, b[2:2+n])
				b = b[2+n:]
			}
		case endpoint.OutEvent:
			s.codes, s.texts = append(s.codes, int(int32(binary.BigEndian.Uint32(b)))), append(s.texts, string(b[4:]))
		case endpoint.OutFrame:
			s.frames = append(s.frames, frame{codec: b[0], flags: b[1], timestamp: binary.BigEndian.Uint32(b[2:]), captured: f64(10), data: string(b[26:])})
		case endpoint.OutStatus:
			s.report++
		case endpoint.OutBitrate:
			s.rates = append(s.rates, f64(0))
		case endpoint.OutKeyFrame:
			s.keys++
		case endpoint.OutMessage:
			s.msgs = append(s.msgs, string(b[4:]))
		case endpoint.OutSize:
			s.size = [2]int{int(binary.BigEndian.Uint16(b)), int(binary.BigEndian.Uint16(b[2:]))}
		case endpoint.OutOver:
			s.over, s.code = true, int(int32(binary.BigEndian.Uint32(b)))
		}
	}
}

func (s *side) has(code int) bool { return slices.Contains(s.codes, code) }

// pair is a pusher and a player of one stream, each with a carrier up.
func pair(t testing.TB, seed uint64) (w *world, push, play *side) {
	w = newWorld(t, seed)
	push = w.add(endpoint.NewPusher, endpoint.Config{URL: w.url(crypto.ActionPush, "live/a", time.Hour), MaxBitrate: 2_000_000})
	play = w.add(endpoint.NewPlayer, endpoint.Config{URL: w.url(crypto.ActionPlay, "live/a", time.Hour)})
	push.carrier(1, 1)
	play.carrier(101, 1)
	return w, push, play
}

// talk sends a picture and a sound every 20 ms, with a key frame where one is asked for.
func talk(push *side) func(i int) {
	asked := -1
	return func(i int) {
		if i == 0 && asked < 0 {
			push.push(rtmpchunk.CodecOpus, endpoint.FlagConfig, "OpusHead")
			push.push(rtmpchunk.CodecVP8, endpoint.FlagConfig, "vp8-config")
		}
		flags, data := byte(0), "delta"
		if push.keys > asked {
			asked = push.keys
			flags, data = endpoint.FlagKey, string(make([]byte, 3000))
		}
		push.push(rtmpchunk.CodecVP8, flags, data)
		push.push(rtmpchunk.CodecOpus, endpoint.FlagKey, "sound")
	}
}

func count(frames []frame, codec rtmpchunk.Codec) (n int) {
	for _, f := range frames {
		if f.codec == uint8(codec) && f.flags&endpoint.FlagConfig == 0 {
			n++
		}
	}
	return n
}

// A stream goes from one browser to another, with its configurations first, a message and the size of its picture.
func TestStream(t *testing.T) {
	w, push, play := pair(t, 1)
	each := talk(push)
	w.run(200, nil)
	push.put(endpoint.InSize, []byte{2, 128, 1, 104, 0, 30})
	push.put(endpoint.InMessage, append(make([]byte, 4), "你好"...))
	w.run(3000, each)
	for _, code := range []int{1001, 1002} {
		if !push.has(code) {
			t.Errorf("the pusher told %v, and not %d", push.codes, code)
		}
	}
	for _, code := range []int{2001, 2002, 2003, 2004} {
		if !play.has(code) {
			t.Errorf("the player told %v, and not %d", play.codes, code)
		}
	}
	if n := count(play.frames, rtmpchunk.CodecVP8); n < 140 {
		t.Errorf("%d pictures came of 150", n)
	}
	first := slices.IndexFunc(play.frames, func(f frame) bool { return f.codec == uint8(rtmpchunk.CodecVP8) })
	if f := play.frames[first]; f.flags&endpoint.FlagConfig == 0 || f.data != "vp8-config" {
		t.Errorf("the first of video is %+v, and no configuration", f)
	}
	if last := play.frames[len(play.frames)-1]; math.Abs(last.captured-(float64(last.timestamp)-3)) > 2 {
		t.Errorf("captured at %v, which was %d", last.captured, last.timestamp-3)
	}
	if play.size != [2]int{640, 360} || !slices.Equal(play.msgs, []string{"你好"}) {
		t.Errorf("size %v, messages %q", play.size, play.msgs)
	}
	if push.report < 2 || play.report < 2 || len(push.rates) == 0 {
		t.Errorf("%d and %d statuses, %d bitrates", push.report, play.report, len(push.rates))
	}
	push.put(endpoint.InClose, nil)
	w.run(1000, nil)
	if !play.has(2006) || !play.over || play.code != 0 || !push.over || push.code != 0 {
		t.Errorf("after the end: player %v over %v (%d), pusher over %v (%d)", play.codes, play.over, play.code, push.over, push.code)
	}
	if d := push.e.Deadline(w.now); !math.IsInf(d, 1) {
		t.Errorf("a pusher that is over wants to be called at %v", d)
	}
}

// Five percent of loss each way on both hops: hardly a frame is missing.
func TestLoss(t *testing.T) {
	w, push, play := pair(t, 2)
	w.loss = 0.05
	w.run(500, nil)
	w.run(10_000, talk(push))
	w.run(500, nil)
	for _, codec := range []rtmpchunk.Codec{rtmpchunk.CodecVP8, rtmpchunk.CodecOpus} {
		if n := count(play.frames, codec); n < 490 {
			t.Errorf("%d frames of %v came of 500", n, codec)
		}
	}
}

// Another carrier takes the session over: nothing begins anew.
func TestCarrierChange(t *testing.T) {
	w, push, play := pair(t, 3)
	each := talk(push)
	w.run(200, nil)
	w.run(2000, each)
	push.carrier(2, 3)
	play.carrier(102, 1)
	push.carrier(1, 0)
	w.run(2000, each)
	if push.has(1102) || play.has(2103) {
		t.Errorf("a change of carriers was told as a loss: %v, %v", push.texts, play.texts)
	}
	before := count(play.frames, rtmpchunk.CodecVP8)
	w.run(1000, each)
	if n := count(play.frames, rtmpchunk.CodecVP8) - before; n < 48 {
		t.Errorf("%d pictures in a second after the change", n)
	}
}

// A carrier falls silent: 1102 and 2103 within a good second, and over another one it goes on, from a key frame.
func TestCarrierSilent(t *testing.T) {
	w, push, play := pair(t, 4)
	each := talk(push)
	w.run(200, nil)
	w.run(2000, each)
	push.dead[1], play.dead[101] = true, true
	w.run(1300, each)
	if !push.has(1102) || !play.has(2103) {
		t.Fatalf("after 1.3 s of silence: %v, %v", push.codes, play.codes)
	}
	push.carrier(2, 1)
	play.carrier(102, 1)
	before := len(play.frames)
	w.run(2000, each)
	if n := count(play.frames[before:], rtmpchunk.CodecVP8); n < 70 {
		t.Errorf("%d pictures in two seconds over another carrier", n)
	}
	if push.over || play.over {
		t.Errorf("over: %v, %v", push.texts, play.texts)
	}
}

// The relay is replaced by one that knows nothing: both come back by themselves.
func TestRelayRestarts(t *testing.T) {
	w, push, play := pair(t, 5)
	each := talk(push)
	w.run(200, nil)
	w.run(2000, each)
	w.restart()
	w.run(4000, each)
	before := len(play.frames)
	w.run(1000, each)
	if n := count(play.frames[before:], rtmpchunk.CodecVP8); n < 48 {
		t.Errorf("%d pictures in a second after the restart; %v, %v", n, push.texts, play.texts)
	}
}

// What the relay refuses, and what never answers, is told by its code.
func TestRefused(t *testing.T) {
	w := newWorld(t, 6)
	wrong := w.add(endpoint.NewPusher, endpoint.Config{URL: w.url(crypto.ActionPlay, "live/a", time.Hour)})
	wrong.carrier(1, 1)
	silent := w.add(endpoint.NewPlayer, endpoint.Config{URL: w.url(crypto.ActionPlay, "live/a", time.Hour)})
	silent.carrier(101, 1)
	silent.dead[101] = true
	alone := w.add(endpoint.NewPlayer, endpoint.Config{URL: w.url(crypto.ActionPlay, "live/b", time.Hour), Wait: 2 * time.Second})
	alone.carrier(201, 1)
	w.run(5000, nil)
	for code, s := range map[int]*side{3004: wrong, 3003: silent, -2301: alone} {
		if !s.over || s.code != code {
			t.Errorf("want %d: over %v with %d, %v", code, s.over, s.code, s.texts)
		}
	}
}

// The network does not come back: -1307 and -2301 when the time for it is over.
func TestGivenUp(t *testing.T) {
	w := newWorld(t, 7)
	push := w.add(endpoint.NewPusher, endpoint.Config{URL: w.url(crypto.ActionPush, "live/a", time.Hour), Reconnect: 3 * time.Second})
	play := w.add(endpoint.NewPlayer, endpoint.Config{URL: w.url(crypto.ActionPlay, "live/a", time.Hour), Reconnect: 3 * time.Second})
	push.carrier(1, 1)
	play.carrier(101, 1)
	w.run(1000, talk(push))
	push.carrier(1, 0)
	play.carrier(101, 0)
	w.run(4000, nil)
	if !push.over || push.code != -1307 || !play.over || play.code != -2301 {
		t.Errorf("pusher over %v with %d, player over %v with %d", push.over, push.code, play.over, play.code)
	}
}

// A reliable carrier that is full gets nothing more until it has room, and then the newest.
func TestBacklogHeldBack(t *testing.T) {
	w, push, play := pair(t, 8)
	each := talk(push)
	push.carrier(1, 3)
	w.run(200, nil)
	w.run(1000, each)
	full := append(binary.BigEndian.AppendUint32(nil, 1), 0, 1, 0, 0)
	push.put(endpoint.InBacklog, full)
	w.run(2, nil)
	for range 3 {
		each(1)
		out := push.e.Step(w.now, push.in, nil)
		push.in = push.in[:0]
		for len(out) > 0 {
			if endpoint.OutType(out[4]) == endpoint.OutDatagrams {
				t.Fatal("datagrams for a carrier that is full")
			}
			out = out[4+binary.BigEndian.Uint32(out):]
		}
		w.now++
	}
	push.put(endpoint.InBacklog, append(binary.BigEndian.AppendUint32(nil, 1), 0, 0, 0, 0))
	got := len(play.frames)
	w.run(1000, each)
	if n := len(play.frames) - got; n < 80 {
		t.Errorf("%d frames in a second after the backlog went", n)
	}
}

// Whatever bytes a worker or a network hands in, nothing panics.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 2, 0})
	f.Add([]byte{0, 0, 0, 20, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5})
	w := newWorld(f, 9)
	u := w.url(crypto.ActionPush, "live/a", time.Hour)
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, open := range []func(endpoint.Config) (*endpoint.Endpoint, error){endpoint.NewPusher, endpoint.NewPlayer} {
			e, err := open(endpoint.Config{URL: u, Rand: transporttest.Reader(1)})
			if err != nil {
				t.Fatal(err)
			}
			e.Step(0, []byte{0, 0, 0, 6, byte(endpoint.InCarrier), 0, 0, 0, 1, 1}, nil)
			e.Step(1, bytes.Clone(in), nil)
			e.Step(2, nil, nil)
		}
	})
}
