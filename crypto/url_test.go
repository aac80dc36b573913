package crypto

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
)

func testURL(t testing.TB) URL {
	return URL{Host: "relay.example:7000", Stream: "live/alice", Key: testKey(t, 1).Public(), Token: "AQEAtoken_-"}
}

func TestParseURL(t *testing.T) {
	u := testURL(t)
	fragment := "#k=" + u.Key.Text() + "&t=" + u.Token
	for place, host := range map[string]string{
		"relay.example:7000":         "relay.example:7000",
		"relay.example":              "relay.example:7000",
		"relay.example:1":            "relay.example:1",
		"Relay_1.example:065535":     "Relay_1.example:65535",
		"192.0.2.7":                  "192.0.2.7:7000",
		"192.0.2.7:443":              "192.0.2.7:443",
		"[2001:DB8::0:1]":            "[2001:db8::1]:7000",
		"[::1]:443":                  "[::1]:443",
		"[::ffff:192.0.2.7]:443":     "[::ffff:192.0.2.7]:443",
		"a":                          "a:7000",
		strings.Repeat("a", maxHost): strings.Repeat("a", maxHost) + ":7000",
	} {
		got, err := ParseURL("duet://" + place + "/live/alice" + fragment)
		want := u
		want.Host = host
		if err != nil || got != want {
			t.Errorf("%s: %s, %v, want %s", place, got.Host, err, host)
		}
		if again, err := ParseURL(got.String()); err != nil || again != got {
			t.Errorf("%s does not survive String: %v", place, err)
		}
	}
	got, err := ParseURL("duet://relay.example/live/alice#x=1&t=" + u.Token + "&new&k=" + u.Key.Text() + "&")
	if err != nil || got != u {
		t.Errorf("other order and unknown fields: %v", err)
	}
}

func TestParseURLErrors(t *testing.T) {
	u := testURL(t)
	k, tok := "k="+u.Key.Text(), "t="+u.Token
	for _, c := range []struct{ url, says string }{
		{"", "does not begin with duet://"},
		{"http://relay.example/live/alice#" + k + "&" + tok, "does not begin with duet://"},
		{"relay.example/live/alice#" + k + "&" + tok, "does not begin with duet://"},
		{"duet:///live/alice#" + k + "&" + tok, "host is missing"},
		{"duet://:7000/live/alice#" + k + "&" + tok, "host is missing"},
		{"duet://h#" + k + "&" + tok, "stream is missing"},
		{"duet://h/#" + k + "&" + tok, "stream is missing"},
		{"duet://h/alice#" + k + "&" + tok, "not a stream name"},
		{"duet://h/live/a/b#" + k + "&" + tok, "not a stream name"},
		{"duet://h/live/alice?" + k + "&" + tok, "not after ?"},
		{"duet://h/live/alice", "key and token are missing"},
		{"duet://h/live/alice#", "key (k=…) is missing"},
		{"duet://h/live/alice#" + tok, "key (k=…) is missing"},
		{"duet://h/live/alice#" + k, "token (t=…) is missing"},
		{"duet://h/live/alice#k=&" + tok, "key (k=…) is damaged"},
		{"duet://h/live/alice#" + k + "&" + k + "&" + tok, "key (k=…) is damaged"},
		{"duet://h/live/alice#" + k[:40] + "&" + tok, "key (k=…) is damaged"},
		{"duet://h/live/alice#k=" + strings.Repeat("A", 43) + "&" + tok, "key (k=…) is damaged"},
		{"duet://h/live/alice#" + k + "&t=", "token (t=…) is damaged"},
		{"duet://h/live/alice#" + k + "&" + tok + "=", "token (t=…) is damaged"},
		{"duet://h/live/alice#" + k + "&" + tok + "\n", "token (t=…) is damaged"},
		{"duet://h/live/alice#" + k + "&" + tok + "&" + tok, "token (t=…) is damaged"},
		{"duet://h/live/alice#" + k + "&t=" + strings.Repeat("A", MaxTokenText+1), "token (t=…) is damaged"},
		{"duet://" + strings.Repeat("a", maxURL), "longer than 2048"},
		{"duet://h:0/live/alice#" + k + "&" + tok, "port"},
		{"duet://h:/live/alice#" + k + "&" + tok, "port"},
		{"duet://h:65536/live/alice#" + k + "&" + tok, "port"},
		{"duet://h:+7/live/alice#" + k + "&" + tok, "port"},
		{"duet://[::1]:x/live/alice#" + k + "&" + tok, "port"},
		{"duet://::1/live/alice#" + k + "&" + tok, "brackets"},
		{"duet://[::1/live/alice#" + k + "&" + tok, "not closed"},
		{"duet://[::1]7000/live/alice#" + k + "&" + tok, "other than a port"},
		{"duet://[192.0.2.7]/live/alice#" + k + "&" + tok, "no IPv6 address"},
		{"duet://[fe80::1%eth0]/live/alice#" + k + "&" + tok, "zone"},
		{"duet://user@h/live/alice#" + k + "&" + tok, "neither a name nor an address"},
		{"duet://h h/live/alice#" + k + "&" + tok, "neither a name nor an address"},
		{"duet://-h/live/alice#" + k + "&" + tok, "neither a name nor an address"},
		{"duet://bücher.example/live/alice#" + k + "&" + tok, "neither a name nor an address"},
		{"duet://" + strings.Repeat("a", maxHost+1) + "/live/alice#" + k + "&" + tok, "neither a name nor an address"},
	} {
		got, err := ParseURL(c.url)
		if !errors.Is(err, ErrURL) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q: %v, want it to say %q", c.url, err, c.says)
			continue
		}
		if got != (URL{}) {
			t.Errorf("%q: a URL comes with the error", c.url)
		}
		if strings.Contains(err.Error(), u.Token) || strings.Contains(err.Error(), u.Key.Text()[:10]) {
			t.Errorf("%q: the error shows the secret part: %v", c.url, err)
		}
	}
}

func TestURLPrintsWithoutItsSecret(t *testing.T) {
	u := testURL(t)
	const want = "duet://relay.example:7000/live/alice#[redacted]"
	if got := u.Redacted(); got != want {
		t.Errorf("Redacted is %q, want %q", got, want)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{u, &u} {
			if got := fmt.Sprintf(verb, v); got != want {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	if b, err := json.Marshal(u); err != nil || string(b) != `"`+want+`"` {
		t.Errorf("as JSON it is %s, %v", b, err)
	}
	if !strings.Contains(u.String(), u.Token) {
		t.Error("String leaves the token out")
	}
}

func FuzzParseURL(f *testing.F) {
	u := testURL(f)
	f.Add(u.String())
	f.Add("duet://[2001:db8::1]:443/live/alice#t=AA&x&k=" + u.Key.Text())
	f.Add("duet://h:0/live/alice#k=&t=")
	f.Add("duet://h/live/alice?t=secret")
	f.Add("duet://")
	f.Fuzz(func(t *testing.T, s string) {
		u, err := ParseURL(s)
		if err != nil {
			if u != (URL{}) || !errors.Is(err, ErrURL) {
				t.Errorf("%v with a URL", err)
			}
			return
		}
		text := u.String()
		again, err := ParseURL(text)
		if err != nil || again != u || again.String() != text {
			t.Errorf("%q is read as %q, which is read as %q, %v", s, text, again.String(), err)
		}
		if strings.Contains(u.Redacted(), u.Key.Text()) || strings.Contains(fmt.Sprint(u), "&t=") {
			t.Errorf("%q shows its secret part", u.Redacted())
		}
	})
}
