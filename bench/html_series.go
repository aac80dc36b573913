package bench

import (
	"cmp"
	"fmt"
	"slices"
)

// Colours of curves: the first hop, the second, and others.
const (
	colourFirst  = 1
	colourSecond = 2
	colourThird  = 3
	colourFaint  = 6
)

// timePlots are the plots of one call.
func timePlots(cfg *LinkConfig, s *LinkSeries) []*plot {
	if len(s.Seconds) == 0 {
		return nil
	}
	end := s.Seconds[len(s.Seconds)-1]
	over := func(title, y string) *plot { return &plot{title: title, xLabel: "seconds", yLab: y, x1: end} }
	hop := func(i int) string { return fmt.Sprintf("hop %d", i+1) }
	deadline := milliseconds(cfg.Deadline)

	delay := over("Delay of video frames, capture to complete", "ms")
	delay.y1 = deadline * plotPad
	delay.note = "Line: median of a bin; band: up to its latest frame. Marks on the edge: frames that were late or lost."
	median := orGap(s.Delay)
	delay.curves = append(delay.curves,
		curve{style: styleBand, colour: colourFirst, x: s.Seconds, y: orGap(s.DelayTop), low: median},
		curve{name: "median", style: styleLine, colour: colourFirst, x: s.Seconds, y: median})
	x, y := level(0, end, deadline)
	delay.curves = append(delay.curves, curve{name: "deadline", style: styleDash, colour: colourSecond, x: x, y: y},
		curve{name: "late or lost", style: styleMark, x: s.Seconds, y: floats(s.Late)})

	spread := &plot{title: "Distribution of delays", xLabel: "ms", yLab: "% of frames", y1: 100, yMost: 100, x1: deadline * plotPad}
	for i, name := range []string{"video complete", "released in order, audio and video"} {
		c := curve{name: name, style: styleLine, colour: i + 1}
		for _, p := range s.CDF[i] {
			c.x, c.y = append(c.x, p.MS), append(c.y, 100*p.Share)
		}
		spread.curves = append(spread.curves, c)
		if n := len(c.x); n > 0 {
			spread.x1 = max(spread.x1, c.x[n-1])
		}
	}
	spread.curves = append(spread.curves, curve{name: "deadline", style: styleDash, colour: colourFaint, x: []float64{deadline, deadline}, y: []float64{0, 100}})

	rate := over("Bitrate", "Mbit/s")
	const mega = 1e-6
	rate.curves = append(rate.curves, curve{name: "asked for (messages)", style: styleLine, colour: colourThird, x: s.Seconds, y: scaled(s.Target, mega)})
	for i := range cfg.Hops {
		rate.curves = append(rate.curves, curve{name: hop(i) + " sent", style: styleLine, colour: i + 1, x: s.Seconds, y: scaled(s.Hops[i].Sent, mega)})
	}
	if len(s.Capacity) > 0 {
		rate.curves = append(rate.curves, curve{name: "capacity", style: styleDash, colour: colourFaint, x: s.Seconds, y: scaled(s.Capacity, mega)})
	}

	plots := []*plot{delay, spread, rate}
	if cfg.bottlenecked() {
		queue := over("Queue at the bottleneck, longest wait", "ms")
		for i := range cfg.Hops {
			queue.curves = append(queue.curves, curve{name: hop(i), style: styleLine, colour: i + 1, x: s.Seconds, y: s.Hops[i].Queue})
		}
		plots = append(plots, queue)
	}
	lost := over("Datagrams lost, in the media's direction", "in a bin")
	for i := range cfg.Hops {
		shifted := slices.Clone(s.Seconds)
		for j := range shifted {
			shifted[j] += float64(i) * end / 1200 // beside each other
		}
		lost.curves = append(lost.curves, curve{name: hop(i), style: styleBars, colour: i + 1, x: shifted, y: floats(s.Hops[i].Lost)})
	}
	return append(plots, lost)
}

// redundancyPlot sets what was spent against the least that can repair a share p of losses: p/(1−p).
func redundancyPlot(cells []*SweepCell, group func(*SweepCell) string) *plot {
	p := &plot{
		title: "Redundancy against p/(1−p)", xLabel: "% of datagrams lost on the hop, measured", yLab: "% of packets", x1: 1,
		note: "Each dot is one hop of a cell: repeats and parity for each packet of media. The dashed line is the least that could repair what was lost.",
	}
	dots := make(map[string]*curve)
	var order []string
	for _, c := range cells {
		cfg := c.Config
		cfg.setDefaults()
		for hop := range cfg.Hops {
			loss, spent := 100*c.Report.Loss[hop], 100*c.Report.Redundancy[hop]
			name := group(c)
			if name == "" {
				name = fmt.Sprintf("hop %d", hop+1)
			}
			d := dots[name]
			if d == nil {
				d = &curve{name: name, style: styleDots, colour: len(order)%plotColours + 1}
				dots[name], order = d, append(order, name)
			}
			d.x, d.y = append(d.x, loss), append(d.y, spent)
			d.labels = append(d.labels, fmt.Sprintf("%s, hop %d: %.2f %% lost, %.2f %% spent", group(c), hop+1, loss, spent))
			p.x1 = max(p.x1, loss*plotPad)
		}
	}
	least := curve{name: "p/(1−p)", style: styleDash, colour: colourFaint}
	const steps = 60
	for i := range steps + 1 {
		x := p.x1 * float64(i) / steps
		least.x, least.y = append(least.x, x), append(least.y, 100*x/max(100-x, 1))
	}
	p.curves = append(p.curves, least)
	for _, name := range order {
		p.curves = append(p.curves, *dots[name])
	}
	p.trim(order)
	return p
}

// trim leaves a legend out that would be longer than it is useful.
func (p *plot) trim(groups []string) {
	if len(groups) <= maxGroups {
		return
	}
	for i := range p.curves {
		if c := &p.curves[i]; slices.Contains(groups, c.name) {
			c.name = ""
		}
	}
	p.note += " Point at a dot to see what it is."
}

// lossPlot shows a figure over the loss, a line for each group of cells.
func lossPlot(title, unit string, cells []*SweepCell, group func(*SweepCell) string, figure func(*LinkReport) float64) *plot {
	p := &plot{title: title, xLabel: "% of datagrams lost on each hop, as set", yLab: unit, x1: 1}
	var order []string
	by := make(map[string][]*SweepCell)
	for _, c := range cells {
		name := group(c)
		if by[name] == nil {
			order = append(order, name)
		}
		by[name] = append(by[name], c)
		p.x1 = max(p.x1, 100*c.Config.Loss*plotPad)
	}
	for i, name := range order {
		list := slices.Clone(by[name])
		slices.SortStableFunc(list, func(a, b *SweepCell) int { return cmp.Compare(a.Config.Loss, b.Config.Loss) })
		line := curve{name: name, style: styleLine, colour: i%plotColours + 1}
		dots := curve{style: styleDots, colour: line.colour}
		if name == "" {
			line.name = title
		}
		for _, c := range list {
			v := figure(c.Report)
			line.x, line.y = append(line.x, 100*c.Config.Loss), append(line.y, v)
			dots.labels = append(dots.labels, fmt.Sprintf("%s, loss %.1f %%: %.3g %s", name, 100*c.Config.Loss, v, unit))
		}
		dots.x, dots.y = line.x, line.y
		p.curves = append(p.curves, line, dots)
	}
	p.trim(order)
	return p
}
