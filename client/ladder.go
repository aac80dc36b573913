package client

import (
	"bytes"
	"time"

	"duet/rtmpchunk"
)

const (
	// upShare is how much more than a rendition's bitrate the target must be before it is taken: bitrates vary from one GOP to the next,
	// and repairs of a loss that begins then want room too.
	upShare = 1.15
	// upHold is for how long. A wrong step up costs a GOP that does not arrive in time, a late one only some sharpness; and within two
	// seconds a target that has just begun to rise has met its limit, or has not.
	upHold    = 2 * time.Second
	maxUpHold = 60 * time.Second
	// openShare: nobody knows of more room than twice what is sent. A target that is so near to that for twice as long as upHold may have no
	// limit at all, and the next rendition is tried, even if it is more than the target: or a ladder with steps of more than
	// 2 / 1.15 could never be climbed.
	openShare = 1.7
	// proven: a rendition that had to be left sooner after it was taken was a mistake, and is held off twice as long the next time.
	proven = 10 * time.Second

	// switchWait and maxHeld bound what is held about a switch: how long, by the clock, and how many bytes.
	switchWait = 200 * time.Millisecond
	maxHeld    = 8 << 20

	maxCost = 1 << 50 // bit/s

	// Of the delay budget: with so much waiting, frames that no other refers to are left out, and the rest of the GOP.
	thinShare = 0.25
	tailShare = 0.75
)

// ladder chooses what goes out of several renditions of one source, numbered from the lowest bitrate to the highest: messages and
// what is known of the network in, messages out. Time is handed in.
//
//	                key frame at T of any rendition: decide
//	   ┌────────────────────────────────────────────────────────┐
//	   ▼                                                        │
//	present ── another one is wanted ──▶ pending ── key frame at T of the wanted one, and the present one is past T ──▶ present'
//	   ▲                                    │
//	   └── the wanted one has none, or is too late: as if nothing had been ──┘
//
// While a switch is pending, frames from T on are held, of both renditions.
type ladder struct {
	budget time.Duration
	rungs  []rung
	cur    int  // the rendition that goes out
	begun  bool // with video
	audio  int  // the rendition whose audio goes out, -1 none yet
	sound  mediaRate
	recent steady
	target int64 // the highest of recent times
	up     Uplink
	known  bool // the network has shown once what it carries

	openSince time.Time // since when the target has been openShare times the present rendition; zero: it is not

	boundary  uint32 // timestamp of the newest decision
	lastVideo uint32 // and of what went out
	lastAudio uint32
	heard     bool   // audio went out
	metadata  []byte // that went out last
	pending   pending
	tail      bool // the rest of this GOP is left out

	out     []rtmpchunk.Message // to be sent, for the caller to take
	changes []change            // likewise
	leftOut uint64              // frames, likewise
}

// pending is a switch that has been decided.
type pending struct {
	on     bool
	to     int
	at     uint32 // the timestamp
	since  time.Time
	found  bool   // its key frame is there
	passed bool   // the present one has no more from before
	stay   []held // of the present one
	over   []held // of the other
	bytes  int
}

// held is a message of video that waits for a switch.
type held struct {
	m    rtmpchunk.Message
	info rtmpchunk.Info
}

// change is a switch that was made.
type change struct {
	from, to     int
	before, then int64 // bitrates, of video
	target       int64
	sizes        [2][2]int
}

func newLadder(bitrates []int64, budget time.Duration) *ladder {
	l := &ladder{budget: budget, audio: -1}
	for _, bps := range bitrates {
		l.rungs = append(l.rungs, rung{declared: max(0, bps), hold: upHold})
	}
	return l
}

// push takes the next message of a rendition.
func (l *ladder) push(now time.Time, up Uplink, i int, m rtmpchunk.Message) {
	l.look(now, up)
	info, r := rtmpchunk.Classify(m), &l.rungs[i]
	switch {
	case r.ended:
	case info.Record:
		l.record(i, m, info)
	case m.Type == rtmpchunk.TypeAudio:
		l.hear(i, m)
	default:
		l.see(now, i, m, info)
	}
	if p := &l.pending; p.on && (now.Sub(p.since) > switchWait || p.bytes > maxHeld) {
		l.resolve(p.found)
	}
}

// end says that a rendition has no more.
func (l *ladder) end(i int) {
	l.rungs[i].ended = true
	if i == l.audio {
		l.audio = -1 // another one's may go on
	}
	p := &l.pending
	if p.on && i == l.cur {
		p.passed = true
	}
	switch {
	case !p.on:
	case i == p.to && !p.found:
		l.resolve(false)
	case p.found && p.passed:
		l.resolve(true)
	}
}

// look takes what is known of the network.
func (l *ladder) look(now time.Time, up Uplink) {
	l.up, l.known = up, l.known || up.Known
	l.recent.set(now, up.Bitrate)
	l.target = l.recent.at(now)
	for i := range l.rungs {
		switch r := &l.rungs[i]; {
		case !l.known || float64(l.target) < upShare*float64(l.cost(i)):
			r.fitsSince = time.Time{}
		case r.fitsSince.IsZero():
			r.fitsSince = now
		}
	}
	switch {
	case !l.known || float64(l.target) < openShare*float64(l.cost(l.cur)):
		l.openSince = time.Time{}
	case l.openSince.IsZero():
		l.openSince = now
	}
	if r := &l.rungs[l.cur]; !r.takenAt.IsZero() && now.Sub(r.takenAt) >= proven {
		r.takenAt, r.hold = time.Time{}, upHold
	}
}

// cost is what a rendition takes of the target: more than there can be while nothing is known of it, but for the lowest, which
// must do.
func (l *ladder) cost(i int) int64 {
	v := l.rungs[i].bitrate()
	if v == 0 && i > 0 {
		return maxCost
	}
	return v + l.sound.value()
}

// record takes what is no frame.
func (l *ladder) record(i int, m rtmpchunk.Message, info rtmpchunk.Info) {
	r := &l.rungs[i]
	if info.Slot != rtmpchunk.SlotNone {
		if p := &l.pending; p.on && m.Type != rtmpchunk.TypeAudio && (i == p.to && p.found || i == l.cur && !before(m.Timestamp, p.at)) {
			l.hold(i, held{m, info}) // it belongs to the frames that are held
			return
		}
		r.keep(info.Slot, m)
	}
	switch {
	case m.Type == rtmpchunk.TypeAudio:
		if i == l.audio {
			l.emit(m)
		}
	case i == l.cur && l.begun:
		if info.Slot == rtmpchunk.SlotMetadata {
			l.metadata = r.records[info.Slot].Payload
		}
		l.emit(m)
	}
}

// hear takes a frame of audio, which goes out from the first rendition that has any.
func (l *ladder) hear(i int, m rtmpchunk.Message) {
	if l.audio < 0 && (!l.heard || before(l.lastAudio, m.Timestamp)) {
		l.audio = i
		l.sound = mediaRate{}
		if !l.begun {
			l.describe(i, m.Timestamp)
		}
		for _, slot := range []rtmpchunk.Slot{rtmpchunk.SlotAudioConfig, rtmpchunk.SlotAudioMetadata} {
			l.again(i, slot, m.Timestamp)
		}
	}
	if i != l.audio {
		return
	}
	l.sound.add(m.Timestamp, len(m.Payload), true)
	l.heard, l.lastAudio = true, m.Timestamp
	l.emit(m)
}

// describe sends a rendition's metadata unless that went out last.
func (l *ladder) describe(i int, at uint32) {
	if m := l.rungs[i].records[rtmpchunk.SlotMetadata]; m != nil && (l.metadata == nil || !bytes.Equal(m.Payload, l.metadata)) {
		l.metadata = m.Payload
		l.again(i, rtmpchunk.SlotMetadata, at)
	}
}

// again sends a record that was kept, as of a timestamp: what goes out never jumps back.
func (l *ladder) again(i int, slot rtmpchunk.Slot, at uint32) {
	if m := l.rungs[i].records[slot]; m != nil {
		l.emit(rtmpchunk.Message{Type: m.Type, Timestamp: at, Payload: m.Payload})
	}
}

func (l *ladder) emit(m rtmpchunk.Message) { l.out = append(l.out, m) }

// see takes a frame of video.
func (l *ladder) see(now time.Time, i int, m rtmpchunk.Message, info rtmpchunk.Info) {
	r := &l.rungs[i]
	r.rate.add(m.Timestamp, len(m.Payload), info.Key)
	r.latest, r.seen = m.Timestamp, r.seen || info.Key
	if info.Key && (!l.begun && !l.pending.on || l.begun && before(l.boundary, m.Timestamp) && before(l.lastVideo, m.Timestamp)) {
		l.decide(now, i, m.Timestamp)
	}
	p := &l.pending
	switch {
	case !p.on:
		if i == l.cur && l.begun {
			l.show(m, info)
		}
		return
	case i == p.to && !p.found:
		if p.found = info.Key && m.Timestamp == p.at; p.found {
			l.hold(i, held{m, info})
		} else if !before(m.Timestamp, p.at) {
			l.resolve(false) // it has no key frame here
			return
		}
	case i == p.to:
		l.hold(i, held{m, info})
	case i == l.cur && before(m.Timestamp, p.at):
		l.show(m, info)
	case i == l.cur:
		p.passed = true
		l.hold(i, held{m, info})
	}
	if p.found && p.passed {
		l.resolve(true)
	}
}

// decide chooses at a key frame of rendition i.
func (l *ladder) decide(now time.Time, i int, at uint32) {
	if l.pending.on {
		l.resolve(l.pending.found)
	}
	l.boundary = at
	if !l.begun {
		l.cur = i // unless the wanted one comes
		if to := l.first(); to != i {
			l.pending = pending{on: true, to: to, at: at, since: now, passed: true}
			return
		}
		l.begin(at)
		return
	}
	if to := l.want(now, at); to != l.cur {
		l.pending = pending{on: true, to: to, at: at, since: now, passed: !l.rungs[l.cur].usable(at)}
	}
}

// first is the rendition to begin with: the middle one, or a lower one if that is more than the target is at the start. Above the middle
// there is most to lose while nothing is known: the first picture would come late, or broken. The lowest would show a
// blurred face to everybody, for the sake of few.
func (l *ladder) first() int {
	i := (len(l.rungs) - 1) / 2
	for i > 0 && l.cost(i) > l.up.Bitrate {
		i--
	}
	return i
}

// want is the rendition that should go on at a timestamp.
func (l *ladder) want(now time.Time, at uint32) int {
	fits, lowest := -1, -1
	for i := range l.rungs {
		if !l.rungs[i].usable(at) {
			continue
		}
		if lowest < 0 {
			lowest = i
		}
		if l.cost(i) <= l.target {
			fits = i
		}
	}
	switch {
	case lowest < 0:
		return l.cur
	case fits < 0:
		fits = lowest
	}
	switch {
	case !l.rungs[l.cur].usable(at):
		return fits
	case l.target < l.cost(l.cur):
		return min(fits, l.cur)
	}
	for i := len(l.rungs) - 1; i > l.cur; i-- {
		if r := &l.rungs[i]; r.usable(at) && !r.fitsSince.IsZero() && now.Sub(r.fitsSince) >= r.hold {
			return i
		}
	}
	for i := l.cur + 1; i < len(l.rungs); i++ {
		if r := &l.rungs[i]; r.usable(at) {
			if !l.openSince.IsZero() && now.Sub(l.openSince) >= 2*r.hold {
				return i
			}
			break
		}
	}
	return l.cur
}

// hold keeps a message of video until the switch is made or not.
func (l *ladder) hold(i int, h held) {
	p := &l.pending
	h.m.Payload = bytes.Clone(h.m.Payload)
	p.bytes += len(h.m.Payload)
	if i == p.to {
		p.over = append(p.over, h)
	} else {
		p.stay = append(p.stay, h)
	}
}

// resolve makes the pending switch, or leaves things as they were, and lets the frames go that were held.
func (l *ladder) resolve(made bool) {
	p := l.pending
	l.pending = pending{}
	list, from, rest, other := p.stay, l.cur, p.over, p.to
	if made {
		list, l.cur, rest, other = p.over, p.to, p.stay, l.cur
	}
	for _, h := range rest {
		if h.info.Record {
			l.rungs[other].keep(h.info.Slot, h.m) // for when it goes out again
		}
	}
	switch {
	case !l.begun:
		l.begin(p.at)
	case made:
		l.changed(p.since, from)
		l.begin(p.at)
	}
	for _, h := range list {
		if h.info.Record {
			l.record(l.cur, h.m, h.info)
		} else {
			l.show(h.m, h.info)
		}
	}
}

// begin sends what a decoder must know before the present rendition's key frame.
func (l *ladder) begin(at uint32) {
	l.begun, l.tail = true, false
	l.describe(l.cur, at)
	for _, slot := range []rtmpchunk.Slot{rtmpchunk.SlotVideoMetadata, rtmpchunk.SlotVideoConfig} {
		l.again(l.cur, slot, at)
	}
}

// changed notes a switch.
func (l *ladder) changed(now time.Time, from int) {
	a, b := &l.rungs[from], &l.rungs[l.cur]
	l.openSince = time.Time{}
	if l.cur > from {
		b.takenAt = now
	} else if !a.takenAt.IsZero() {
		a.hold, a.takenAt = min(2*a.hold, maxUpHold), time.Time{}
	}
	l.changes = append(l.changes, change{from: from, to: l.cur, before: a.bitrate(), then: b.bitrate(), target: l.target, sizes: [2][2]int{a.size, b.size}})
}

// show sends a frame of the present rendition, or leaves it out: when the target is less than the rendition and too much waits.
// Key frames go in any case. What is left out here would be given up later, somewhere in the middle of what others refer to.
func (l *ladder) show(m rtmpchunk.Message, info rtmpchunk.Info) {
	waiting := time.Duration(l.up.Waiting) * bitsPerByte * time.Second / time.Duration(max(l.target, leastBitrate))
	short := l.target < l.cost(l.cur)
	switch {
	case info.Key:
		l.tail = false
	case short && waiting > time.Duration(tailShare*float64(l.budget)):
		l.tail = true
	}
	if l.tail || short && info.Discardable && waiting > time.Duration(thinShare*float64(l.budget)) {
		l.leftOut++
		return
	}
	l.lastVideo = m.Timestamp
	l.emit(m)
}
