package bench

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"duet/bench/netem"
)

// ProxySetting is one thing about a link that people can choose by name.
type ProxySetting struct {
	Name string
	Help string
	Type string // of the value, in a word

	set func(c *netem.Config, v string) error
}

// Switch reports whether the setting is on or off, and on where only its name is given.
func (s ProxySetting) Switch() bool { return s.Type == typeSwitch }

// SettingCut is the name of the setting that cuts a link.
const SettingCut = "cut"

// typeBytes is a number of bytes.
const typeBytes = "bytes"

// Limits of settings, beside those of a call.
const (
	maxProxySteps = 1000
	maxProxyQueue = 512 << 20 // bytes
)

// proxySettings are all of them, in the order in which people are told.
var proxySettings = []ProxySetting{
	{"loss", "share of datagrams lost, behind the bottleneck, such as 0.05 or 5%", typeShare,
		func(c *netem.Config, v string) error { return setShare(&c.Loss, v, 1) }},
	{"burst", "mean run of losses in datagrams; 1 or less: independent losses", typeNumber,
		func(c *netem.Config, v string) error { return setFloat(&c.Burst, v, maxLinkBurst) }},
	{"burst-time", "mean time of a run of losses, whatever is sent meanwhile; in place of burst", typeTime,
		func(c *netem.Config, v string) error { return setTime(&c.BurstTime, v) }},
	{"duplicate", "share of datagrams that arrive twice", typeShare,
		func(c *netem.Config, v string) error { return setShare(&c.Duplicate, v, 1) }},
	{"delay", "time on the way, each way", typeTime,
		func(c *netem.Config, v string) error { return setTime(&c.Delay, v) }},
	{"jitter", "most that is added to the delay, drawn for each datagram", typeTime,
		func(c *netem.Config, v string) error { return setTime(&c.Jitter, v) }},
	{"reorder", "let jitter change the order", typeSwitch,
		func(c *netem.Config, v string) error { return setSwitch(&c.Reorder, v) }},
	{"rate", "rate of the bottleneck, such as 2M; 0: none", typeRate,
		func(c *netem.Config, v string) error {
			c.Trace = nil
			return setBits(&c.Rate, v, minLinkRate, maxLinkRate, true)
		}},
	{"trace", "when the bottleneck passes something, in place of rate: a file in mahimahi's format, or " + strings.Join(netem.TraceNames(), ", "), typeName,
		func(c *netem.Config, v string) error {
			var call LinkConfig
			err := setTrace(&call, v)
			c.Trace = call.Trace
			return err
		}},
	{"queue", "longest wait at the bottleneck; what would wait longer is dropped (default 300ms)", typeTime,
		func(c *netem.Config, v string) error {
			c.QueueBytes = 0
			return setTime(&c.Queue, v)
		}},
	{"queue-bytes", "most bytes at the bottleneck, such as 64k; in place of queue", typeBytes,
		func(c *netem.Config, v string) error { return setBytes(&c.QueueBytes, v) }},
	{"mark", "wait at the bottleneck above which a datagram counts as marked (ECN); 0s: none", typeTime,
		func(c *netem.Config, v string) error { return setTime(&c.Mark, v) }},
	{SettingCut, "lose everything", typeSwitch,
		func(c *netem.Config, v string) error { return setSwitch(&c.Down, v) }},
}

// ProxySettings lists what ProxyLinks takes.
func ProxySettings() []ProxySetting { return slices.Clone(proxySettings) }

// ProxyLinks are the links of a [Proxy] in words.
type ProxyLinks struct {
	// Both are settings of both directions, each NAME=VALUE. Up and Down are settings of one, and have the last word.
	Both, Up, Down []string

	// At are changes on the way, in any order, each a time, a direction unless it is both, and settings: "10s up rate=500k loss=5%". What
	// is not named stays as it was by then.
	At []string

	// Outages are AT,FOR for both directions, or AT,FOR,up or AT,FOR,down.
	Outages []string

	Seed uint64
}

// Configs makes links of the words. An error says which word is wrong, and what would be right.
func (p *ProxyLinks) Configs() (up, down netem.Config, err error) {
	both := netem.Config{Seed: p.Seed}
	if err := apply(&both, p.Both); err != nil {
		return up, down, err
	}
	up, down = both, both
	if err := apply(&up, p.Up); err != nil {
		return up, down, fmt.Errorf("up: %w", err)
	}
	if err := apply(&down, p.Down); err != nil {
		return up, down, fmt.Errorf("down: %w", err)
	}
	if len(p.At) > maxProxySteps || len(p.Outages) > maxProxySteps {
		return up, down, fmt.Errorf("more than %d changes or outages", maxProxySteps)
	}
	steps, err := parseSteps(p.At)
	if err != nil {
		return up, down, err
	}
	nowUp, nowDown := up, down
	for _, s := range steps {
		if s.dir != DirDown {
			if err := apply(&nowUp, s.pairs); err != nil {
				return up, down, fmt.Errorf("at %v: %w", s.at, err)
			}
			up.Schedule = append(up.Schedule, netem.Step{At: s.at, Config: nowUp})
		}
		if s.dir != DirUp {
			if err := apply(&nowDown, s.pairs); err != nil {
				return up, down, fmt.Errorf("at %v: %w", s.at, err)
			}
			down.Schedule = append(down.Schedule, netem.Step{At: s.at, Config: nowDown})
		}
	}
	for _, text := range p.Outages {
		at, length, dir, err := parseOutage(text)
		if err != nil {
			return up, down, fmt.Errorf("outage %q: %w", text, err)
		}
		if dir != DirDown {
			up = up.WithOutage(at, length)
		}
		if dir != DirUp {
			down = down.WithOutage(at, length)
		}
	}
	return up, down, nil
}

// apply sets what pairs of name and value say.
func apply(c *netem.Config, pairs []string) error {
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		i := slices.IndexFunc(proxySettings, func(s ProxySetting) bool { return s.Name == name })
		switch {
		case i < 0:
			names := make([]string, len(proxySettings))
			for i, s := range proxySettings {
				names[i] = s.Name
			}
			return fmt.Errorf("there is no %q: it is one of %s", name, strings.Join(names, ", "))
		case !ok && !proxySettings[i].Switch():
			return fmt.Errorf("%s: want %s=VALUE", name, name)
		case !ok:
			value = "true"
		}
		if err := proxySettings[i].set(c, value); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

type proxyStep struct {
	at    time.Duration
	dir   string // empty: both
	pairs []string
}

// parseSteps reads changes and gives them in the order of their times.
func parseSteps(texts []string) ([]proxyStep, error) {
	steps := make([]proxyStep, 0, len(texts))
	for _, text := range texts {
		words := strings.Fields(text)
		var s proxyStep
		var err error
		if len(words) > 0 {
			s.at, err = parseTime(words[0], maxLinkDuration)
			words = words[1:]
		}
		if len(words) > 0 && (words[0] == DirUp || words[0] == DirDown) {
			s.dir, words = words[0], words[1:]
		}
		if s.pairs = words; err == nil && len(words) == 0 {
			err = errors.New(`want a time, up or down unless it is both, and settings, such as "10s up rate=500k loss=5%"`)
		}
		if err != nil {
			return nil, fmt.Errorf("at %q: %w", text, err)
		}
		steps = append(steps, s)
	}
	slices.SortStableFunc(steps, func(a, b proxyStep) int { return cmp.Compare(a.at, b.at) })
	return steps, nil
}

func parseOutage(text string) (at, length time.Duration, dir string, err error) {
	words := strings.Split(text, ",")
	if len(words) == 3 {
		dir = words[2]
	}
	if len(words) < 2 || len(words) > 3 || dir != "" && dir != DirUp && dir != DirDown {
		return 0, 0, "", errors.New("want when and for how long, such as 30s,1s, and up or down unless it is both: 30s,1s,up")
	}
	if at, err = parseTime(words[0], maxLinkDuration); err == nil {
		length, err = parseTime(words[1], maxLinkDuration)
	}
	return at, length, dir, err
}

func setSwitch(p *bool, v string) error {
	on, err := strconv.ParseBool(v)
	if err != nil {
		return fmt.Errorf("want true or false, not %q", v)
	}
	*p = on
	return nil
}

// setBytes reads a number of bytes: 65536, 64k or 1.5M, in thousands.
func setBytes(p *int, v string) error {
	text, unit := v, 1.0
	if t, ok := strings.CutSuffix(v, "k"); ok {
		text, unit = t, 1e3
	} else if t, ok := strings.CutSuffix(v, "M"); ok {
		text, unit = t, 1e6
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || !(x >= 0 && x*unit <= maxProxyQueue) {
		return fmt.Errorf("want bytes up to %d, such as 65536, 64k or 1M, not %q", maxProxyQueue, v)
	}
	*p = int(math.Round(x * unit))
	return nil
}
