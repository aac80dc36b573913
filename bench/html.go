package bench

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

// reportPage is the page's template. It refers to nothing outside of itself.
//
//go:embed report.html
var reportPage string

// Limits of a page.
const (
	maxDetails = 12 // cells whose plots over time are shown
	maxGroups  = plotColours
)

// page is what the template shows.
type page struct {
	Title, Lead string
	Tiles       []tile
	Plots       []pagePlot
	Details     []pageDetail // of a sweep's cells
	Settings    [][2]string
	Head        []string
	Rows        [][]string
	Data        pageData
}

type tile struct{ Name, Value, Note string }

type pagePlot struct {
	ID          int
	Title, Note string
	SVG         template.HTML
	Legend      []legendEntry
}

type pageDetail struct {
	Name  string
	Plots []pagePlot
}

// pageData stands in the page as JSON: for its script, and for whoever wants the numbers.
type pageData struct {
	Plots []plotData `json:"plots"`
	Cells []cellData `json:"cells"`
}

type cellData struct {
	Label  string      `json:"label"`
	Report *LinkReport `json:"report"`
}

// WriteHTML writes a page about the calls of a sweep, or about one call if there are no axes, in one file that needs no other: plots of
// the calls whose report has a Series, the settings, and all results as a table and as JSON. It fails only if w does.
func WriteHTML(w io.Writer, axes []SweepAxis, cells []*SweepCell) error {
	t, err := template.New("report").Parse(reportPage)
	if err != nil {
		panic(err) // ours
	}
	p := &page{}
	if len(axes) == 0 && len(cells) == 1 {
		p.one(cells[0])
	} else {
		p.many(axes, cells)
	}
	p.table(axes, cells)
	return t.Execute(w, p)
}

// add draws a plot.
func (p *page) add(d *plot) pagePlot {
	p.Data.Plots = append(p.Data.Plots, d.data())
	return pagePlot{ID: len(p.Data.Plots) - 1, Title: d.title, Note: d.note, SVG: d.svg(), Legend: d.legend()}
}

func (p *page) one(c *SweepCell) {
	cfg, r := c.Config, c.Report
	cfg.setDefaults()
	p.Title = fmt.Sprintf("A call at %s loss, %v round trip", percent(cfg.Loss, 1), max(cfg.RTT, 0))
	over := "in virtual time"
	if r.Real {
		over = "over sockets"
	}
	hops := "both hops"
	if cfg.Hops == 1 {
		hops = "the pusher's hop"
	}
	p.Lead = fmt.Sprintf("Pusher to relay to player, %v, %s, with these links on %s. Deadline %v from capture. Calls: %d, seed %d.",
		cfg.Duration, over, hops, cfg.Deadline, r.Calls, r.Seed)
	p.Tiles = []tile{
		{"Video on time", percent(r.OnTime, 3), fmt.Sprintf("of %d frames", r.Frames)},
		{"Audio on time", percent(r.AudioOnTime, 3), fmt.Sprintf("of %d frames", r.AudioFrames)},
		{"Delay", fmt.Sprintf("%.0f ms", r.Delay.P50), fmt.Sprintf("p95 %.0f ms, p99 %.0f ms", r.Delay.P95, r.Delay.P99)},
		{"Bitrate", fmt.Sprintf("%.0f kbit/s", r.Bitrate.Made/1e3), fmt.Sprintf("asked for %.0f to %.0f", r.Bitrate.Least/1e3, r.Bitrate.Most/1e3)},
		{"Bytes sent", perHop(r.HopBytes, cfg.Hops, 2), "for each of media, by hop"},
		{"Feedback", perHop(r.Feedback, cfg.Hops, 3), "for each of media, by hop"},
	}
	if cfg.bottlenecked() {
		p.Tiles = append(p.Tiles, tile{"Bottleneck used", percent(r.Utilisation, 1), fmt.Sprintf("queue p50 %.0f ms, p95 %.0f ms", r.Queue.P50, r.Queue.P95)})
	}
	if r.Series != nil {
		for _, d := range timePlots(&cfg, r.Series) {
			p.Plots = append(p.Plots, p.add(d))
		}
	}
	p.Plots = append(p.Plots, p.add(redundancyPlot([]*SweepCell{c}, func(*SweepCell) string { return "" })))
	for _, s := range linkSettings {
		p.Settings = append(p.Settings, [2]string{s.Name, s.get(&cfg)})
	}
}

func (p *page) many(axes []SweepAxis, cells []*SweepCell) {
	var names []string
	for _, a := range axes {
		names = append(names, a.Name)
	}
	p.Title = "A sweep over " + strings.Join(names, ", ")
	frames, calls := 0, 0
	for _, c := range cells {
		frames, calls = frames+c.Report.Frames, calls+c.Report.Calls
	}
	p.Lead = fmt.Sprintf("Pusher to relay to player in virtual time: %d cells, %d calls, %d video frames.", len(cells), calls, frames)
	group := grouping(axes)
	for _, d := range []*plot{
		redundancyPlot(cells, group),
		lossPlot("Late or lost video frames", "% of frames", cells, group, func(r *LinkReport) float64 { return 100 * (1 - r.OnTime) }),
		lossPlot("Delay, 95th percentile", "ms", cells, group, func(r *LinkReport) float64 { return r.Delay.P95 }),
		lossPlot("Bytes sent for each byte of media, first hop", "ratio", cells, group, func(r *LinkReport) float64 { return r.HopBytes[0] }),
	} {
		p.Plots = append(p.Plots, p.add(d))
	}
	if len(cells) <= maxDetails {
		for _, c := range cells {
			if c.Report.Series == nil {
				continue
			}
			cfg := c.Config
			cfg.setDefaults()
			d := pageDetail{Name: c.Label(axes)}
			for _, t := range timePlots(&cfg, c.Report.Series) {
				d.Plots = append(d.Plots, p.add(t))
			}
			p.Details = append(p.Details, d)
		}
	}
	base := cells[0].Config
	base.setDefaults()
	for _, s := range linkSettings {
		v := s.get(&base)
		for i, a := range axes {
			switch a.Name {
			case s.Name:
				v = strings.Join(axes[i].Values, ", ")
			case axisPreset:
				v += " in the first cell"
			}
		}
		p.Settings = append(p.Settings, [2]string{s.Name, v})
	}
}

// table shows every cell's results.
func (p *page) table(axes []SweepAxis, cells []*SweepCell) {
	for _, a := range axes {
		p.Head = append(p.Head, a.Name)
	}
	p.Head = append(p.Head, "video on time", "audio on time", "delay p50", "p95", "p99", "released p50", "kbit/s made", "bytes hop 1", "hop 2", "feedback hop 1", "hop 2",
		"redundancy hop 1", "hop 2", "lost hop 1", "hop 2", "used", "queue p95")
	for _, c := range cells {
		r := c.Report
		row := append([]string(nil), c.Values...)
		row = append(row, percent(r.OnTime, 3), percent(r.AudioOnTime, 3))
		for _, ms := range []float64{r.Delay.P50, r.Delay.P95, r.Delay.P99, r.Release.P50} {
			row = append(row, fmt.Sprintf("%.1f ms", ms))
		}
		row = append(row, fmt.Sprintf("%.0f", r.Bitrate.Made/1e3))
		for _, v := range [][2]float64{r.HopBytes, r.Feedback, r.Redundancy} {
			row = append(row, fmt.Sprintf("%.3f", v[0]), fmt.Sprintf("%.3f", v[1]))
		}
		row = append(row, percent(r.Loss[0], 2), percent(r.Loss[1], 2), percent(r.Utilisation, 1), fmt.Sprintf("%.1f ms", r.Queue.P95))
		p.Rows = append(p.Rows, row)
		rep := *r
		rep.Series = nil // the plots have it
		p.Data.Cells = append(p.Data.Cells, cellData{Label: c.Label(axes), Report: &rep})
	}
}

// grouping names what tells a cell from others of the same loss.
func grouping(axes []SweepAxis) func(*SweepCell) string {
	return func(c *SweepCell) string {
		var parts []string
		for i, a := range axes {
			if a.Name != "loss" {
				parts = append(parts, a.Name+" "+c.Values[i])
			}
		}
		return strings.Join(parts, ", ")
	}
}

func percent(share float64, digits int) string {
	return strconv.FormatFloat(100*share, 'f', digits, 64) + " %"
}

func perHop(v [2]float64, hops, digits int) string {
	var parts []string
	for _, x := range v[:hops] {
		parts = append(parts, strconv.FormatFloat(x, 'f', digits, 64))
	}
	return strings.Join(parts, " · ")
}

// orGap are numbers with a gap where there is none.
func orGap(v []*float64) []float64 {
	out := make([]float64, len(v))
	for i, p := range v {
		if out[i] = math.NaN(); p != nil {
			out[i] = *p
		}
	}
	return out
}

func scaled(v []float64, by float64) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = x * by
	}
	return out
}

func floats(v []int) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// level is a line across.
func level(x0, x1, y float64) (x, v []float64) { return []float64{x0, x1}, []float64{y, y} }
