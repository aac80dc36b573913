package main

import (
	"encoding/json"
	"strings"
	"testing"

	"duet/bench"
)

// The test cases of rate control are told as a table or as JSON; a case or a loss that there is not is refused.
func TestBenchRmcat(t *testing.T) {
	t.Parallel()
	args := []string{"bench", "rmcat", "--case", "5.1", "--loss", "0,0.05"}
	r := duet(t.Context(), nil, args...)
	for _, want := range []string{"utilisation", "at least 0.900", "recovery", "at most 500.0 ms", "media 1", "5 % random loss"} {
		if r.code != exitDone || !strings.Contains(r.out.String(), want) {
			t.Errorf("exit %d, no %q in: %s%s", r.code, want, r.out, r.err)
		}
	}
	r = duet(t.Context(), nil, append(args, "--json")...)
	var reports []bench.RmcatReport
	if err := json.Unmarshal([]byte(r.out.String()), &reports); err != nil || len(reports) != 2 || len(reports[0].Flows[0].Seconds) != 100 {
		t.Errorf("exit %d, %v: %.300s", r.code, err, r.out)
	}
	for _, wrong := range [][]string{{"--case", "6.1"}, {"--loss", "1"}, {"--jitter", "1h"}} {
		if r := duet(t.Context(), nil, append([]string{"bench", "rmcat"}, wrong...)...); r.code != exitMisuse {
			t.Errorf("%v: exit %d: %s", wrong, r.code, r.err)
		}
	}
}
