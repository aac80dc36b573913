package netem

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// TraceDatagram is how many bytes one opportunity of a [Trace] passes. A datagram may take several, and several may share one.
const TraceDatagram = 1500

// Limits of a trace.
const (
	// MaxTrace is the most opportunities: an hour at 14 Mbit/s, 16 MiB of memory.
	MaxTrace = 1 << 22

	// MaxTracePeriod is the longest time before it begins again.
	MaxTracePeriod = 24 * time.Hour

	// maxTraceLine is more than any number within the period takes.
	maxTraceLine = 64
)

// Trace says when a link passes something, in the manner of mahimahi: a text of one line for each opportunity to pass 1500 bytes, which
// holds its time in milliseconds from the beginning. Times do not fall, and one that stands n times passes n·1500 bytes. The last line is
// also the time after which all begins again. An opportunity that nothing waits for is gone. Traces do not change: links may share one.
type Trace struct {
	stamps []uint32 // ms
}

// Errors of ParseTrace, which tells the line with them.
var (
	ErrTraceEmpty  = errors.New("no opportunity: want a line for each, with its time in milliseconds")
	ErrTraceNumber = errors.New("want a whole number of milliseconds")
	ErrTraceOrder  = errors.New("earlier than the line before")
	ErrTracePeriod = errors.New("the last time must be above 0, because all begins again after it")
	ErrTraceLarge  = fmt.Errorf("more than %d lines or %v", MaxTrace, MaxTracePeriod)
)

// ParseTrace reads a trace. Empty lines and blanks at the ends of lines are not looked at.
func ParseTrace(r io.Reader) (*Trace, error) {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, maxTraceLine), maxTraceLine)
	t := &Trace{}
	line := 0
	fail := func(err error) (*Trace, error) { return nil, fmt.Errorf("trace, line %d: %w", line, err) }
	for in.Scan() {
		line++
		if line > MaxTrace {
			return fail(ErrTraceLarge)
		}
		text := strings.TrimSpace(in.Text())
		if text == "" {
			continue
		}
		n, err := strconv.ParseUint(text, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return fail(fmt.Errorf("%w, not %q", ErrTraceNumber, text))
		}
		if err != nil || n > uint64(MaxTracePeriod/time.Millisecond) {
			return fail(ErrTraceLarge)
		}
		stamp := uint32(n)
		if k := len(t.stamps); k > 0 && stamp < t.stamps[k-1] {
			return fail(fmt.Errorf("%w: %d after %d", ErrTraceOrder, stamp, t.stamps[k-1]))
		}
		t.stamps = append(t.stamps, stamp)
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		line++
		return fail(fmt.Errorf("%w, not more than %d bytes", ErrTraceNumber, maxTraceLine))
	case err != nil:
		return nil, fmt.Errorf("trace: %w", err)
	case len(t.stamps) == 0:
		return nil, fmt.Errorf("trace: %w", ErrTraceEmpty)
	case t.stamps[len(t.stamps)-1] == 0:
		return fail(ErrTracePeriod)
	}
	t.stamps = slices.Clip(t.stamps)
	return t, nil
}

// WriteTo writes the trace as ParseTrace reads it.
func (t *Trace) WriteTo(w io.Writer) (n int64, err error) {
	var line [maxTraceLine]byte
	for _, s := range t.stamps {
		k, err := w.Write(append(strconv.AppendUint(line[:0], uint64(s), 10), '\n'))
		n += int64(k)
		if err != nil {
			return n, fmt.Errorf("trace: %w", err)
		}
	}
	return n, nil
}

// Period is the time after which the trace begins again.
func (t *Trace) Period() time.Duration {
	return time.Duration(t.stamps[len(t.stamps)-1]) * time.Millisecond
}

// Bitrate is the mean rate in bit/s.
func (t *Trace) Bitrate() int64 {
	return int64(len(t.stamps)) * TraceDatagram * 8 * int64(time.Second) / int64(t.Period())
}

// Bytes is what the trace can pass between two times since it began, the first excluded.
func (t *Trace) Bytes(from, to time.Duration) int64 {
	return max(t.after(to)-t.after(from), 0) * TraceDatagram
}

// at is the time of an opportunity, all of them numbered from 0 through all repetitions, of a trace that began at a time.
func (t *Trace) at(began time.Time, k int64) time.Time {
	n := int64(len(t.stamps))
	return began.Add(time.Duration(k/n)*t.Period() + time.Duration(t.stamps[k%n])*time.Millisecond)
}

// after is the first opportunity later than a time since the trace began.
func (t *Trace) after(since time.Duration) int64 {
	if since < 0 {
		return 0
	}
	cycle, ms := since/t.Period(), since%t.Period()/time.Millisecond
	i := sort.Search(len(t.stamps), func(i int) bool { return time.Duration(t.stamps[i]) > ms })
	return int64(cycle)*int64(len(t.stamps)) + int64(i)
}
