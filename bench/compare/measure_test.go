package main

import (
	"encoding/json"
	"math"
	"slices"
	"testing"
	"time"
)

const ms = time.Millisecond

// scripted is a meter of video frames every 33 ms; each came after a delay, or never.
func scripted(t *testing.T, came ...time.Duration) *meter {
	t.Helper()
	m := newMeter(time.Unix(1000, 0))
	src := newSource(1)
	for _, d := range came {
		f := src.frame()
		for f.kind != video {
			f = src.frame()
		}
		captured := time.Duration(f.index) * 33 * ms
		f.stamp(captured)
		m.sent(video, captured, len(f.body))
		if d != never {
			m.got(f.body, m.origin.Add(captured+d))
		}
	}
	return m
}

func TestDelays(t *testing.T) {
	for _, c := range []struct {
		name                    string
		came, complete, release []time.Duration
	}{
		{"all at once", []time.Duration{50 * ms, 50 * ms}, []time.Duration{50 * ms, 50 * ms}, []time.Duration{50 * ms, 50 * ms}},
		{
			"one is repaired and holds up the next two",
			[]time.Duration{120 * ms, 50 * ms, 50 * ms, 50 * ms}, []time.Duration{120 * ms, 50 * ms, 50 * ms, 50 * ms},
			[]time.Duration{120 * ms, 87 * ms, 54 * ms, 50 * ms},
		},
		{
			"one never comes and holds up until its deadline",
			[]time.Duration{never, 50 * ms, 190 * ms}, []time.Duration{never, 50 * ms, 190 * ms}, []time.Duration{never, 167 * ms, 190 * ms},
		},
		{
			"one comes after its deadline and is out of order",
			[]time.Duration{300 * ms, 50 * ms}, []time.Duration{300 * ms, 50 * ms}, []time.Duration{300 * ms, 167 * ms},
		},
		{"at the deadline exactly", []time.Duration{200 * ms}, []time.Duration{200 * ms}, []time.Duration{200 * ms}},
	} {
		complete, release := scripted(t, c.came...).delays(video, 0, 200*ms)
		if !slices.Equal(complete, c.complete) || !slices.Equal(release, c.release) {
			t.Errorf("%s: whole after %v, released after %v; want %v and %v", c.name, complete, release, c.complete, c.release)
		}
		if a, b := within(complete, 200*ms), within(release, 200*ms); a != b {
			t.Errorf("%s: %v whole by the deadline, %v released", c.name, a, b)
		}
	}
}

// Frames before the measurement are not told of, but one of them may hold up those that are.
func TestDelaysFrom(t *testing.T) {
	complete, release := scripted(t, never, 50*ms).delays(video, 1, 200*ms)
	if len(complete) != 1 || complete[0] != 50*ms || release[0] != 167*ms {
		t.Errorf("%v, %v", complete, release)
	}
}

func TestMeterRefuses(t *testing.T) {
	m := newMeter(time.Unix(1000, 0))
	f := newSource(1).frame()
	f.stamp(0)
	at := m.origin.Add(50 * ms)
	m.got(f.body, at) // was never sent
	m.sent(video, 0, len(f.body))
	for i := range f.body {
		f.body[i] ^= 0x10
		m.got(f.body, at)
		f.body[i] ^= 0x10
	}
	for _, n := range []int{0, headSize - 1, headSize, len(f.body) - 1} {
		m.got(f.body[:n], at)
	}
	if m.damaged != 1+len(f.body)+4 || m.complete[video][0] != never {
		t.Errorf("%d damaged", m.damaged)
	}
	m.got(f.body, at)
	m.got(f.body, at.Add(time.Second))
	if m.twice != 1 || m.complete[video][0] != 50*ms {
		t.Errorf("%d twice, whole at %v", m.twice, m.complete[video][0])
	}
}

func TestMeterCounts(t *testing.T) {
	m := newMeter(time.Unix(1000, 0))
	m.sent(audio, 0, 100)
	m.count()
	m.sent(audio, 0, 20)
	m.sent(video, 0, 3)
	if m.bytes != 23 {
		t.Errorf("%d bytes", m.bytes)
	}
}

func TestQuantiles(t *testing.T) {
	var d []time.Duration
	for i := range 100 {
		d = append(d, time.Duration(100-i)*ms)
	}
	if q := quantilesOf(d); q != (quantiles{51, 96, 100}) {
		t.Errorf("%+v", q)
	}
	if d[0] != 100*ms {
		t.Error("it sorted its argument")
	}
	d[3], d[4] = never, never
	q := quantilesOf(d)
	if !math.IsInf(q.P99, 1) || q.P50 != 51 {
		t.Errorf("%+v", q)
	}
	b, err := json.Marshal(q)
	if err != nil || string(b) != `{"p50":51,"p95":98,"p99":null}` {
		t.Errorf("%s, %v", b, err)
	}
	if q := quantilesOf(nil); !math.IsInf(q.P50, 1) {
		t.Errorf("%+v of nothing", q)
	}
}
