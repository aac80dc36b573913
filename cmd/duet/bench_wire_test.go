package main

import (
	"strings"
	"testing"
)

func TestBenchWireMisuse(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--subnet: want one such as":        {"--subnet", "10.203.0.0"},
		"with two hosts":                    {"--subnet", "10.203.0.0/31"},
		"letters, digits and hyphens":       {"--name", "a b"},
		"two ways to say the same":          {"--rate", "1M", "--trace", "lte"},
		"--duration must not be negative":   {"--duration", "-1s"},
		"--every must be 0s or at least":    {"--every", "1ms"},
		"up: there is no \"speed\"":         {"--up", "speed=1M"},
		"invalid argument \"2\" for \"--lo": {"--loss", "2"},
	} {
		r := duet(t.Context(), nil, append([]string{"bench", "wire"}, args...)...)
		if r.code != exitMisuse || !strings.Contains(r.err.String(), want) {
			t.Errorf("%v: exit %d: %s", args, r.code, r.err)
		}
	}
}
