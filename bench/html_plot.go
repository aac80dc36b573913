package bench

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The drawing, in units of its own: it is as wide as the page has room, and on a phone its letters are still large enough.
const (
	plotWidth, plotHeight              = 420.0, 240.0
	plotLeft, plotRight                = 46.0, 10.0
	plotTop, plotBottom                = 20.0, 34.0
	plotTicksX, plotTicksY             = 6, 5
	plotColours                        = 6 // classes c1 to c6 of the page
	styleLine                          = "line"
	styleBars                          = "bars"
	styleDots                          = "dots"
	styleDash                          = "dash"
	styleBand                          = "band"
	styleMark                          = "mark" // on the upper edge
	plotPad, plotMarkHeight, plotPoint = 1.06, 7.0, 3.2
)

// plot is one drawing with two axes.
type plot struct {
	title, note  string
	xLabel, yLab string
	x0, x1       float64 // of the x axis
	y1           float64 // least top of the y axis, which begins at 0; it grows with what is drawn
	yMost        float64 // the y axis ends here at the latest; 0 anywhere
	curves       []curve
}

// curve is one thing that is drawn. A y that is not a number is a gap.
type curve struct {
	name   string
	style  string
	colour int // 1 to plotColours
	x, y   []float64
	low    []float64 // of a band, whose upper edge is y
	labels []string  // of dots
}

// plotData is what the page's script knows of a plot, to tell values under the pointer.
type plotData struct {
	X0     float64     `json:"x0"`
	X1     float64     `json:"x1"`
	Left   float64     `json:"left"`
	Right  float64     `json:"right"`
	Top    float64     `json:"top"`
	Bottom float64     `json:"bottom"`
	Width  float64     `json:"width"`
	XLabel string      `json:"xLabel"`
	YLabel string      `json:"yLabel"`
	Curves []curveData `json:"curves"`
}

type curveData struct {
	Name string     `json:"name"`
	X    []float64  `json:"x"`
	Y    []*float64 `json:"y"`
}

func (p *plot) data() plotData {
	d := plotData{X0: p.x0, X1: p.x1, Left: plotLeft, Right: plotWidth - plotRight, Top: plotTop, Bottom: plotHeight - plotBottom, Width: plotWidth, XLabel: p.xLabel, YLabel: p.yLab}
	for _, c := range p.curves {
		if c.style == styleMark || c.style == styleDots || c.name == "" {
			continue
		}
		out := curveData{Name: c.name}
		for i, x := range c.x {
			out.X = append(out.X, round3(x))
			if y := c.y[i]; math.IsNaN(y) {
				out.Y = append(out.Y, nil)
			} else {
				y = round3(y)
				out.Y = append(out.Y, &y)
			}
		}
		d.Curves = append(d.Curves, out)
	}
	return d
}

// round3 keeps what a reader can see, and the page small.
func round3(x float64) float64 { return math.Round(x*1000) / 1000 }

// svg draws it.
func (p *plot) svg() template.HTML {
	var b strings.Builder
	top := p.top()
	right, bottom := plotWidth-plotRight, plotHeight-plotBottom
	span := p.x1 - p.x0
	if span <= 0 {
		span = 1
	}
	px := func(x float64) float64 { return plotLeft + (min(max(x, p.x0), p.x0+span)-p.x0)/span*(right-plotLeft) }
	py := func(y float64) float64 { return bottom - min(max(y, 0), top)/top*(bottom-plotTop) }
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="%s">`, plotWidth, plotHeight, html.EscapeString(p.title))
	for _, y := range ticks(0, top, plotTicksY) {
		fmt.Fprintf(&b, `<path class="grid" d="M%.1f %.1fH%.1f"/><text class="tick" x="%.1f" y="%.1f" text-anchor="end">%s</text>`,
			plotLeft, py(y), right, plotLeft-5, py(y)+4, tickText(y))
	}
	for _, x := range ticks(p.x0, p.x0+span, plotTicksX) {
		fmt.Fprintf(&b, `<text class="tick" x="%.1f" y="%.1f" text-anchor="middle">%s</text>`, px(x), bottom+14, tickText(x))
	}
	fmt.Fprintf(&b, `<text class="label" x="%.1f" y="%.1f" text-anchor="end">%s</text>`, right, plotHeight-4, html.EscapeString(p.xLabel))
	fmt.Fprintf(&b, `<text class="label" x="%.1f" y="%.1f">%s</text>`, plotLeft-2, plotTop-8, html.EscapeString(p.yLab))
	for _, c := range p.curves {
		c.draw(&b, px, py)
	}
	fmt.Fprintf(&b, `<path class="axis" d="M%.1f %.1fV%.1fH%.1f"/><path class="cross" d=""/></svg>`, plotLeft, plotTop, bottom, right)
	return template.HTML(b.String()) //nolint:gosec // numbers, classes, and texts that are escaped here
}

// top is where the y axis ends.
func (p *plot) top() float64 {
	top := p.y1
	for _, c := range p.curves {
		if c.style == styleMark {
			continue
		}
		for _, y := range c.y {
			if !math.IsNaN(y) {
				top = max(top, y*plotPad)
			}
		}
	}
	if p.yMost > 0 {
		top = min(top, p.yMost)
	}
	if top <= 0 {
		return 1
	}
	return top
}

func (c *curve) draw(b *strings.Builder, px, py func(float64) float64) {
	switch c.style {
	case styleLine, styleDash:
		fmt.Fprintf(b, `<path class="%s c%d" d="%s"/>`, c.style, c.colour, c.path(px, py))
	case styleBand:
		var d strings.Builder
		for _, r := range c.runs() {
			for i := r[0]; i < r[1]; i++ {
				fmt.Fprintf(&d, "%s%.1f %.1f", letter(i == r[0]), px(c.x[i]), py(c.y[i]))
			}
			for i := r[1] - 1; i >= r[0]; i-- {
				fmt.Fprintf(&d, "L%.1f %.1f", px(c.x[i]), py(c.low[i]))
			}
			d.WriteString("Z")
		}
		fmt.Fprintf(b, `<path class="band c%d" d="%s"/>`, c.colour, d.String())
	case styleBars:
		var d strings.Builder
		for i, y := range c.y {
			if y > 0 {
				fmt.Fprintf(&d, "M%.1f %.1fV%.1f", px(c.x[i]), py(0), py(y))
			}
		}
		fmt.Fprintf(b, `<path class="bars c%d" d="%s"/>`, c.colour, d.String())
	case styleMark:
		var d strings.Builder
		for i, y := range c.y {
			if y > 0 {
				fmt.Fprintf(&d, "M%.1f %.1fv%.1f", px(c.x[i]), plotTop, plotMarkHeight)
			}
		}
		fmt.Fprintf(b, `<path class="mark" d="%s"/>`, d.String())
	case styleDots:
		for i := range c.x {
			fmt.Fprintf(b, `<circle class="dot c%d" cx="%.1f" cy="%.1f" r="%g"><title>%s</title></circle>`, c.colour, px(c.x[i]), py(c.y[i]), plotPoint,
				html.EscapeString(c.labels[i]))
		}
	default:
		panic("bench: a curve without a style")
	}
}

func (c *curve) path(px, py func(float64) float64) string {
	var d strings.Builder
	for _, r := range c.runs() {
		for i := r[0]; i < r[1]; i++ {
			fmt.Fprintf(&d, "%s%.1f %.1f", letter(i == r[0]), px(c.x[i]), py(c.y[i]))
		}
		if r[1] == r[0]+1 {
			d.WriteString("h1") // a point alone shows too
		}
	}
	return d.String()
}

func letter(first bool) string {
	if first {
		return "M"
	}
	return "L"
}

// runs are the ranges without a gap.
func (c *curve) runs() (out [][2]int) {
	from := -1
	for i, y := range c.y {
		switch gap := math.IsNaN(y); {
		case gap && from >= 0:
			out, from = append(out, [2]int{from, i}), -1
		case !gap && from < 0:
			from = i
		}
	}
	if from >= 0 {
		out = append(out, [2]int{from, len(c.y)})
	}
	return out
}

// ticks are round numbers from one to another, about so many.
func ticks(from, to float64, about int) []float64 {
	raw := (to - from) / float64(about)
	if !(raw > 0) {
		return nil
	}
	size := math.Pow(10, math.Floor(math.Log10(raw)))
	step := size * 10
	for _, m := range []float64{1, 2, 5} {
		if m*size >= raw {
			step = m * size
			break
		}
	}
	var out []float64
	for i := math.Ceil(from / step); i*step <= to*(1+1e-9); i++ {
		out = append(out, i*step)
	}
	return out
}

func tickText(v float64) string {
	if v >= 10_000 {
		return strconv.FormatFloat(v/1000, 'f', -1, 64) + "k"
	}
	return strconv.FormatFloat(round3(v), 'f', -1, 64)
}

// legend names the curves, in order, once each.
func (p *plot) legend() (out []legendEntry) {
	for _, c := range p.curves {
		e := legendEntry{Name: c.name, Class: c.style + " c" + strconv.Itoa(c.colour)}
		if c.name != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	return out
}

type legendEntry struct{ Name, Class string }
