package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Limits of a sweep.
const (
	maxSweepRuns = 100_000 // a day's work
	maxSweepAxes = 8
)

// axisPreset is the name of an axis whose values are presets.
const axisPreset = "preset"

// SweepAxis is a setting that takes one value after the other.
type SweepAxis struct {
	Name   string
	Values []string
}

// ParseSweep reads a grid: "loss=0,0.05,0.1 rtt=20ms,50ms". Names are those of LinkSettings, or preset. Every value is checked; an
// error says which is wrong and what would be right.
func ParseSweep(s string) ([]SweepAxis, error) {
	var axes []SweepAxis
	for field := range strings.FieldsSeq(s) {
		name, values, ok := strings.Cut(field, "=")
		if !ok || name == "" || values == "" {
			return nil, fmt.Errorf("%q is not of the form NAME=VALUE,VALUE,…, such as loss=0,0.05,0.1", field)
		}
		if name == "seed" {
			return nil, errors.New("seed is no axis: --seeds says how many calls there are in each cell, --seed where they begin")
		}
		if slices.ContainsFunc(axes, func(a SweepAxis) bool { return a.Name == name }) {
			return nil, fmt.Errorf("%s stands there twice", name)
		}
		axis := SweepAxis{Name: name, Values: strings.Split(values, ",")}
		for i, v := range axis.Values {
			c := DefaultLink()
			if err := set(&c, name, v); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			if slices.Contains(axis.Values[:i], v) {
				return nil, fmt.Errorf("%s has the value %s twice", name, v)
			}
		}
		if axes = append(axes, axis); len(axes) > maxSweepAxes {
			return nil, fmt.Errorf("more than %d axes", maxSweepAxes)
		}
	}
	if len(axes) == 0 {
		return nil, errors.New("a sweep needs an axis, such as loss=0,0.05,0.1")
	}
	// A preset sets much else: it comes first, so that the other axes have the last word.
	slices.SortStableFunc(axes, func(a, b SweepAxis) int {
		rank := map[bool]int{true: 0, false: 1}
		return rank[a.Name == axisPreset] - rank[b.Name == axisPreset]
	})
	return axes, nil
}

func set(c *LinkConfig, name, value string) error {
	if name == axisPreset {
		return c.Preset(value)
	}
	return c.Set(name, value)
}

// SweepConfig says which calls to make.
type SweepConfig struct {
	Base  LinkConfig // its Progress is told only of a call that is the only one
	Axes  []SweepAxis
	Seeds int // calls in each cell, 1 if 0: Base.Seed and those after it

	// Progress is told of each call that is done; Cell of each cell, in the order of the grid. Their calls never overlap.
	Progress func(done, all int)
	Cell     func(c *SweepCell)
}

// SweepCell is one place of the grid.
type SweepCell struct {
	Values []string // one for each axis
	Config LinkConfig
	Report *LinkReport
}

// Cells lists the grid, the last axis running fastest, with every cell's configuration checked. Without an axis there is one cell.
func (s *SweepConfig) Cells() ([]*SweepCell, error) {
	cells := []*SweepCell{{Config: s.Base}}
	for _, axis := range s.Axes {
		var next []*SweepCell
		for _, cell := range cells {
			for _, v := range axis.Values {
				c := &SweepCell{Values: append(slices.Clone(cell.Values), v), Config: cell.Config}
				if err := set(&c.Config, axis.Name, v); err != nil {
					return nil, fmt.Errorf("bench: %s: %w", axis.Name, err)
				}
				next = append(next, c)
			}
		}
		if cells = next; len(cells)*max(s.Seeds, 1) > maxSweepRuns {
			return nil, fmt.Errorf("bench: the grid has more than %d calls: fewer values or seeds", maxSweepRuns)
		}
	}
	for _, c := range cells {
		if err := c.Config.Check(); err != nil {
			return nil, fmt.Errorf("bench: %s: %w", c.Label(s.Axes), err)
		}
	}
	return cells, nil
}

// Label names a cell as people read it.
func (c *SweepCell) Label(axes []SweepAxis) string {
	var parts []string
	for i, a := range axes {
		parts = append(parts, a.Name+" "+c.Values[i])
	}
	return strings.Join(parts, ", ")
}

// RunSweep makes all the calls in virtual time, on all processors. The result does not depend on how many there are.
func RunSweep(ctx context.Context, s SweepConfig) ([]*SweepCell, error) {
	cells, err := s.Cells()
	if err != nil {
		return nil, err
	}
	seeds := max(s.Seeds, 1)
	w := &sweep{cfg: &s, cells: cells, seeds: seeds, results: make([][]*linkTotals, len(cells)), left: make([]int, len(cells))}
	for i := range cells {
		w.results[i], w.left[i] = make([]*linkTotals, seeds), seeds
	}
	ctx, w.cancel = context.WithCancel(ctx)
	defer w.cancel()
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(cells)*seeds) {
		wg.Go(func() { w.work(ctx) })
	}
	wg.Wait()
	if w.failed != nil {
		return nil, w.failed
	}
	return cells, nil
}

// sweep is the state that the workers share.
type sweep struct {
	cfg    *SweepConfig
	cells  []*SweepCell
	seeds  int
	cancel context.CancelFunc

	mu      sync.Mutex // guards what follows, and keeps the callbacks apart
	next    int        // call to begin
	done    int        // calls
	told    int        // cells
	results [][]*linkTotals
	left    []int // calls of each cell that are not done
	failed  error
}

// work makes one call after the other until there are none left.
func (w *sweep) work(ctx context.Context) {
	for {
		w.mu.Lock()
		run := w.next
		w.next++
		stop := run >= len(w.cells)*w.seeds || w.failed != nil
		w.mu.Unlock()
		if stop {
			return
		}
		cell, n := run/w.seeds, run%w.seeds
		cfg := w.cells[cell].Config
		cfg.Seed += uint64(n)
		cfg.Series = cfg.Series && n == 0
		if len(w.cells)*w.seeds > 1 {
			cfg.Progress = nil
		}
		t, err := callLink(ctx, cfg)
		w.finish(cell, n, t, err)
	}
}

// finish takes a call's result, and tells of the cells that are complete up to here.
func (w *sweep) finish(cell, n int, t *linkTotals, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		if w.failed == nil {
			w.failed = fmt.Errorf("%w (%s)", err, strings.Trim(w.cells[cell].Label(w.cfg.Axes)+fmt.Sprintf(", seed %d", w.cells[cell].Config.Seed+uint64(n)), ", "))
		}
		w.cancel()
		return
	}
	w.results[cell][n] = t
	w.left[cell]--
	w.done++
	if w.cfg.Progress != nil {
		w.cfg.Progress(w.done, len(w.cells)*w.seeds)
	}
	if w.left[cell] == 0 {
		sum := w.results[cell][0]
		for _, o := range w.results[cell][1:] {
			sum.add(o)
		}
		w.results[cell] = nil
		w.cells[cell].Report = sum.report()
	}
	for ; w.told < len(w.cells) && w.cells[w.told].Report != nil; w.told++ {
		if w.cfg.Cell != nil {
			w.cfg.Cell(w.cells[w.told])
		}
	}
}
