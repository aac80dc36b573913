package netem

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// namedTraces are made when they are asked for, in whole numbers, so that they are the same on every machine. They are of our own
// making and resemble what their names say only in kind: how fast and how deep the rate falls, and how long nothing goes.
var namedTraces = []struct {
	name, help string
	make       func() *Trace
}{
	{"drop", "4 Mbit/s for 10 s, 800 kbit/s for 10 s, 4 Mbit/s for 10 s", makeDrop},
	{"lte", "60 s of a moving phone: 0.2 to 12 Mbit/s, and silences of up to 0.6 s", makeLTE},
	{"wifi", "30 s of a crowded Wi-Fi: 2 to 24 Mbit/s, passed in bursts every few milliseconds", makeWiFi},
}

// NamedTrace gives one of the traces that come with the package; see [TraceNames].
func NamedTrace(name string) (*Trace, error) {
	for _, n := range namedTraces {
		if n.name == name {
			return n.make(), nil
		}
	}
	return nil, fmt.Errorf("there is no trace %q: it is one of %s", name, strings.Join(TraceNames(), ", "))
}

// TraceNames lists what NamedTrace knows.
func TraceNames() (names []string) {
	for _, n := range namedTraces {
		names = append(names, n.name)
	}
	return names
}

// TraceHelp says in a line what the trace of a name is like.
func TraceHelp(name string) string {
	for _, n := range namedTraces {
		if n.name == name {
			return n.help
		}
	}
	return ""
}

// tracer makes a trace of rates, one millisecond after the other.
type tracer struct {
	stamps []uint32
	now    uint32 // ms
	owed   int64  // bits that could have passed and did not make up an opportunity yet
	chance rand.PCG
}

const opportunityBits = TraceDatagram * 8

// earn adds a millisecond at a rate in kbit/s, which is as many bits.
func (t *tracer) earn(rate int64) {
	t.now++
	t.owed += rate
}

// pass makes opportunities of what is owed, at the present time.
func (t *tracer) pass() {
	for ; t.owed >= opportunityBits; t.owed -= opportunityBits {
		t.stamps = append(t.stamps, t.now)
	}
}

// between draws a whole number, both ends included.
func (t *tracer) between(low, high int64) int64 {
	return low + int64(t.chance.Uint64()%uint64(high-low+1))
}

// trace ends with an opportunity at the present time, so that the period is what it should be.
func (t *tracer) trace() *Trace { return &Trace{stamps: append(t.stamps, t.now)} }

func makeDrop() *Trace {
	var t tracer
	for _, rate := range []int64{4000, 800, 4000} {
		for range 10_000 {
			t.earn(rate)
			t.pass()
		}
	}
	return t.trace()
}

// makeLTE is a random walk: every 50 ms the rate is multiplied by 0.75 to 1.26 and drawn back a little towards 4 Mbit/s. About every 8 s
// the phone loses its cell: nothing for 100 to 600 ms, then it begins low.
func makeLTE() *Trace {
	var t tracer
	t.chance.Seed(scramble(36), 1)
	rate, silence := int64(4000), int64(0)
	for ms := range 60_000 {
		if ms%50 == 0 {
			rate = rate*t.between(75, 126)/100 + (4000-rate)/20
			rate = min(max(rate, 200), 12_000)
			if silence <= 0 && t.between(1, 160) == 1 {
				silence, rate = t.between(100, 600), t.between(300, 1500)
			}
		}
		if silence--; silence >= 0 {
			t.earn(0)
			continue
		}
		t.earn(rate)
		t.pass()
	}
	return t.trace()
}

// makeWiFi has one of five rates for 0.3 to 3 s at a time. The station gets the air after 1 to 8 ms, now and then after up to 40, and then
// passes at once what it was kept from.
func makeWiFi() *Trace {
	var t tracer
	t.chance.Seed(scramble(80211), 1)
	rates := [...]int64{2000, 6000, 12_000, 18_000, 24_000}
	rate, lasts, air := rates[2], int64(0), int64(0)
	for range 30_000 {
		if lasts--; lasts < 0 {
			rate, lasts = rates[t.between(0, int64(len(rates)-1))], t.between(300, 3000)
		}
		t.earn(rate)
		if air--; air < 0 {
			t.pass()
			air = t.between(0, 7)
			if t.between(1, 30) == 1 {
				air = t.between(8, 39)
			}
		}
	}
	return t.trace()
}
