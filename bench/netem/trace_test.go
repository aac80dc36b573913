package netem

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func parse(t *testing.T, text string) *Trace {
	t.Helper()
	tr, err := ParseTrace(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestParseTrace(t *testing.T) {
	tr := parse(t, "0\r\n 10\n10\n\n30")
	if tr.Period() != 30*ms || tr.Bitrate() != 1_600_000 {
		t.Errorf("%v at %d", tr.Period(), tr.Bitrate())
	}
	// 0, 10, 10, 30, then 30 again, 40, 40, 60
	for _, c := range []struct {
		from, to time.Duration
		want     int64
	}{{-1, 0, 1}, {0, 10 * ms, 2}, {0, 30*ms - 1, 2}, {0, 30 * ms, 4}, {0, 3 * time.Second, 400}, {10 * ms, 40 * ms, 4}, {5, 3, 0}} {
		if got := tr.Bytes(c.from, c.to); got != c.want*TraceDatagram {
			t.Errorf("from %v to %v: %d bytes, want %d datagrams", c.from, c.to, got, c.want)
		}
	}
}

func TestParseTraceErrors(t *testing.T) {
	for _, c := range []struct {
		text string
		want error
		tell string
	}{
		{"", ErrTraceEmpty, "milliseconds"},
		{" \n\n", ErrTraceEmpty, "milliseconds"},
		{"1\nx\n", ErrTraceNumber, `line 2: want a whole number of milliseconds, not "x"`},
		{"1.5\n", ErrTraceNumber, "line 1"},
		{"-1\n", ErrTraceNumber, "line 1"},
		{"1\n2 3\n", ErrTraceNumber, "line 2"},
		{"1\n\n5\n4\n", ErrTraceOrder, "line 4: earlier than the line before: 4 after 5"},
		{"0\n0\n", ErrTracePeriod, "line 2"},
		{"86400001\n", ErrTraceLarge, "line 1"},
		{"99999999999999999999999\n", ErrTraceLarge, "line 1"},
		{"1\n" + strings.Repeat("1", 100), ErrTraceNumber, "line 2"},
		{strings.Repeat("\n", MaxTrace+1), ErrTraceLarge, "4194305"},
	} {
		if _, err := ParseTrace(strings.NewReader(c.text)); !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.tell) {
			t.Errorf("%.20q: %v", c.text, err)
		}
	}
	if _, err := ParseTrace(iotest.ErrReader(io.ErrUnexpectedEOF)); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v", err)
	}
}

func TestTrace(t *testing.T) {
	tr := parse(t, "10\n10\n20\n40\n")                      // then 50, 50, 60, 80, …
	l := NewLink(Config{Trace: tr, Delay: 5 * ms, Rate: 1}) // the rate is not looked at
	send(l, at(0), 1, 2, 700)                               // share an opportunity
	send(l, at(0), 3, 1, 1600)                              // the rest of it, and of the next
	send(l, at(0), 4, 1, 1500)                              // 100 bytes at 10 ms, the rest at 20
	expect(t, drain(t, l, at(30*ms)), "1@15ms 2@15ms 3@15ms 4@25ms")
	// What was left at 20 ms is gone; 40 ms is the next. What comes at the very time of an opportunity is too late for it.
	send(l, at(39*ms), 5, 1, 1500)
	send(l, at(40*ms), 6, 4, 1500)
	expect(t, drain(t, l, at(70*ms)), "5@45ms 6@55ms 7@55ms 8@65ms")
	expect(t, drain(t, l, at(forever)), "9@85ms")
	send(l, at(400*ms), 10, 1, 4)
	l.Send(at(400*ms), nil)
	expect(t, drain(t, l, at(410*ms)), "")
	var buf [4]byte
	for range 2 {
		if n, ok := l.Receive(at(415*ms), buf[:]); !ok {
			t.Errorf("received %d, %v", n, ok)
		}
	}
	if s := l.Stats(); s.BottleneckBytes != 1400+1600+6*1500+4 {
		t.Errorf("%d bytes left the bottleneck", s.BottleneckBytes)
	}
	checkStats(t, l.Stats())
}

// A link that always has something to send passes what the trace has, to the byte, however datagrams and opportunities fall.
func TestTraceIsFilled(t *testing.T) {
	rnd := seeded(t)
	for _, name := range TraceNames() {
		tr, err := NamedTrace(name)
		if err != nil {
			t.Fatal(err)
		}
		l := NewLink(Config{Trace: tr, QueueBytes: 1 << 20})
		var buf [1500]byte
		for d := time.Duration(0); d < 2*tr.Period(); d += 2 * ms {
			for l.Stats().InTransit < 250 {
				send(l, at(d), 0, 1, 4+rnd.IntN(1400))
			}
			for ok := true; ok; {
				_, ok = l.Receive(at(d), buf[:])
			}
		}
		got, want := l.Stats().BottleneckBytes, uint64(tr.Bytes(0, 2*tr.Period()))
		if got > want || got+150_000 < want {
			t.Errorf("%s: %d bytes of %d", name, got, want)
		}
	}
}

// In place of a queue in time there is one of the bytes that the mean rate passes in it.
func TestTraceQueue(t *testing.T) {
	l := NewLink(Config{Trace: parse(t, "1000\n1000\n1000\n1000\n"), Queue: 500 * ms}) // 6000 bytes a second
	send(l, at(0), 1, 5, 1000)
	if s := l.Stats(); s.QueueDropped != 2 {
		t.Errorf("%+v", s)
	}
}

// What was served in part before a change counts afterwards.
func TestTraceChanges(t *testing.T) {
	tr := parse(t, "10\n20\n30\n")
	l := NewLink(Config{Trace: tr})
	send(l, at(0), 1, 1, 4500)
	send(l, at(0), 2, 1, 1000)
	l.Set(at(25*ms), Config{Rate: 1_200_000}) // 1500 bytes are left, which take 10 ms
	expect(t, drain(t, l, at(35*ms)), "1@35ms")
	l.Set(at(36*ms), Config{Trace: tr})           // 850 bytes are left, until 46 ms
	l.Set(at(38*ms), Config{Trace: tr, Delay: 7}) // the same trace goes on
	expect(t, drain(t, l, at(forever)), "2@46.000007ms")
	send(l, at(50*ms), 3, 2, 1000)
	l.Set(at(60*ms), Config{}) // without a bottleneck nothing waits
	expect(t, arrivals(l, at(forever)), "3@56.000007ms 4@60ms")
}

func TestNamedTraces(t *testing.T) {
	for _, c := range []struct {
		name     string
		period   time.Duration
		low, top int64
	}{{"drop", 30 * time.Second, 2_900_000, 2_960_000}, {"lte", time.Minute, 2_500_000, 5_500_000}, {"wifi", 30 * time.Second, 6_000_000, 18_000_000}} {
		a, err := NamedTrace(c.name)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := NamedTrace(c.name)
		if a.Period() != c.period || a.Bitrate() < c.low || a.Bitrate() > c.top || !slices.Equal(a.stamps, b.stamps) || TraceHelp(c.name) == "" {
			t.Errorf("%s: %v at %d", c.name, a.Period(), a.Bitrate())
		}
		quiet := time.Duration(0)
		for i := 1; i < len(a.stamps); i++ {
			quiet = max(quiet, time.Duration(a.stamps[i]-a.stamps[i-1])*ms)
		}
		t.Logf("%s: %.1f Mbit/s, at most %v without anything, %d opportunities", c.name, float64(a.Bitrate())/1e6, quiet, len(a.stamps))
		if again := parse(t, text(t, a)); !slices.Equal(again.stamps, a.stamps) {
			t.Errorf("%s is another after it was written and read", c.name)
		}
	}
	if _, err := NamedTrace("nonsense"); err == nil || !strings.Contains(err.Error(), "drop, lte, wifi") {
		t.Error(err)
	}
}

func text(t *testing.T, tr *Trace) string {
	t.Helper()
	var b bytes.Buffer
	n, err := tr.WriteTo(&b)
	if err != nil || n != int64(b.Len()) {
		t.Fatalf("wrote %d of %d bytes: %v", n, b.Len(), err)
	}
	return b.String()
}

// What is a trace is one again after it was written, and its opportunities are in order through all repetitions.
func FuzzParseTrace(f *testing.F) {
	for _, s := range []string{"1\n", "0\n0\n5\n5\n9\n", "10\r\n20", "", "x", "5\n4\n", "86400000\n", "0\n", "\n\n7 \n", "18446744073709551616\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := ParseTrace(bytes.NewReader(b))
		if err != nil {
			if tr != nil {
				t.Fatal("both a trace and an error")
			}
			return
		}
		if again := parse(t, text(t, tr)); !slices.Equal(again.stamps, tr.stamps) {
			t.Fatalf("%v became %v", tr.stamps, again.stamps)
		}
		for k := range min(int64(3*len(tr.stamps)), 1000) {
			due := tr.at(origin, k)
			if tr.at(origin, k+1).Before(due) {
				t.Fatalf("opportunity %d is after the next", k)
			}
			if next := tr.after(due.Sub(origin)); next <= k || !tr.at(origin, next).After(due) || tr.at(origin, next-1).After(due) {
				t.Fatalf("after opportunity %d comes %d", k, next)
			}
		}
	})
}
