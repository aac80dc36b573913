package client

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"duet/rtmpchunk"
)

// camera feeds a ladder as an encoder of several renditions would, in virtual time, and keeps what comes out.
type camera struct {
	t       *testing.T
	l       *ladder
	now     time.Time
	up      Uplink
	rates   []int // bytes a frame; its number marks a rendition's frames
	bframes bool  // every second frame is referred to by none
	skew    []time.Duration
	late    []fed // fed later, by skew
	missing map[int]bool
	frame   int
	got     []rtmpchunk.Message
	changes []change
}

type fed struct {
	at time.Time
	i  int
	m  rtmpchunk.Message
}

const (
	testFrame = 40 * time.Millisecond
	testGOP   = 50 // frames: 2 s
)

// newCamera has three renditions of 200, 400 and 600 kbit/s with audio of 32, and a target that fits them all but is not known.
func newCamera(t *testing.T) *camera {
	t.Helper()
	c := &camera{t: t, now: time.Unix(1000, 0), rates: []int{1000, 2000, 3000}, skew: make([]time.Duration, 3), missing: map[int]bool{}}
	c.l = newLadder([]int64{200_000, 400_000, 600_000}, time.Second)
	c.up = Uplink{Bitrate: 2_000_000}
	for i := range c.rates {
		c.feed(i, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: testConfig(i)})
		c.feed(i, rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 0, 0x12, 0x10}})
	}
	return c
}

// testConfig is a decoder configuration that names its rendition.
func testConfig(i int) []byte { return []byte{0x17, 0, 0, 0, 0, 1, 0x42, 0, 0x1f, byte(i)} }

// testVideo is a frame that names its rendition and its number; bit 5 of the NAL unit's head says that others refer to it.
func testVideo(i, n, size int, key, discardable bool) rtmpchunk.Message {
	b := make([]byte, max(size, 16))
	b[0], b[1] = 0x27, 1
	nal := byte(0x61)
	switch {
	case key:
		b[0], nal = 0x17, 0x65
	case discardable:
		nal = 0x01
	}
	binary.BigEndian.PutUint32(b[5:], uint32(len(b)-9))
	b[9], b[10], b[11] = nal, byte(i), byte(n)
	return rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(n) * uint32(testFrame/time.Millisecond), Payload: b}
}

func (c *camera) feed(i int, m rtmpchunk.Message) {
	c.l.push(c.now, c.up, i, m)
	c.take()
}

func (c *camera) take() {
	c.got = append(c.got, c.l.out...)
	c.changes = append(c.changes, c.l.changes...)
	c.l.out, c.l.changes = nil, nil
}

// run feeds so much of the source.
func (c *camera) run(d time.Duration) {
	for end := c.now.Add(d); c.now.Before(end); c.now = c.now.Add(testFrame) {
		n := c.frame
		c.frame++
		for len(c.late) > 0 && !c.late[0].at.After(c.now) {
			c.feed(c.late[0].i, c.late[0].m)
			c.late = c.late[1:]
		}
		for i, size := range c.rates {
			if c.missing[i] {
				continue
			}
			m := testVideo(i, n, size, n%testGOP == 0, c.bframes && n%2 == 1)
			a := rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: m.Timestamp, Payload: make([]byte, 160)}
			a.Payload[0], a.Payload[1] = 0xaf, 1
			if c.skew[i] > 0 {
				c.late = append(c.late, fed{c.now.Add(c.skew[i]), i, m})
			} else {
				c.feed(i, m)
			}
			c.feed(i, a)
		}
	}
}

// check fails unless what came out can be decoded: renditions change at key frames only, after the configuration, no frame is missing that
// a later one of its GOP refers to, timestamps never go back, and there is one audio.
func (c *camera) check() {
	c.t.Helper()
	config, present, next := -1, -1, -1
	video, audio := int64(-1), int64(-1)
	for k, m := range c.got {
		info := rtmpchunk.Classify(m)
		switch {
		case m.Type == rtmpchunk.TypeVideo && info.Record:
			config = int(m.Payload[9])
		case m.Type == rtmpchunk.TypeVideo:
			i, n := int(m.Payload[10]), int(m.Timestamp)/int(testFrame/time.Millisecond)
			if int64(m.Timestamp) <= video {
				c.t.Fatalf("message %d: video at %d ms after %d ms", k, m.Timestamp, video)
			}
			video = int64(m.Timestamp)
			if info.Key {
				present, next = i, n
			}
			switch {
			case i != present:
				c.t.Fatalf("message %d: frame %d is of rendition %d, the GOP of %d", k, n, i, present)
			case i != config:
				c.t.Fatalf("message %d: frame %d of rendition %d after the configuration of %d", k, n, i, config)
			case n != next && !(c.bframes && n == next+1 && n%2 == 0):
				c.t.Fatalf("message %d: frame %d where %d should be", k, n, next)
			}
			next = n + 1
		case m.Type == rtmpchunk.TypeAudio && !info.Record:
			if int64(m.Timestamp) <= audio {
				c.t.Fatalf("message %d: audio at %d ms after %d ms", k, m.Timestamp, audio)
			}
			audio = int64(m.Timestamp)
		}
	}
}

// frames counts frames of video.
func (c *camera) frames() (n int) {
	for _, m := range c.got {
		if m.Type == rtmpchunk.TypeVideo && !rtmpchunk.Classify(m).Record {
			n++
		}
	}
	return n
}

// path lists the renditions that went out, one after the other.
func (c *camera) path() (list []int) {
	for _, m := range c.got {
		if m.Type == rtmpchunk.TypeVideo && !rtmpchunk.Classify(m).Record {
			if i := int(m.Payload[10]); len(list) == 0 || list[len(list)-1] != i {
				list = append(list, i)
			}
		}
	}
	return list
}

func (c *camera) wantPath(want ...int) {
	c.t.Helper()
	got := c.path()
	if len(got) != len(want) {
		c.t.Fatalf("renditions went out like %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			c.t.Fatalf("renditions went out like %v, want %v", got, want)
		}
	}
}

// It begins with the middle one, goes up when the network has shown for two seconds that there is room, down when there is not, and
// not a frame is lost on the way.
func TestLadderUpAndDown(t *testing.T) {
	c := newCamera(t)
	c.run(4 * time.Second)
	c.wantPath(1) // nothing is known yet
	c.up.Known = true
	c.run(1 * time.Second)
	c.up.Bitrate = 720_000 // not 1.15 × 632
	c.run(7 * time.Second)
	c.wantPath(1)
	c.up.Bitrate = 1_000_000
	c.run(2 * time.Second)
	c.wantPath(1) // since before the key frame, but not for two seconds
	c.run(2 * time.Second)
	c.wantPath(1, 2)
	c.up.Bitrate = 300_000
	c.run(3 * time.Second)
	c.wantPath(1, 2, 0)
	c.check()
	if c.frames() != c.frame || c.l.leftOut != 0 {
		t.Errorf("%d frames of %d went out, %d left out", c.frames(), c.frame, c.l.leftOut)
	}
	if len(c.changes) != 2 || c.changes[1].from != 2 || c.changes[1].to != 0 || c.changes[1].then != 200_000 || c.changes[1].target != 300_000 {
		t.Errorf("changes %+v", c.changes)
	}
}

func TestLadderBegins(t *testing.T) {
	for _, test := range []struct {
		name   string
		target int64
		want   int
	}{{"with the middle one", 5_000_000, 1}, {"lower if the start asks for it", 350_000, 0}, {"with the lowest if nothing fits", 100_000, 0}} {
		c := newCamera(t)
		c.up.Bitrate = test.target
		c.run(time.Second)
		if got := c.path(); len(got) != 1 || got[0] != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
		c.check()
	}
}

// A target that falls for a moment, as it does behind every key frame, changes nothing; one that goes up and down for ever makes
// fewer and fewer mistakes.
func TestLadderFlapping(t *testing.T) {
	c := newCamera(t)
	c.up.Known = true
	for range 20 {
		c.up.Bitrate = 2_000_000
		c.run(600 * time.Millisecond)
		c.up.Bitrate = 100_000
		c.run(400 * time.Millisecond)
	}
	c.wantPath(1, 2)
	c.check()

	c = newCamera(t)
	c.up.Known = true
	for range 30 { // the second half of a minute must be calmer than the first
		if c.up.Bitrate = 1_000_000; c.l.cur == 2 {
			c.up.Bitrate = 600_000 // the highest was too much
		}
		c.run(4 * time.Second)
	}
	c.check()
	if n := len(c.changes); n < 4 || n > 12 {
		t.Errorf("%d changes in two minutes", n)
	}
}

// A target that follows what is sent, and so never reaches the next rendition, is taken for an open road after a while; a mistake is
// made less and less often.
func TestLadderOpenRoad(t *testing.T) {
	c := newCamera(t)
	c.l.cur, c.rates = 0, []int{1000, 4000, 20000}
	c.l.rungs[1].declared, c.l.rungs[2].declared = 800_000, 4_000_000
	c.up = Uplink{Bitrate: 420_000, Known: true}
	c.run(5 * time.Second)
	c.wantPath(0, 1)
	c.up.Bitrate = 1_500_000
	c.run(6 * time.Second)
	c.wantPath(0, 1, 2)
	for range 15 { // there is a limit
		if c.up.Bitrate = 1_500_000; c.l.cur == 2 {
			c.up.Bitrate = 1_000_000
		}
		c.run(4 * time.Second)
	}
	c.check()
	if n := len(c.changes); n < 4 || n > 9 {
		t.Errorf("%d changes in a minute", n)
	}
}

// The renditions of a live encoder do not come at the same instant.
func TestLadderSkew(t *testing.T) {
	for late := range 3 {
		c := newCamera(t)
		c.skew[late] = 120 * time.Millisecond
		c.up.Known = true
		c.run(16 * time.Second)
		c.up.Bitrate = 300_000
		c.run(6 * time.Second)
		c.up.Bitrate = 2_000_000
		c.run(6 * time.Second)
		c.wantPath(1, 2, 0, 2)
		c.check()
		if lost := c.frame - c.frames(); lost > 3 { // those of the late one are still to come
			t.Errorf("rendition %d late: %d frames lost", late, lost)
		}
	}
}

// One that never comes, or comes no more, is never waited for long.
func TestLadderMissing(t *testing.T) {
	c := newCamera(t)
	c.missing[1] = true // the one to begin with
	c.up.Known = true
	c.run(10 * time.Second)
	c.wantPath(0, 2)
	c.check()

	c = newCamera(t)
	c.up.Known = true
	c.run(7 * time.Second)
	c.missing[2] = true // in mid-GOP, without a word
	c.run(7 * time.Second)
	c.wantPath(1, 2, 1)
	c.check()
	if lost := c.frame - c.frames(); lost > 4*testGOP/2+1 {
		t.Errorf("%d frames lost", lost)
	}

	c = newCamera(t)
	c.up.Known = true
	c.run(7 * time.Second)
	for i := range 3 { // the highest ends first, then all
		c.missing[2-i] = true
		c.l.end(2 - i)
		c.take()
		c.run(4 * time.Second)
	}
	c.wantPath(1, 2, 1, 0)
	c.check()
}

// A rendition whose key frames are elsewhere is not shown in mid-GOP.
func TestLadderMisaligned(t *testing.T) {
	c := newCamera(t)
	c.up.Known = true
	for n := range 600 {
		c.frame++
		for i, size := range c.rates {
			c.feed(i, testVideo(i, n, size, (n+7*i)%testGOP == 0 || n == 0, false))
		}
		c.now = c.now.Add(testFrame)
		if n == 300 {
			c.up.Bitrate = 300_000
		}
	}
	c.check()
	if path := c.path(); path[len(path)-1] != 0 || c.frames() != c.frame {
		c.t.Errorf("%v, %d frames of %d", path, c.frames(), c.frame)
	}
}

// When the lowest is too much, what no frame refers to goes first, then tails of GOPs; what goes out still decodes, and what does not
// is counted.
func TestLadderThins(t *testing.T) {
	for _, test := range []struct {
		name    string
		bframes bool
		rate    int64
		queue   time.Duration // at most, of what goes out
		least   int           // percent of frames
	}{{"frames that none refers to", true, 150_000, 600 * time.Millisecond, 45}, {"tails", false, 120_000, 900 * time.Millisecond, 25}} {
		c := newCamera(t)
		c.rates, c.bframes = []int{1000}, test.bframes
		c.l = newLadder([]int64{200_000}, time.Second)
		c.feed(0, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: testConfig(0)})
		c.got = nil
		c.feed(0, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Payload: testConfig(0)})
		c.up = Uplink{Bitrate: test.rate, Known: true}
		queued, worst := 0.0, 0.0
		for range 500 {
			before := len(c.got)
			c.run(testFrame)
			for _, m := range c.got[before:] {
				queued += float64(len(m.Payload))
			}
			queued = max(0, queued-float64(test.rate)/8*testFrame.Seconds())
			c.up.Waiting = int(queued)
			worst = max(worst, queued*8/float64(test.rate))
		}
		c.got = append([]rtmpchunk.Message{{Type: rtmpchunk.TypeVideo, Payload: testConfig(0)}}, c.got...)
		c.check()
		if n := c.frames(); n+int(c.l.leftOut) != c.frame || n*100 < test.least*c.frame || n*100 > 95*c.frame {
			t.Errorf("%s: %d frames of %d went out, %d left out", test.name, n, c.frame, c.l.leftOut)
		}
		if worst > test.queue.Seconds() {
			t.Errorf("%s: %.2f s of media waited", test.name, worst)
		}
	}
}

// Whatever the network and the encoders do, what goes out can be decoded.
func TestLadderRandom(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := newCamera(t)
		c.up.Known = true
		for i := range c.skew {
			c.skew[i] = time.Duration(max(0, r.IntN(10)-5)) * testFrame
		}
		for range 30 {
			c.up.Bitrate = 100_000 + r.Int64N(1_500_000)
			c.up.Waiting = max(0, r.IntN(200_000)-100_000)
			if r.IntN(8) == 0 {
				c.l.end(r.IntN(3))
				c.take()
			}
			c.run(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		c.check()
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

// An encoder that repeats its configuration before each key frame, and changes it, always gets the newest one before a frame.
func TestLadderConfigurations(t *testing.T) {
	c := newCamera(t)
	c.up.Known = true
	latest := [3]byte{}
	for n := range 900 {
		for i, size := range c.rates {
			if n%testGOP == 0 {
				config := testConfig(i)
				latest[i] = byte(n / testGOP)
				config[6] = latest[i]
				c.feed(i, rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: uint32(n * 40), Payload: config})
			}
			c.feed(i, testVideo(i, n, size, n%testGOP == 0, false))
		}
		if n == 450 {
			c.up.Bitrate = 300_000
		}
		c.now = c.now.Add(testFrame)
	}
	c.wantPath(1, 2, 0)
	c.check()
	version := -1
	for _, m := range c.got {
		switch info := rtmpchunk.Classify(m); {
		case m.Type != rtmpchunk.TypeVideo:
		case info.Record:
			version = int(m.Payload[6])
		default:
			if gop := int(m.Timestamp) / 40 / testGOP; gop > 0 && version != gop {
				t.Fatalf("frame at %d ms after configuration %d, want %d", m.Timestamp, version, gop)
			}
		}
	}
}

// The bitrate is measured over whole GOPs, whatever was declared.
func TestMediaRate(t *testing.T) {
	var r mediaRate
	at := uint32(0xffff_f000) // it wraps
	for n := range 500 {
		size := 500
		if n%testGOP == 0 {
			size = 20_000
		}
		r.add(at, size, n%testGOP == 0)
		at += 40
		if v := r.value(); n > testGOP && v != (20_000+49*500)*8/2 {
			t.Fatalf("frame %d: %d bit/s", n, v)
		}
	}
	if r.length > rateWindow+2*time.Second {
		t.Errorf("measured over %v", r.length)
	}
	r.add(at+3_600_000, 1, true) // a jump
	if v := r.value(); v != (20_000+49*500)*8/2 {
		t.Errorf("after a jump %d bit/s", v)
	}
}

// A target that was higher half a second ago counts as that.
func TestSteady(t *testing.T) {
	var s steady
	now := time.Unix(1000, 0)
	at := func(ms int) time.Time { return now.Add(time.Duration(ms) * time.Millisecond) }
	s.set(at(0), 1000)
	s.set(at(100), 300)
	s.set(at(200), 600)
	s.set(at(300), 100)
	for _, test := range []struct {
		at   int
		want int64
	}{{300, 1000}, {599, 1000}, {600, 600}, {799, 600}, {800, 100}, {5000, 100}} {
		if got := s.at(at(test.at)); got != test.want {
			t.Errorf("at %d ms: %d, want %d", test.at, got, test.want)
		}
	}
	s.set(at(5001), 200)
	if got := s.at(at(5001)); got != 200 || len(s.past) != 0 {
		t.Errorf("risen: %d, %v", got, s.past)
	}
}
