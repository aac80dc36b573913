package relay_test

import (
	"time"

	"duet/rtmpchunk"
)

// What the pusher says: video of mixed sizes, audio, data, and configurations that change.

// play begins the media.
func (w *world) play() {
	interval := time.Second / time.Duration(10+w.rand.IntN(21))
	size := 300 + int(w.most(4000))
	natural := 8 * (float64(size)/interval.Seconds() + float64(size*3+10_000)/w.gop.Seconds())
	frame, lastKey, lastConfig := 0, time.Time{}, [2]bool{}
	var video, audio, data func()
	again := func(d time.Duration, f func()) {
		w.net.At(d, func(time.Time) {
			if w.net.Now().Sub(w.origin) < w.plan.stop {
				f()
			}
		})
	}
	var of *caller
	config := func(typ uint8, head ...byte) {
		p := w.pusher
		body := noise(make([]byte, 5+w.rand.IntN(60)), w.rand.Uint64())
		p.push(rtmpchunk.Message{Type: typ, Timestamp: w.stamp(), Payload: stamp(append(head, body...), p.run.instance, len(p.run.sent))})
	}
	fresh := func() { // another run begins with its configurations and a key frame
		if of != w.pusher {
			of, lastKey, lastConfig = w.pusher, time.Time{}, [2]bool{}
		}
	}
	video = func() {
		fresh()
		p, now := w.pusher, w.net.Now()
		key := now.Sub(lastKey) >= w.gop-interval
		if p.wantKey && now.Sub(lastKey) > 300*time.Millisecond {
			key = true
		}
		if key && (!lastConfig[1] || w.chance(0.1)) {
			config(rtmpchunk.TypeVideo, 0x17, 0, 0, 0, 0)
			lastConfig[1] = true
		}
		n := 20 + int(float64(size)*w.rand.ExpFloat64())
		head := byte(0x27)
		switch {
		case key:
			head, lastKey, p.wantKey = 0x17, now, false
			if n = size*4 + w.rand.IntN(20_000); w.chance(0.05) && !w.healed.is {
				n = 200_000
			}
		case w.chance(0.2):
			head = 0x37
		}
		n = max(20, int(float64(min(n, 200_000))*w.squeeze(natural)))
		b := noise(make([]byte, n), w.seed<<32+uint64(frame))
		b[0], b[1], b[2], b[3], b[4] = head, 1, 0, 0, 0
		frame++
		p.push(rtmpchunk.Message{Type: rtmpchunk.TypeVideo, Timestamp: w.stamp(), Payload: b})
		again(interval, video)
	}
	audio = func() {
		fresh()
		if !lastConfig[0] || w.chance(0.003) {
			config(rtmpchunk.TypeAudio, 0xaf, 0)
			lastConfig[0] = true
		}
		n := 2 + w.rand.IntN(250)
		b := noise(make([]byte, n), w.seed<<32+uint64(frame)+1<<31)
		b[0], b[1] = 0xaf, 1
		frame++
		w.pusher.push(rtmpchunk.Message{Type: rtmpchunk.TypeAudio, Timestamp: w.stamp(), Payload: b})
		again(23*time.Millisecond, audio)
	}
	data = func() {
		name := "\x02\x00\x0aonTextData"
		if w.chance(0.3) {
			name = "\x02\x00\x0aonMetaData"
		}
		n := w.rand.IntN(2000)
		if w.chance(0.05) {
			n *= 20
		}
		config(rtmpchunk.TypeData, append([]byte(name), noise(make([]byte, n), w.rand.Uint64())...)...)
		again(w.within(200*time.Millisecond, 3*time.Second), data)
	}
	again(0, video)
	again(0, audio)
	if w.chance(0.7) {
		again(w.most(time.Second), data)
	}
}

// squeeze is what share of its natural rate in bits a second the encoder makes. It follows what it is asked for, if it is one that does.
func (w *world) squeeze(natural float64) float64 {
	a := w.pusher.current
	if !w.plan.adapts || a == nil {
		return 1
	}
	return min(1, max(0.02, float64(a.conn.Bitrate()-audioRate)/natural))
}

// audioRate is what audio and data take, in bits a second.
const audioRate = 60_000

// stamp is the present RTMP timestamp.
func (w *world) stamp() uint32 { return uint32(w.since(w.net.Now()) / time.Millisecond) }
