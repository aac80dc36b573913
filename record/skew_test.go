package record

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"math/rand/v2"

	"duet/rtmpchunk"
)

// marked makes frames that hold when they were captured, by real time, in µs: an AAC frame every 21.3 ms and a picture every 33.3.
type marked struct {
	rec    *Recording
	stream string
	ppm    int64 // by which its clock is fast
	next   [2]int64
	rng    *rand.Rand
}

const (
	audioStep = 1024 * time.Second / 48_000
	videoStep = time.Second / 30
)

// configs are AAC at 48 kHz, and an H.264 configuration of the clip.
func (m *marked) configs(t testing.TB, begin time.Time) {
	m.rec.Frame(m.stream, Frame{Message: rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Payload: []byte{0xaf, 0, 0x11, 0x90}}, Run: 1, Captured: begin})
	for _, c := range clip(t) {
		if info := rtmpchunk.Classify(c); info.Kind == rtmpchunk.Video && info.Packet == rtmpchunk.PacketSequenceStart {
			m.rec.Frame(m.stream, Frame{Message: c, Run: 1, Captured: begin})
		}
	}
}

// send gives the recorder what is captured until a moment. The capture times that it is told jitter, as the estimate of a remote clock does.
func (m *marked) send(begin time.Time, to time.Duration, lost func(at time.Duration) bool) {
	for k, step := range [2]time.Duration{audioStep, videoStep} {
		for ; ; m.next[k]++ {
			own := time.Duration(m.next[k]) * step // by its own clock
			at := own - own*time.Duration(m.ppm)/1_000_000
			if at >= to {
				break
			}
			if lost(at) {
				continue
			}
			mark := binary.BigEndian.AppendUint64(nil, uint64(at.Microseconds()))
			msg := rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: uint32(own.Milliseconds()), Payload: append([]byte{0xaf, 1}, mark...)}
			if k == int(rtmpchunk.Video) {
				head := byte(0x27)
				if m.next[k]%60 == 0 {
					head = 0x17
				}
				msg = rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: msg.Timestamp, Payload: append([]byte{head, 1, 0, 0, 0}, mark...)}
			}
			jitter := time.Duration(m.rng.IntN(3000)) * time.Microsecond
			m.rec.Frame(m.stream, Frame{Message: msg, Run: 1, Captured: begin.Add(at + jitter)})
		}
	}
}

// After an hour of loss, with clocks that drift apart and half a minute of nothing, sound and picture of a party are together, and so are the parties.
func TestSkew(t *testing.T) {
	const lasts, outage, back = time.Hour, 30 * time.Minute, 30*time.Minute + 30*time.Second
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := New(Config{Dir: dir, Key: testKey(), Sync: SyncNever})
		if err != nil {
			t.Fatal(err)
		}
		rec, err := r.Start(Info{Call: "c1"})
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		var both [2]*marked
		for i, user := range []string{"anna", "carl"} {
			m := &marked{rec: rec, stream: "live/" + user, ppm: int64(100 - 200*i), rng: rand.New(rand.NewPCG(1, uint64(i)))}
			rec.AddStream(Stream{Name: m.stream, User: user})
			m.configs(t, begin)
			both[i] = m
		}
		for at := time.Duration(0); at < lasts; at += time.Second {
			for _, m := range both {
				m.send(begin, at+time.Second, func(at time.Duration) bool {
					return at >= outage && at < back || m.rng.IntN(10) == 0 && at > 0
				})
			}
			<-time.After(time.Second)
		}
		if err := rec.Close("hangup"); err != nil {
			t.Fatal(err)
		}
	})
	d := decode(t, dir+"/c1/"+mediaFile)
	worst := [2]time.Duration{}
	off := make([][2][]time.Duration, 2) // by party and kind: recorded minus real, second by second
	for i, user := range []string{"anna", "carl"} {
		for _, k := range []rtmpchunk.Kind{rtmpchunk.Audio, rtmpchunk.Video} {
			n := d.trackOf(t, user, k)
			off[i][k] = make([]time.Duration, int(lasts/time.Second))
			for j, b := range d.bodies[n] {
				at := time.Duration(binary.BigEndian.Uint64(b[len(b)-8:])) * time.Microsecond // behind a key frame's parameter sets
				off[i][k][int(at/time.Second)] = d.times[n][j] - at
			}
			if want := int((lasts - (back - outage)) / [2]time.Duration{audioStep, videoStep}[k] * 85 / 100); len(d.bodies[n]) < want {
				t.Fatalf("%s %s has %d samples, not %d", user, k, len(d.bodies[n]), want)
			}
			if (d.ends[n] - lasts).Abs() > 200*time.Millisecond {
				t.Errorf("%s %s ends at %v", user, k, d.ends[n])
			}
		}
	}
	for s := range int(lasts / time.Second) {
		if at := time.Duration(s) * time.Second; at >= outage-time.Second && at < back+time.Second {
			continue
		}
		for i := range off {
			worst[0] = max(worst[0], (off[i][0][s] - off[i][1][s]).Abs())
		}
		worst[1] = max(worst[1], (off[0][0][s] - off[1][0][s]).Abs(), (off[0][1][s] - off[1][1][s]).Abs())
	}
	t.Logf("sound to picture at most %v, party to party at most %v", worst[0], worst[1])
	if worst[0] > 40*time.Millisecond || worst[1] > 80*time.Millisecond {
		t.Errorf("sound to picture %v, party to party %v", worst[0], worst[1])
	}
	if _, err := Verify(dir+"/c1", VerifyOptions{Key: testPub()}); err != nil {
		t.Error(err)
	}
}
