package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	progressWidth = 30
	progressEvery = 100 * time.Millisecond // at most so often
)

// progress is a bar on a terminal, and nothing anywhere else. One goroutine uses it at a time.
type progress struct {
	w     io.Writer
	on    bool
	began time.Time
	last  time.Time
	shown bool
}

func newProgress(w io.Writer) *progress { return &progress{w: w, on: isTerminal(w), began: time.Now()} }

// show draws how much is done.
func (p *progress) show(share float64, text string) {
	now := time.Now()
	if !p.on || now.Sub(p.last) < progressEvery {
		return
	}
	p.last, p.shown = now, true
	fmt.Fprintf(p.w, "\r\x1b[K%s", progressLine(share, now.Sub(p.began), text))
}

// progressLine is the bar as text, with the time that is left if things go on like this.
func progressLine(share float64, took time.Duration, text string) string {
	share = min(max(share, 0), 1)
	full := int(share * progressWidth)
	line := fmt.Sprintf("[%s%s] %3.0f %%  %s", strings.Repeat("#", full), strings.Repeat(".", progressWidth-full), 100*share, text)
	if share > 0 && share < 1 {
		line += fmt.Sprintf(", %v left", time.Duration(float64(took)*(1-share)/share).Round(time.Second))
	}
	return line
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
