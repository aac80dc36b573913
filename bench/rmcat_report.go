package bench

import (
	"fmt"
	"time"
)

// Names of the figures that may have a bound.
const (
	figureUtilisation  = "utilisation"
	figureQueueOutside = "queue p95 but after drops"
	figureRecovery     = "recovery"
	figureRise         = "rise"
	figureJain         = "jain"
	figureShare        = "share"
)

// RmcatFigure is one measure of a case.
type RmcatFigure struct {
	Name  string   `json:"name"`
	Note  string   `json:"note,omitempty"` // which change, direction or flow
	Value float64  `json:"value"`
	Unit  string   `json:"unit,omitempty"`
	Min   *float64 `json:"min,omitempty"`
	Max   *float64 `json:"max,omitempty"`
	Never bool     `json:"never,omitempty"` // what was waited for did not happen: Value is how long it was waited for
}

// OK reports whether the figure keeps to its bounds.
func (f *RmcatFigure) OK() bool {
	bounded := f.Min != nil || f.Max != nil
	return (f.Min == nil || f.Value >= *f.Min) && (f.Max == nil || f.Value <= *f.Max) && !(bounded && f.Never)
}

// RmcatFlow is what came of one flow.
type RmcatFlow struct {
	Name      string          `json:"name"`
	Backward  bool            `json:"backward,omitempty"`
	Rate      float64         `json:"kbps"`           // at the bottleneck, from the flow's beginning on
	Seconds   []float64       `json:"kbps_by_second"` // at the bottleneck
	Media     *RmcatMedia     `json:"media,omitempty"`
	Transfers *RmcatTransfers `json:"transfers,omitempty"` // of a sequence of short TCP flows
}

// RmcatMedia is what arrived of a media flow.
type RmcatMedia struct {
	Goodput     float64   `json:"goodput_kbps"` // messages that came whole
	Frames      int       `json:"frames"`       // of video
	OnTime      float64   `json:"on_time_ratio"`
	AudioOnTime float64   `json:"audio_on_time_ratio"`
	Deadline    float64   `json:"deadline_ms"` // the path's round trip without queue and jitter, and 200 ms
	Delay       Quantiles `json:"delay_ms"`    // capture to video frame whole
	Refused     int       `json:"refused"`     // packets for which the session's queue had no room
}

// RmcatTransfers is what became of the files of short TCP flows.
type RmcatTransfers struct {
	Files int       `json:"files"`
	Took  Quantiles `json:"took_ms"`
}

// RmcatDirection is what happened at one bottleneck.
type RmcatDirection struct {
	Capacity []float64 `json:"capacity_kbps_by_second"`
	Used     []float64 `json:"kbps_by_second"`
	Queue    []float64 `json:"queue_p95_ms_by_second"`
	Dropped  int       `json:"dropped"`
}

// RmcatReport is what came of a case.
type RmcatReport struct {
	Case       string           `json:"case"`
	Title      string           `json:"title"`
	Seed       uint64           `json:"seed"`
	Loss       float64          `json:"loss"`
	JitterMS   float64          `json:"jitter_ms"`
	Seconds    float64          `json:"seconds"`
	OK         bool             `json:"ok"`
	Figures    []RmcatFigure    `json:"figures"`
	Flows      []RmcatFlow      `json:"flows"`
	Directions []RmcatDirection `json:"directions"` // forward and, if it has a bottleneck, backward
}

func (r *rmcatRun) report() *RmcatReport {
	out := &RmcatReport{
		Case: r.id, Title: r.title, Seed: r.seed, Loss: r.loss, JitterMS: milliseconds(r.jitter), Seconds: r.length.Seconds(),
	}
	for dir := range r.d.necks {
		if len(r.capacity[dir]) > 0 {
			r.reportDirection(out, direction(dir))
		}
	}
	r.reportSharing(out)
	for i, m := range r.media {
		out.Flows = append(out.Flows, r.reportMedia(m, i+1))
	}
	for i, f := range r.tcp {
		out.Flows = append(out.Flows, r.reportTCP(f, i+1))
	}
	r.judge(out)
	return out
}

// judge sets the bounds that the case has.
func (r *rmcatRun) judge(out *RmcatReport) {
	out.OK = true
	for i := range out.Figures {
		f := &out.Figures[i]
		for _, b := range r.bounds {
			if b.figure != f.Name {
				continue
			}
			if b.min > 0 {
				f.Min = &b.min
			}
			if b.max > 0 {
				f.Max = &b.max
			}
		}
		out.OK = out.OK && f.OK()
	}
}

func (r *rmcatRun) reportDirection(out *RmcatReport, dir direction) {
	note := ""
	if len(r.capacity[backward]) > 0 {
		note = [2]string{"forward", "backward"}[dir]
	}
	n, steps := &r.d.necks[dir], r.capacity[dir]
	whole := span{0, r.length}
	add := func(name, note, unit string, value float64) {
		out.Figures = append(out.Figures, RmcatFigure{Name: name, Note: note, Unit: unit, Value: value})
	}
	event := func(name string, s span, took time.Duration, ok bool) {
		add(name, joinWords(note, fmt.Sprintf("at %.0f s", s.from.Seconds())), "ms", milliseconds(took))
		out.Figures[len(out.Figures)-1].Never = !ok
	}
	drops, rises := changes(steps, r.length)
	add(figureUtilisation, note, "", utilisation(n.passed, steps, whole))
	all := quantiles(waits(n.passed, whole, nil))
	add("queue p50", note, "ms", all.P50)
	add("queue p95", note, "ms", all.P95)
	if len(drops) > 0 {
		add(figureQueueOutside, note, "ms", quantiles(waits(n.passed, whole, drops)).P95)
	}
	for _, s := range drops {
		took, ok := recovery(n.passed, s)
		event(figureRecovery, s, took, ok)
	}
	if len(r.tcp) == 0 { // which would be what fills the link
		rises = append([]span{{0, r.length}}, rises...)
		if len(steps) > 1 {
			rises[0].to = steps[1].at
		}
	}
	for _, s := range rises {
		name := figureRise
		if s.from == 0 {
			name = "start"
		}
		took, ok := rise(n.passed, steps, s)
		event(name, s, took, ok)
	}
	d := RmcatDirection{Used: bins(n.passed, -1, r.length), Dropped: n.dropped}
	for t := time.Duration(0); t < r.length; t += time.Second {
		s := span{t, t + time.Second}
		d.Capacity = append(d.Capacity, capacityBits(steps, s)/1000)
		d.Queue = append(d.Queue, quantiles(waits(n.passed, s, nil)).P95)
	}
	out.Directions = append(out.Directions, d)
}
