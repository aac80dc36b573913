package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"duet/rtmpchunk"
)

// ladderSource reads several renditions of one source, in the order of their timestamps, as one encoder would make them.
type ladderSource struct {
	rungs []*ladderFile // from the lowest bitrate to the highest
	loop  bool
	pace  pace
	shift uint32 // of timestamps, in later rounds: one for all, or they would drift apart
	end   uint32 // where the next round begins, shifted
	begin uint32 // lowest timestamp of this round
}

// ladderFile is one of them, read one message ahead.
type ladderFile struct {
	*source
	info  *renditionInfo
	ahead rtmpchunk.Message
	some  bool
	over  bool // told
}

// openLadder opens the files, sees that they are renditions of one source, and puts them in order.
func openLadder(ctx context.Context, paths []string, loop bool) (*ladderSource, error) {
	infos := make([]*renditionInfo, len(paths))
	for i, path := range paths {
		var err error
		if infos[i], err = readRendition(ctx, path); err != nil {
			return nil, err
		}
	}
	if err := checkRenditions(infos); err != nil {
		return nil, err
	}
	slices.SortStableFunc(infos, func(a, b *renditionInfo) int { return cmp.Compare(a.bitrate, b.bitrate) })
	l := &ladderSource{loop: loop, begin: infos[0].first}
	for _, info := range infos {
		s, err := openSource(info.path, nil, false)
		if err != nil {
			l.close()
			return nil, err
		}
		l.rungs = append(l.rungs, &ladderFile{source: s, info: info})
		if before(info.first, l.begin) {
			l.begin = info.first
		}
	}
	return l, nil
}

// before reports whether timestamp a comes before b; they wrap.
func before(a, b uint32) bool { return int32(a-b) < 0 }

func (l *ladderSource) close() {
	for _, r := range l.rungs {
		r.close()
	}
}

// bitrates are those of the video, from the lowest to the highest.
func (l *ladderSource) bitrates() []int64 {
	list := make([]int64, len(l.rungs))
	for i, r := range l.rungs {
		list[i] = r.info.bitrate
	}
	return list
}

// next returns the next message of any rendition when its time has come, io.EOF with the number of a rendition that has no more, and
// io.EOF with -1 when none has.
func (l *ladderSource) next(ctx context.Context) (int, rtmpchunk.Message, error) {
	first := -1
	for i, r := range l.rungs {
		if err := r.fill(); err != nil {
			return -1, rtmpchunk.Message{}, err
		}
		if !r.some {
			if !r.over && !l.loop {
				r.over = true
				return i, rtmpchunk.Message{}, io.EOF
			}
			continue
		}
		if first < 0 || before(r.ahead.Timestamp, l.rungs[first].ahead.Timestamp) {
			first = i
		}
	}
	if first < 0 {
		if !l.loop {
			return -1, rtmpchunk.Message{}, io.EOF
		}
		if err := l.again(); err != nil {
			return -1, rtmpchunk.Message{}, err
		}
		return l.next(ctx)
	}
	r := l.rungs[first]
	m := r.ahead
	r.some = false
	m.Timestamp += l.shift
	if after := m.Timestamp + r.step; before(l.end, after) || l.end == 0 {
		l.end = after
	}
	return first, m, l.pace.wait(ctx, m.Timestamp)
}

// fill reads ahead.
func (r *ladderFile) fill() error {
	if r.some || r.file == nil {
		return nil
	}
	m, err := r.read()
	if errors.Is(err, io.EOF) {
		r.close()
		return nil
	}
	if err != nil {
		return err
	}
	r.ahead, r.some = m, true
	return nil
}

// again begins another round with all files.
func (l *ladderSource) again() error {
	l.shift = l.end - l.begin
	for _, r := range l.rungs {
		if err := r.open(); err != nil {
			return err
		}
	}
	return nil
}
