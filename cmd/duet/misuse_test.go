package main

import (
	"strings"
	"testing"
)

// Wrong use ends with 2 and says how it is meant.
func TestMisuse(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if _, err := openSecrets(data, true); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		args []string
		text string
	}{
		"no such command":  {[]string{"frobnicate"}, "unknown command"},
		"push what":        {[]string{"push", "duet://x"}, "--input"},
		"push no URL":      {[]string{"push", "--input", "x"}, "DUET_URL"},
		"push rtmp":        {[]string{"push", "rtmp://127.0.0.1/live/a", "--input", "x"}, "duet url push|play"},
		"push two URLs":    {[]string{"push", "a", "b", "--input", "x"}, "one URL"},
		"play where":       {[]string{"play", "duet://x"}, "--output"},
		"play max-delay":   {[]string{"play", "duet://x", "--output", "y", "--max-delay", "0s"}, "--max-delay"},
		"a bare fragment":  {[]string{"play", "duet://127.0.0.1:7000/live/a", "--output", "y"}, "quotes"},
		"url of nothing":   {[]string{"url", "push"}, "an action and a stream"},
		"url to nowhere":   {[]string{"url", "push", "live/a", "--host", "a b", "--data", data}, "--host"},
		"url of what":      {[]string{"url", "sing", "live/a"}, "sing"},
		"loop from a pipe": {[]string{"push", "duet://127.0.0.1:7000/live/a#k=" + strings.Repeat("A", 42) + "E&t=x", "--input", "-", "--loop"}, "--loop"},
	} {
		if r := duet(t.Context(), nil, test.args...); r.code != exitMisuse || !strings.Contains(r.err.String(), test.text) || !strings.HasPrefix(r.err.String(), "duet: error: ") {
			t.Errorf("%s: exit %d: %s", name, r.code, r.err)
		}
	}
	if r := duet(t.Context(), nil, "url", "push", "live/a", "--data", t.TempDir()); r.code != exitFailed || !strings.Contains(r.err.String(), "duet serve --data") {
		t.Errorf("url without a server: exit %d: %s", r.code, r.err)
	}
	if r := duet(t.Context(), nil, "version"); r.code != exitDone || !strings.HasPrefix(r.out.String(), "duet ") {
		t.Errorf("version: exit %d: %s", r.code, r.out)
	}
}
