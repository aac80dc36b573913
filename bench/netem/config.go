package netem

import "time"

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

	// Loss is the probability from 0 to 1 that a datagram is lost, each independently of the others.
	Loss float64

	// Burst is the mean length in datagrams of a run of losses: a two-state model after Gilbert, in whose bad state everything is lost. 1 or
	// less stands for independent losses.
	Burst float64

	// Rate is the bottleneck's rate in bits of datagram per second, headers of IP and UDP not counted; 0 is unlimited.
	Rate int64

	// Queue is the longest time that a datagram may have to wait at the bottleneck; one that would have to wait longer is
	// dropped. 0 stands for DefaultQueue. Without a Rate nothing waits.
	Queue time.Duration

	// Down cuts the link: what is sent is dropped. What is on its way still arrives.
	Down bool

	// Drop, if set, is asked about every datagram that is sent, for tests that need a certain one lost; true drops it. It must
	// not change or keep the datagram.
	Drop func(b []byte) bool

	// Limit is the most bytes that may be on their way, at the bottleneck, on the wire or arrived and not yet received; what
	// goes beyond is dropped. 0 stands for DefaultLimit; a larger value than 512 MiB counts as that.
	Limit int

	// Seed determines all that is drawn. Set does not look at it.
	Seed uint64
}

const (
	// maxLimit and maxRate keep bits·10⁹, which divided by a rate are nanoseconds, below 2⁶³.
	maxLimit = 512 << 20
	maxRate  = 1 << 40

	// maxDelay keeps a time in range that a slip of the pen would not.
	maxDelay = time.Hour

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
	if c.Limit <= 0 {
		c.Limit = DefaultLimit
	}
	c.Limit = min(c.Limit, maxLimit)
	return c
}

// Stats counts datagrams, and their bytes, since the link began. Sent is the sum of all others but the bytes.
type Stats struct {
	Sent           uint64
	SentBytes      uint64
	Delivered      uint64 // handed out by Receive
	DeliveredBytes uint64
	InTransit      uint64 // at the bottleneck or on the wire

	Lost         uint64 // by Loss
	QueueDropped uint64 // by Queue
	DownDropped  uint64 // by Down
	TestDropped  uint64 // by Drop
	LimitDropped uint64 // by Limit
}

// Add gives the sum of two links' statistics.
func (s Stats) Add(o Stats) Stats {
	s.Sent += o.Sent
	s.SentBytes += o.SentBytes
	s.Delivered += o.Delivered
	s.DeliveredBytes += o.DeliveredBytes
	s.InTransit += o.InTransit
	s.Lost += o.Lost
	s.QueueDropped += o.QueueDropped
	s.DownDropped += o.DownDropped
	s.TestDropped += o.TestDropped
	s.LimitDropped += o.LimitDropped
	return s
}
