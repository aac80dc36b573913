package bench

import (
	"fmt"
	"strings"
)

// LinkPreset is a network that people know, as settings.
type LinkPreset struct {
	Name     string
	Help     string
	Settings string // NAME=VALUE, with blanks between them
}

// linkPresets are made from orders of magnitude, not from one measurement. Deadlines are what a call over such a network can keep.
var linkPresets = []LinkPreset{
	{"good", "fibre at home: hardly any loss", "rtt=20ms jitter=2ms loss=0.1% rate=20M queue=100ms"},
	{"wifi", "Wi-Fi two rooms away: losses in short runs", "rtt=30ms jitter=10ms loss=2% burst=3 rate=8M queue=100ms"},
	{"cafe", "a crowded access point: little room, a long queue", "rtt=60ms jitter=20ms loss=3% burst=3 rate=1.2M queue=400ms deadline=300ms"},
	{"lte", "a phone with good reception: a deep queue", "rtt=60ms jitter=15ms loss=0.5% burst=2 rate=6M queue=500ms"},
	{"edge", "a phone at the edge of coverage", "rtt=200ms jitter=40ms loss=2% burst=3 rate=300k queue=1s deadline=600ms min-bitrate=60k start-bitrate=100k"},
	{"train", "a phone that changes cells at speed, with silences", "rtt=90ms jitter=20ms loss=2% burst=5 trace=lte queue=600ms deadline=400ms"},
	{"satellite", "geostationary: far away, clean and wide", "rtt=560ms jitter=10ms loss=0.5% burst=2 rate=10M queue=500ms deadline=1s"},
	{"awful", "everything at once", "rtt=120ms jitter=40ms reorder=true duplicate=1% loss=15% burst=3 rate=1M queue=500ms deadline=600ms"},
}

// LinkPresets lists them.
func LinkPresets() []LinkPreset { return append([]LinkPreset(nil), linkPresets...) }

// Preset gives the configuration a preset's settings and leaves all others as they are.
func (c *LinkConfig) Preset(name string) error {
	var names []string
	for _, p := range linkPresets {
		names = append(names, p.Name)
		if p.Name != name {
			continue
		}
		for field := range strings.FieldsSeq(p.Settings) {
			key, value, _ := strings.Cut(field, "=")
			if err := c.Set(key, value); err != nil {
				panic(fmt.Sprintf("bench: preset %s: %s: %v", name, field, err)) // a table of ours
			}
		}
		return nil
	}
	return fmt.Errorf("there is no preset %q: it is one of %s", name, strings.Join(names, ", "))
}
