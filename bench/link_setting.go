package bench

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"duet/bench/netem"
	"duet/transport"
)

// LinkSetting is one thing about a call that people can choose by name: as a flag, in a preset, or as an axis of a sweep.
type LinkSetting struct {
	Name string
	Help string
	Type string // of the value, in a word

	set func(c *LinkConfig, v string) error
	get func(c *LinkConfig) string
}

// Switch reports whether the setting is on or off, and on where only its name is given.
func (s LinkSetting) Switch() bool { return s.Type == typeSwitch }

// Types of values.
const (
	typeShare  = "share"
	typeTime   = "time"
	typeRate   = "bit/s"
	typeNumber = "number"
	typeName   = "name"
	typeSwitch = "switch"
)

// Names of policies.
const (
	// DefaultPolicy is the planner's, the transport's own.
	DefaultPolicy  = "planner"
	policyAdaptive = "adaptive"
)

// linkSettings are all of them, in the order in which people are told.
var linkSettings = []LinkSetting{
	shareSetting("loss", "share of datagrams lost on each hop, each way, such as 0.05 or 5%", maxLinkLoss, func(c *LinkConfig) *float64 { return &c.Loss }),
	{"burst", "mean run of losses in datagrams of media; 1 or less: independent losses", typeNumber,
		func(c *LinkConfig, v string) error { return setFloat(&c.Burst, v, maxLinkBurst) },
		func(c *LinkConfig) string { return strconv.FormatFloat(c.Burst, 'g', -1, 64) }},
	{"rtt", "round trip of each hop", typeTime,
		func(c *LinkConfig, v string) error {
			err := setTime(&c.RTT, v)
			if err == nil && c.RTT == 0 {
				c.RTT = -1
			}
			return err
		},
		func(c *LinkConfig) string { return max(c.RTT, 0).String() }},
	timeSetting("jitter", "most that is added to the way through a hop", func(c *LinkConfig) *time.Duration { return &c.Jitter }),
	shareSetting("duplicate", "share of datagrams that come twice", 1, func(c *LinkConfig) *float64 { return &c.Duplicate }),
	switchSetting("reorder", "let jitter change the order", func(c *LinkConfig) *bool { return &c.Reorder }),
	{"rate", "bottleneck of each hop in the media's direction, such as 2M; 0: none", typeRate,
		func(c *LinkConfig, v string) error {
			err := setBits(&c.Rate, v, minLinkRate, maxLinkRate, true)
			if err == nil {
				c.Trace, c.TraceName = nil, ""
			}
			return err
		},
		func(c *LinkConfig) string { return bits(c.Rate) }},
	timeSetting("queue", "longest wait at the bottleneck", func(c *LinkConfig) *time.Duration { return &c.Queue }),
	{"queue-bytes", "size of the bottleneck's queue in bytes, in place of --queue", typeNumber,
		func(c *LinkConfig, v string) error {
			var x float64
			if err := setFloat(&x, v, maxLinkQueue); err != nil {
				return err
			}
			c.QueueBytes = int(x)
			return nil
		},
		func(c *LinkConfig) string { return strconv.Itoa(c.QueueBytes) }},
	{"trace", "capacity of the bottleneck over time, in place of --rate: a file in mahimahi's format, or one of those below", "file|name", setTrace,
		func(c *LinkConfig) string { return c.TraceName }},
	timeSetting("deadline", "capture to playout", func(c *LinkConfig) *time.Duration { return &c.Deadline }),
	switchSetting("aim", "the player asks for less delay than --deadline, as one that shows a conversation does", func(c *LinkConfig) *bool { return &c.Aim }),
	countSetting("hops", "1: only the pusher's link is bad", func(c *LinkConfig) *int { return &c.Hops }),
	bitrateSetting("bitrate", "of the video, at most", func(c *LinkConfig) *int { return &c.Bitrate }),
	bitrateSetting("min-bitrate", "of the video, at least (default 100k)", func(c *LinkConfig) *int { return &c.MinBitrate }),
	bitrateSetting("start-bitrate", "of the video, to begin with (default 1M)", func(c *LinkConfig) *int { return &c.StartBitrate }),
	switchSetting("fixed", "make --bitrate all the time, whatever the network carries", func(c *LinkConfig) *bool { return &c.Fixed }),
	countSetting("fps", "frames a second", func(c *LinkConfig) *int { return &c.FPS }),
	countSetting("gop", "frames from one key frame to the next", func(c *LinkConfig) *int { return &c.GOP }),
	{"policy", "of redundancy: planner, or adaptive, a plain Reed-Solomon code for each frame to compare with", typeName, setPolicy,
		func(c *LinkConfig) string {
			switch c.Policy.(type) {
			case nil:
				return DefaultPolicy
			case transport.Adaptive:
				return policyAdaptive
			default:
				return fmt.Sprintf("%T", c.Policy)
			}
		}},
	{"duration", "length of the call", typeTime,
		func(c *LinkConfig, v string) error {
			d, err := parseTime(v, maxLinkDuration)
			if err == nil && d == 0 {
				err = errors.New("a call takes time, such as 60s")
			}
			if err == nil {
				c.Duration = d
			}
			return err
		},
		func(c *LinkConfig) string { return c.Duration.String() }},
	{"seed", "of everything that is drawn", typeNumber,
		func(c *LinkConfig, v string) error {
			n, err := strconv.ParseUint(v, 10, 64)
			if err != nil {
				return fmt.Errorf("want a whole number from 0, not %q", v)
			}
			c.Seed = n
			return nil
		},
		func(c *LinkConfig) string { return strconv.FormatUint(c.Seed, 10) }},
}

// LinkSettings lists what Set knows.
func LinkSettings() []LinkSetting { return append([]LinkSetting(nil), linkSettings...) }

// Set gives the setting of that name a value. An error says which values are right; the configuration is then as before.
func (c *LinkConfig) Set(name, value string) error {
	for _, s := range linkSettings {
		if s.Name == name {
			return s.set(c, strings.TrimSpace(value))
		}
	}
	return fmt.Errorf("there is no %q: it is one of %s", name, strings.Join(settingNames(), ", "))
}

// Get is the value of the setting of that name as Set takes it, empty for a name that there is not.
func (c *LinkConfig) Get(name string) string {
	for _, s := range linkSettings {
		if s.Name == name {
			return s.get(c)
		}
	}
	return ""
}

func settingNames() []string {
	var names []string
	for _, s := range linkSettings {
		names = append(names, s.Name)
	}
	return names
}

func shareSetting(name, help string, most float64, field func(*LinkConfig) *float64) LinkSetting {
	return LinkSetting{name, help, typeShare,
		func(c *LinkConfig, v string) error { return setShare(field(c), v, most) },
		func(c *LinkConfig) string { return strconv.FormatFloat(*field(c), 'g', -1, 64) }}
}

func timeSetting(name, help string, field func(*LinkConfig) *time.Duration) LinkSetting {
	return LinkSetting{name, help, typeTime,
		func(c *LinkConfig, v string) error { return setTime(field(c), v) },
		func(c *LinkConfig) string { return field(c).String() }}
}

func switchSetting(name, help string, field func(*LinkConfig) *bool) LinkSetting {
	return LinkSetting{name, help, typeSwitch,
		func(c *LinkConfig, v string) error {
			b, err := strconv.ParseBool(v)
			if err != nil {
				return fmt.Errorf("want true or false, not %q", v)
			}
			*field(c) = b
			return nil
		},
		func(c *LinkConfig) string { return strconv.FormatBool(*field(c)) }}
}

func countSetting(name, help string, field func(*LinkConfig) *int) LinkSetting {
	return LinkSetting{name, help, typeNumber,
		func(c *LinkConfig, v string) error {
			n, err := strconv.Atoi(v)
			if err != nil || n < 1 {
				return fmt.Errorf("want a whole number from 1, not %q", v)
			}
			*field(c) = n
			return nil
		},
		func(c *LinkConfig) string { return strconv.Itoa(*field(c)) }}
}

func bitrateSetting(name, help string, field func(*LinkConfig) *int) LinkSetting {
	return LinkSetting{name, help, typeRate,
		func(c *LinkConfig, v string) error {
			var n int64
			if err := setBits(&n, v, minLinkBitrate, maxLinkBitrate, false); err != nil {
				return err
			}
			*field(c) = int(n)
			return nil
		},
		func(c *LinkConfig) string {
			if *field(c) == 0 {
				return "" // it follows from another
			}
			return bits(int64(*field(c)))
		}}
}

func setPolicy(c *LinkConfig, v string) error {
	switch v {
	case DefaultPolicy:
		c.Policy = nil
	case policyAdaptive:
		c.Policy = transport.Adaptive{}
	default:
		return fmt.Errorf("want %s or %s, not %q", DefaultPolicy, policyAdaptive, v)
	}
	return nil
}

// setTrace takes a trace by its name or from a file; empty is none.
func setTrace(c *LinkConfig, v string) error {
	if v == "" {
		c.Trace, c.TraceName = nil, ""
		return nil
	}
	t, err := netem.NamedTrace(v)
	if err != nil { // no name: a file
		f, err := os.Open(v)
		if err != nil {
			return fmt.Errorf("want a file in mahimahi's format or one of %s: %w", strings.Join(netem.TraceNames(), ", "), err)
		}
		t, err = netem.ParseTrace(f)
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("%s: %w", v, err)
		}
	}
	c.Trace, c.TraceName = t, v
	return nil
}

func setShare(p *float64, v string, most float64) error {
	text, percent := strings.CutSuffix(v, "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if percent {
		x = math.Round(x*1e10) / 1e12 // 7 % is 0.07 and no more
	}
	if err != nil || !(x >= 0 && x <= most) {
		return fmt.Errorf("want a share from 0 to %v, such as 0.05 or 5%%, not %q", most, v)
	}
	*p = x
	return nil
}

func setFloat(p *float64, v string, most float64) error {
	x, err := strconv.ParseFloat(v, 64)
	if err != nil || !(x >= 0 && x <= most) {
		return fmt.Errorf("want a number from 0 to %v, not %q", most, v)
	}
	*p = x
	return nil
}

func setTime(p *time.Duration, v string) error {
	d, err := parseTime(v, maxLinkTime)
	if err == nil {
		*p = d
	}
	return err
}

func parseTime(v string, most time.Duration) (time.Duration, error) {
	d, err := time.ParseDuration(v)
	if err != nil || d < 0 || d > most {
		return 0, fmt.Errorf("want a time from 0s to %v with its unit, such as 50ms or 2s, not %q", most, v)
	}
	return d, nil
}

// setBits reads a rate in bit/s: 1500000, 1500k or 1.5M.
func setBits(p *int64, v string, least, most int64, none bool) error {
	unit := 1.0
	text := v
	for suffix, u := range map[string]float64{"k": 1e3, "M": 1e6, "G": 1e9} {
		if t, ok := strings.CutSuffix(v, suffix); ok {
			text, unit = t, u
		}
	}
	x, err := strconv.ParseFloat(text, 64)
	n := math.Round(x * unit)
	if err != nil || !(n >= float64(least) && n <= float64(most) || none && n == 0) {
		return fmt.Errorf("want bits a second from %s to %s, such as 500k or 1.5M, not %q", bits(least), bits(most), v)
	}
	*p = int64(n)
	return nil
}

// bits is a rate as setBits reads it.
func bits(n int64) string {
	for _, u := range []struct {
		size   int64
		suffix string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= u.size && n*100%u.size == 0 {
			return strconv.FormatFloat(float64(n)/float64(u.size), 'f', -1, 64) + u.suffix
		}
	}
	return strconv.FormatInt(n, 10)
}
