package bench

import (
	"fmt"
	"slices"
	"time"

	"duet/rtmpchunk"
)

// reportSharing is about who has how much of the forward bottleneck.
func (r *rmcatRun) reportSharing(out *RmcatReport) {
	passed := r.d.necks[forward].passed
	for _, s := range r.fair {
		var shares []float64
		for _, m := range r.media {
			shares = append(shares, passedBits(passed, s, func(flow int) bool { return flow == m.number }))
		}
		out.Figures = append(out.Figures, RmcatFigure{
			Name: figureJain, Note: fmt.Sprintf("%.0f to %.0f s", s.from.Seconds(), s.to.Seconds()), Value: jain(shares),
		})
	}
	if len(r.tcp) > 0 {
		media := passedBits(passed, span{0, r.length}, func(flow int) bool {
			return slices.ContainsFunc(r.media, func(m *mediaFlow) bool { return m.number == flow })
		})
		out.Figures = append(out.Figures, RmcatFigure{Name: figureShare, Note: "of media, of the link", Value: media / capacityBits(r.capacity[forward], span{0, r.length})})
	}
	for i, f := range r.rmcatCase.media {
		if f.pause.to == 0 {
			continue
		}
		m := r.media[i]
		own := slices.DeleteFunc(slices.Clone(passed), func(p passage) bool { return p.flow != m.number })
		s := span{f.pause.to, r.length}
		share := r.capacity[forward][0]
		share.rate /= int64(len(r.media))
		took, ok := rise(own, []step{share}, s)
		out.Figures = append(out.Figures, RmcatFigure{Name: "resume", Note: fmt.Sprintf("at %.0f s", s.from.Seconds()), Unit: "ms", Value: milliseconds(took), Never: !ok})
	}
}

func (r *rmcatRun) reportMedia(m *mediaFlow, n int) RmcatFlow {
	var delays []time.Duration
	var count, onTime [2]int
	bytes := 0
	end := r.d.zero.Add(r.length - m.deadline)
	for i := range m.frames {
		f := &m.frames[i]
		whole := f.left == 0
		if whole {
			bytes += f.size
		}
		if f.captured.After(end) {
			continue // the run ends before its deadline
		}
		took := f.whole.Sub(f.captured)
		count[f.kind]++
		if whole && took <= m.deadline {
			onTime[f.kind]++
		}
		if whole && f.kind == rtmpchunk.Video {
			delays = append(delays, took)
		}
	}
	passed, active := r.d.necks[m.dir].passed, span{m.start, r.length}
	seconds := (active.to - active.from).Seconds()
	return RmcatFlow{
		Name: fmt.Sprintf("media %d", n), Backward: m.dir == backward, Seconds: bins(passed, m.number, r.length),
		Rate: passedBits(passed, active, func(flow int) bool { return flow == m.number }) / 1000 / seconds,
		Media: &RmcatMedia{
			Goodput: float64(bytes) * 8 / 1000 / seconds, Frames: count[rtmpchunk.Video],
			OnTime:      ratio(onTime[rtmpchunk.Video], count[rtmpchunk.Video]),
			AudioOnTime: ratio(onTime[rtmpchunk.Audio], count[rtmpchunk.Audio]),
			Deadline:    milliseconds(m.deadline), Delay: quantiles(delays), Refused: m.refused,
		},
	}
}

func (r *rmcatRun) reportTCP(f *tcpFlow, n int) RmcatFlow {
	out := RmcatFlow{Name: fmt.Sprintf("tcp %d", n), Seconds: bins(r.d.necks[forward].passed, f.number, r.length)}
	out.Rate = passedBits(r.d.necks[forward].passed, span{0, r.length}, func(flow int) bool { return flow == f.number }) / 1000 / r.length.Seconds()
	if len(f.took) > 0 {
		out.Transfers = &RmcatTransfers{Files: len(f.took), Took: quantiles(f.took)}
	}
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func joinWords(a, b string) string {
	if a == "" {
		return b
	}
	return a + " " + b
}
