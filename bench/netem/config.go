package netem

import (
	"cmp"
	"slices"
	"time"
)

// Defaults of a [Config].
const (
	// DefaultQueue is a bottleneck's queue where none is set: the drop-tail queue of RFC 8867's test cases.
	DefaultQueue = 300 * time.Millisecond

	// DefaultLimit holds more than a second of 100 Mbit/s.
	DefaultLimit = 16 << 20
)

// Config describes a link. The zero value is one that delivers everything at once.
type Config struct {
	// Delay is the time that every datagram spends on the wire, at most an hour.
	Delay time.Duration

	// Jitter adds to it a time that is drawn evenly from 0 to Jitter, at most an hour, for each datagram. Without Reorder a datagram that would
	// overtake another arrives with it instead.
	Jitter  time.Duration
	Reorder bool

	// Loss is the share from 0 to 1 of datagrams that are lost, behind the bottleneck; each independently of the others unless Burst or
	// BurstTime is set.
	Loss float64

	// Burst is the mean length in datagrams of a run of losses: a two-state model after Gilbert, in whose bad state everything is lost. 1 or
	// less stands for independent losses. Where runs of that length leave no room for Loss, which is above Burst/(Burst+1), they are longer.
	Burst float64

	// BurstTime, if set, steps that model by time in place of datagrams, whether any are sent or not: the bad state lasts so long on
	// average, and Loss is the share of time that is bad. Burst is not looked at. It is at least 100 µs and at most an hour.
	BurstTime time.Duration

	// Duplicate is the probability from 0 to 1 that a datagram which is not lost arrives twice. The copy has a jitter of its own.
	Duplicate float64

	// Rate is the bottleneck's rate in bits of datagram per second, headers of IP and UDP not counted; 0 is unlimited.
	Rate int64

	// Trace, if set, stands in place of Rate. It begins with the link's first use, or where Set or a Step brings it in, and is looped.
	Trace *Trace

	// Queue is the longest time that a datagram may have to wait at the bottleneck; one that would have to wait longer is
	// dropped. 0 stands for DefaultQueue. Without a Rate nothing waits. Under a Trace it is as many bytes as the trace's mean rate passes
	// in that time: a real buffer does not shrink while the radio is silent.
	Queue time.Duration

	// QueueBytes, if set, is used in place of Queue: the most bytes that may be at the bottleneck. A datagram alone always may.
	QueueBytes int

	// Mark, if set, is how long a datagram may wait at the bottleneck before it is marked: congestion experienced, which
	// [Link.ReceiveMarked] tells. See [Stats.QueueDelay] for what counts as waiting.
	Mark time.Duration

	// Down cuts the link: what is sent is dropped. What is on its way still arrives.
	Down bool

	// Drop, if set, is asked about every datagram that is sent, for tests that need a certain one lost; true drops it. It must
	// not change or keep the datagram.
	Drop func(b []byte) bool

	// Schedule changes the link by itself: see [Step]. Steps need not be in order.
	Schedule []Step

	// Limit is the most bytes that may be on their way, at the bottleneck, on the wire or arrived and not yet received; what
	// goes beyond is dropped. 0 stands for DefaultLimit; a larger value than 512 MiB counts as that.
	Limit int

	// Seed determines all that is drawn. Neither Set nor a Step looks at it.
	Seed uint64
}

// Step is a change that a link makes by itself: from At on, counted from the link's first use, it has another Config, whose Schedule
// is not looked at.
type Step struct {
	At     time.Duration
	Config Config
}

// WithOutage gives a configuration that is Down from a time on, for a while, and else what it was, with the Schedule that makes it so.
// Times are those of a [Step].
func (c Config) WithOutage(from, length time.Duration) Config {
	from, length = max(from, 0), max(length, 0)
	to := from + length
	steps := sorted(c.Schedule)
	cut, healed := c.after(steps, from), c.after(steps, to)
	cut.Down = true
	out := make([]Step, 0, len(steps)+2)
	for _, s := range steps {
		switch {
		case s.At == from || s.At == to: // part of cut or of healed
			continue
		case s.At > from && s.At < to:
			s.Config.Down = true
		}
		out = append(out, s)
	}
	if length > 0 {
		out = append(out, Step{At: from, Config: cut})
	}
	c.Schedule = sorted(append(out, Step{At: to, Config: healed}))
	return c
}

// after is what a configuration has become at a time by its steps, which are in order.
func (c Config) after(steps []Step, at time.Duration) Config {
	for _, s := range steps {
		if s.At > at {
			break
		}
		c = s.Config
	}
	c.Schedule = nil
	return c
}

// sorted is a copy of steps in the order of their times. Of several at one time the last one counts.
func sorted(steps []Step) []Step {
	if len(steps) == 0 {
		return nil
	}
	out := slices.Clone(steps)
	for i := range out {
		out[i].At = max(out[i].At, 0)
	}
	slices.SortStableFunc(out, func(a, b Step) int { return cmp.Compare(a.At, b.At) })
	return out
}

const (
	// maxLimit and maxRate keep bits·10⁹, which divided by a rate are nanoseconds, below 2⁶³.
	maxLimit = 512 << 20
	maxRate  = 1 << 40

	// maxDelay keeps a time in range that a slip of the pen would not.
	maxDelay = time.Hour

	// minBurstTime keeps the number of state changes between two datagrams small.
	minBurstTime = 100 * time.Microsecond

	// maxDatagrams bounds what is on its way where datagrams are small.
	maxDatagrams = 1 << 16
)

// withDefaults gives every field a value that means something.
func (c Config) withDefaults() Config {
	c.Delay = min(max(c.Delay, 0), maxDelay)
	c.Jitter = min(max(c.Jitter, 0), maxDelay)
	c.Rate = min(max(c.Rate, 0), maxRate)
	if c.Queue <= 0 {
		c.Queue = DefaultQueue
	}
	if c.Trace != nil && c.QueueBytes <= 0 {
		c.QueueBytes = int(min(c.Queue.Seconds()*float64(c.Trace.Bitrate())/8+1, maxLimit))
	}
	if c.BurstTime > 0 {
		c.BurstTime = min(max(c.BurstTime, minBurstTime), maxDelay)
	}
	if c.Limit <= 0 {
		c.Limit = DefaultLimit
	}
	c.Limit = min(c.Limit, maxLimit)
	return c
}
