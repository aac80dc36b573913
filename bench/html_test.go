package bench

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// pageOf writes the page of a sweep, or of a call.
func pageOf(t *testing.T, base LinkConfig, sweep string) (string, []*SweepCell) {
	t.Helper()
	var axes []SweepAxis
	var err error
	if sweep != "" {
		if axes, err = ParseSweep(sweep); err != nil {
			t.Fatal(err)
		}
	}
	base.Series = true
	cells, err := RunSweep(t.Context(), SweepConfig{Base: base, Axes: axes})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := WriteHTML(&b, axes, cells); err != nil {
		t.Fatal(err)
	}
	return b.String(), cells
}

// A page holds its numbers, needs nothing from elsewhere, and is well formed.
func TestHTML(t *testing.T) {
	base := LinkConfig{Duration: 3 * time.Second, Loss: 0.1, Rate: 2_500_000, Seed: 9}
	for sweep, plots := range map[string]int{"": 6, "loss=0,10% rtt=20ms,50ms": 4 + 4*5} {
		text, cells := pageOf(t, base, sweep)
		checkPage(t, text, plots)
		_, rest, _ := strings.Cut(text, `<script id="data" type="application/json">`)
		data, _, _ := strings.Cut(rest, "</script>")
		var got struct {
			Plots []plotData `json:"plots"`
			Cells []cellData `json:"cells"`
		}
		if err := json.Unmarshal([]byte(data), &got); err != nil {
			t.Fatal(err)
		}
		if len(got.Plots) != plots || len(got.Cells) != len(cells) || got.Cells[0].Report.OnTime != cells[0].Report.OnTime {
			t.Errorf("%q: the data has %d plots and %d cells", sweep, len(got.Plots), len(got.Cells))
		}
		for _, c := range cells {
			if !strings.Contains(text, "<td>"+percent(c.Report.OnTime, 3)+"</td>") {
				t.Errorf("%q: a cell's result is missing", sweep)
			}
		}
		if sweep == "" && !strings.Contains(text, "2.5M") {
			t.Error("the settings are missing")
		}
	}
}

// checkPage finds what would not work, or not offline.
func checkPage(t *testing.T, text string, plots int) {
	t.Helper()
	for _, bad := range []string{"http:", "https:", "src=", "href=", "url(", "@import", "NaN", "Inf", "%!", "<no value>", "ZgotmplZ"} {
		if strings.Contains(text, bad) {
			t.Errorf("the page has %q", bad)
		}
	}
	drawings := regexp.MustCompile(`(?s)<svg viewBox="0 0 420.*?</svg>`).FindAllString(text, -1)
	if len(drawings) != plots {
		t.Errorf("%d drawings, want %d", len(drawings), plots)
	}
	for _, d := range drawings {
		for dec := xml.NewDecoder(strings.NewReader(d)); ; {
			if _, err := dec.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("a drawing is not well formed: %v", err)
			}
		}
	}
	// Every element that is opened is closed, in order.
	var open []string
	outside := regexp.MustCompile(`(?s)(<script[^>]*>|<style>).*?(</script>|</style>)`).ReplaceAllString(text, "$1$2")
	for _, m := range regexp.MustCompile(`<(/?)([a-z][a-z0-9]*)[^>]*?(/?)>`).FindAllStringSubmatch(outside, -1) {
		switch {
		case m[3] == "/" || m[2] == "meta":
		case m[1] == "":
			open = append(open, m[2])
		case len(open) == 0 || open[len(open)-1] != m[2]:
			t.Fatalf("</%s> closes %v", m[2], open)
		default:
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("%v are never closed", open)
	}
}

// What people call things does not become a part of the page's code.
func TestHTMLEscapes(t *testing.T) {
	_, cells := pageOf(t, LinkConfig{Duration: time.Second}, "loss=0,1%")
	const evil = `</script><b onclick="x">&`
	for _, c := range cells {
		c.Values = append(c.Values, evil)
	}
	var b strings.Builder
	if err := WriteHTML(&b, []SweepAxis{{Name: "loss"}, {Name: evil}}, cells); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(b.String(), "<b onclick") {
		t.Error("a label is taken for HTML")
	}
	checkPage(t, b.String(), 4+2*4)
}

func TestTicks(t *testing.T) {
	for _, test := range []struct {
		from, to float64
		want     []float64
	}{
		{0, 1, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}}, {0, 212, []float64{0, 50, 100, 150, 200}}, {0, 0, nil}, {0, math.NaN(), nil}, {3, 11, []float64{4, 6, 8, 10}},
	} {
		got := ticks(test.from, test.to, 5)
		if !slices.EqualFunc(got, test.want, func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }) {
			t.Errorf("from %v to %v: %v", test.from, test.to, got)
		}
	}
}
