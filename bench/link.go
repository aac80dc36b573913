package bench

import (
	"fmt"
	"time"

	"duet/bench/netem"
	"duet/transport"
)

// LinkConfig describes one call: a pusher, a relay and a player, joined by links that lose, delay and narrow. The zero value of a field
// has the default named beside it. Links are the same on every hop, each with chances of its own; the rate is in the media's direction.
type LinkConfig struct {
	Hops       int           // 2; with 1 the link from relay to player is perfect
	Loss       float64       // share of datagrams lost, on each hop, in each direction
	Burst      float64       // mean run of losses in datagrams, 1 or less: independent
	RTT        time.Duration // 50 ms, of each hop; negative: none
	Jitter     time.Duration // most that is added to the way, drawn for each datagram
	Reorder    bool          // a datagram with less jitter may overtake
	Rate       int64         // bit/s of the bottleneck, 0 unlimited
	Queue      time.Duration // netem.DefaultQueue: longest wait at the bottleneck
	Duplicate  float64       // share of datagrams that come twice
	QueueBytes int           // size of the queue, in place of Queue
	Trace      *netem.Trace  // of the bottleneck's capacity, in place of Rate
	TraceName  string        // what to call it
	Deadline   time.Duration // 200 ms, capture to playout
	Aim        bool          // the player tells what delay it would like (transport.Playout.Aim), as players of conversations do
	Duration   time.Duration // 60 s
	Seed       uint64

	Bitrate      int  // 1,500,000 bit/s of video at most
	MinBitrate   int  // 100,000 bit/s of video at least, or Bitrate if that is less
	StartBitrate int  // 1,000,000 bit/s of video to begin with, within the two
	Fixed        bool // make Bitrate all the time, whatever the network carries
	FPS          int  // 30
	GOP          int  // 60 frames between key frames
	KeySize      int  // 3: a key frame is so many times the size of another

	// Policy of every sender; default a planner for each session. In a sweep it must be one that goroutines can share.
	Policy transport.Policy

	Series   bool                // let the report have its Series
	Progress func(share float64) // is told now and then how much is done, by the goroutine that runs the call
}

// Defaults and limits of LinkConfig.
const (
	maxLinkLoss     = 0.9
	maxLinkBurst    = 1000
	maxLinkTime     = time.Minute // of every time but the call's
	maxLinkDuration = 24 * time.Hour
	maxLinkQueue    = 64 << 20
	minLinkRate     = 10_000
	maxLinkRate     = 10_000_000_000
	minLinkBitrate  = 10_000
	maxLinkBitrate  = 100_000_000
	maxLinkFPS      = 240
)

// DefaultLink returns the configuration of a call with its defaults and seed 1. Bitrates that follow from Bitrate are left to follow.
func DefaultLink() LinkConfig {
	c := LinkConfig{Seed: 1}
	c.setDefaults()
	c.MinBitrate, c.StartBitrate = 0, 0
	return c
}

func (c *LinkConfig) setDefaults() {
	setZero(&c.Hops, 2)
	setZero(&c.Bitrate, 1_500_000)
	setZero(&c.MinBitrate, min(100_000, c.Bitrate))
	setZero(&c.StartBitrate, min(max(1_000_000, c.MinBitrate), c.Bitrate))
	setZero(&c.FPS, 30)
	setZero(&c.GOP, 60)
	setZero(&c.KeySize, 3)
	setZero(&c.RTT, 50*time.Millisecond)
	setZero(&c.Queue, netem.DefaultQueue)
	setZero(&c.Deadline, 200*time.Millisecond)
	setZero(&c.Duration, time.Minute)
}

// setZero gives a field that has no value its default.
func setZero[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// Check reports what is wrong with the configuration, and what would be right.
func (c LinkConfig) Check() error {
	c.setDefaults()
	within := func(d, most time.Duration) bool { return d >= 0 && d <= most }
	switch {
	case c.Hops != 1 && c.Hops != 2:
		return fmt.Errorf("hops must be 1 or 2, not %d", c.Hops)
	case !(c.Loss >= 0 && c.Loss <= maxLinkLoss):
		return fmt.Errorf("loss must be a share from 0 to %v, such as 0.05, not %v", maxLinkLoss, c.Loss)
	case !(c.Burst >= 0 && c.Burst <= maxLinkBurst):
		return fmt.Errorf("burst must be a number of datagrams from 0 to %d, not %v", maxLinkBurst, c.Burst)
	case c.Burst > 1 && c.Loss*(c.Burst+1) > c.Burst:
		return fmt.Errorf("losses in runs of %v leave no room between them for a loss of %v: at most %.2f, or longer runs", c.Burst, c.Loss, c.Burst/(c.Burst+1))
	case !within(max(c.RTT, 0), maxLinkTime), !within(c.Jitter, maxLinkTime), !within(c.Queue, maxLinkTime), !within(c.Deadline, maxLinkTime):
		return fmt.Errorf("rtt, jitter, queue and deadline must be from 0 to %v", maxLinkTime)
	case !(c.Duplicate >= 0 && c.Duplicate <= 1):
		return fmt.Errorf("duplicate must be a share from 0 to 1, not %v", c.Duplicate)
	case c.QueueBytes < 0 || c.QueueBytes > maxLinkQueue:
		return fmt.Errorf("queue-bytes must be from 0 to %d, not %d", maxLinkQueue, c.QueueBytes)
	case c.Duration <= 0 || c.Duration > maxLinkDuration:
		return fmt.Errorf("duration must be positive and at most %v, not %v", maxLinkDuration, c.Duration)
	case c.Rate != 0 && (c.Rate < minLinkRate || c.Rate > maxLinkRate):
		return fmt.Errorf("rate must be 0 for none or from %s to %sbit/s, not %d", bits(minLinkRate), bits(maxLinkRate), c.Rate)
	case c.Bitrate < minLinkBitrate || c.Bitrate > maxLinkBitrate:
		return fmt.Errorf("bitrate must be from %s to %sbit/s, not %d", bits(minLinkBitrate), bits(maxLinkBitrate), c.Bitrate)
	case c.MinBitrate < minLinkBitrate || c.MinBitrate > c.Bitrate || c.StartBitrate < c.MinBitrate || c.StartBitrate > c.Bitrate:
		return fmt.Errorf("the video's bitrates must not fall: %sbit/s, then min-bitrate %s, start-bitrate %s, bitrate %s",
			bits(minLinkBitrate), bits(int64(c.MinBitrate)), bits(int64(c.StartBitrate)), bits(int64(c.Bitrate)))
	case c.FPS < 1 || c.FPS > maxLinkFPS || c.GOP < 1 || c.KeySize < 1:
		return fmt.Errorf("fps must be from 1 to %d, gop and the key frames' size at least 1", maxLinkFPS)
	}
	return nil
}

// prepared is the configuration with its defaults, checked.
func (c LinkConfig) prepared() (LinkConfig, error) {
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("bench: %w", err)
	}
	c.setDefaults()
	return c, nil
}

// limits are the transport's, which counts audio too.
func (c *LinkConfig) limits() transport.BitrateLimits {
	return transport.BitrateLimits{Min: int64(c.MinBitrate) + linkAudioRate, Start: int64(c.StartBitrate) + linkAudioRate, Max: int64(c.Bitrate) + linkAudioRate}
}

// bottlenecked reports whether the media's links have a bottleneck.
func (c *LinkConfig) bottlenecked() bool { return c.Rate > 0 || c.Trace != nil }

// neck is the bottleneck alone.
func (c *LinkConfig) neck() netem.Config {
	return netem.Config{Rate: c.Rate, Queue: c.Queue, QueueBytes: c.QueueBytes, Trace: c.Trace}
}

// wire is the rest of a link; n is another for each link of a call.
func (c *LinkConfig) wire(n uint64) netem.Config {
	return netem.Config{
		Delay: max(c.RTT, 0) / 2, Jitter: c.Jitter, Reorder: c.Reorder, Loss: c.Loss, Burst: c.Burst, Duplicate: c.Duplicate, Seed: c.Seed*16 + n,
	}
}

// back is a link in the direction of the reports: what loses a run of media loses, for as long, what comes the other way, which is few.
func (c *LinkConfig) back(n uint64) netem.Config {
	l := c.wire(n)
	if c.Burst > 1 {
		every := float64(linkPacketBits) / float64(int64(c.Bitrate)+linkAudioRate) // seconds from one packet of media to the next
		l.BurstTime = time.Duration(c.Burst * every * float64(time.Second))
	}
	return l
}

// linkPacketBits is about what a packet of media has.
const linkPacketBits = 8 * 1000

// whole is a link with its bottleneck.
func (c *LinkConfig) whole(n uint64) netem.Config {
	l := c.wire(n)
	l.Rate, l.Queue, l.QueueBytes, l.Trace = c.Rate, c.Queue, c.QueueBytes, c.Trace
	return l
}
