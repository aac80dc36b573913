package signaling_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"duet/signaling"
	"duet/signaling/auth"
	"duet/signaling/desk"
)

// call is a request with what a test wants to say of its way here.
type call struct {
	method, path, body, token string
	from                      string // peer's address; default 192.0.2.1
	host, origin, forwarded   string
	tls                       bool
	cookie                    *http.Cookie
}

// serve gives it to a handler without a network.
func serve(h http.Handler, c call) *http.Response {
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(c.body))
	r.Host = "duet.example"
	if c.host != "" {
		r.Host = c.host
	}
	r.RemoteAddr = "192.0.2.1:5000"
	if c.from != "" {
		r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(c.from), 5000).String()
	}
	for name, v := range map[string]string{"Origin": c.origin, "X-Forwarded-For": c.forwarded} {
		if v != "" {
			r.Header.Set(name, v)
		}
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.tls {
		r.TLS = &tls.ConnectionState{}
	}
	if c.cookie != nil {
		r.AddCookie(c.cookie)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func codeOf(t *testing.T, r *http.Response) string {
	t.Helper()
	var p struct{ Code string }
	if err := json.NewDecoder(r.Body).Decode(&p); err != nil {
		t.Fatal(err)
	}
	return p.Code
}

// newAPI is a handler with what a test sets of its configuration.
func newAPI(t *testing.T, set func(*signaling.APIConfig)) (*backend, http.Handler) {
	t.Helper()
	tokens, err := auth.NewTokens(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{site: newSite(t), tokens: tokens}
	cfg := signaling.APIConfig{Office: b.office, Tokens: tokens, Cost: auth.Cost{Time: 1, MemoryKiB: 64, Threads: 1}, ReadLog: b.readLog}
	if set != nil {
		set(&cfg)
	}
	return b, signaling.NewAPI(cfg)
}

// operations lists the document's, with {id} filled in.
func operations(t *testing.T) (list [][2]string, open map[[2]string]bool) {
	t.Helper()
	b, err := signaling.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct{ Security []any }
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	open = make(map[[2]string]bool)
	for path, methods := range doc.Paths {
		for method, op := range methods {
			one := [2]string{strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "nobody")}
			list = append(list, one)
			open[one] = len(op.Security) == 0
		}
	}
	return list, open
}

// TestOldTokens: no route takes a token that has expired, is for somebody else, or belongs to somebody who is kept out.
func TestOldTokens(t *testing.T) {
	b, h := newAPI(t, nil)
	b.do(desk.System(), &desk.DisableUser{ID: "gone"})
	all := desk.Roles()
	old, err := b.tokens.Sign(time.Now().Add(-time.Hour), auth.Claims{User: "boss", Roles: all, Expires: time.Now().Add(-time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	list, open := operations(t)
	for _, op := range list {
		if open[op] {
			continue
		}
		r := serve(h, call{method: op[0], path: op[1], token: old, body: `{}`})
		if r.StatusCode != http.StatusUnauthorized || r.Header.Get("WWW-Authenticate") != "Bearer" || codeOf(t, r) != "unauthorized" {
			t.Errorf("%v with an old token: %d", op, r.StatusCode)
		}
		r = serve(h, call{method: op[0], path: op[1], token: b.token("gone", all...), body: `{}`})
		if r.StatusCode != http.StatusForbidden || codeOf(t, r) != "disabled" {
			t.Errorf("%v by who is kept out: %d", op, r.StatusCode)
		}
	}
}

// TestOthersIDs: an ID that is nobody's is not found; what was done is done once, however often it is asked for.
func TestOthersIDs(t *testing.T) {
	b, h := newAPI(t, func(c *signaling.APIConfig) {
		c.Replay = func(context.Context, string, uint64) error { return nil }
	})
	admin := b.token("boss", desk.Admin)
	for _, op := range []string{
		"GET /v1/queues/nobody", "GET /v1/queues/nobody/line", "DELETE /v1/queues/nobody", "GET /v1/users/nobody", "DELETE /v1/users/nobody",
		"DELETE /v1/keys/nobody", "DELETE /v1/webhooks/nobody", "POST /v1/webhooks/nobody/replay", "GET /v1/calls/nobody", "GET /v1/calls/nobody/messages",
		"POST /v1/calls/nobody/end",
	} {
		method, path, _ := strings.Cut(op, " ")
		if r := serve(h, call{method: method, path: path, token: admin, body: `{"from":1}`}); r.StatusCode != http.StatusNotFound || codeOf(t, r) != "not-found" {
			t.Errorf("%s: %d", op, r.StatusCode)
		}
	}
	for _, c := range []call{
		{method: "PUT", path: "/v1/queues/loans", body: `{}`}, {method: "PUT", path: "/v1/users/anna", body: `{"roles":["agent"]}`},
		{method: "PUT", path: "/v1/webhooks/crm", body: `{"url":"https://crm.example/"}`}, {method: "POST", path: "/v1/webhooks/crm/replay", body: `{"from":1}`},
		{method: "POST", path: "/v1/users/anna/disable"}, {method: "POST", path: "/v1/users/anna/enable"},
	} {
		c.token = admin
		for range 2 {
			if r := serve(h, c); r.StatusCode >= 300 {
				t.Errorf("%s %s, perhaps again: %d %s", c.method, c.path, r.StatusCode, codeOf(t, r))
			}
		}
	}
	key := call{method: "POST", path: "/v1/keys", token: admin, body: `{"id":"crm","scopes":["calls"]}`}
	if first, second := serve(h, key), serve(h, key); first.StatusCode != http.StatusOK || second.StatusCode != http.StatusConflict {
		t.Errorf("a key twice: %d, %d", first.StatusCode, second.StatusCode)
	}
}

// TestKeptOut: a change to somebody who is kept out does not let them in again.
func TestKeptOut(t *testing.T) {
	b, h := newAPI(t, nil)
	admin := b.token("boss", desk.Admin)
	for _, c := range []call{
		{method: "PUT", path: "/v1/users/anna", body: `{"roles":["agent"]}`}, {method: "POST", path: "/v1/users/anna/disable"},
		{method: "PUT", path: "/v1/users/anna", body: `{"roles":["agent"],"name":"Anna"}`},
	} {
		c.token = admin
		if r := serve(h, c); r.StatusCode >= 300 {
			t.Fatalf("%s %s: %d", c.method, c.path, r.StatusCode)
		}
	}
	if r := serve(h, call{method: "GET", path: "/v1/me", token: b.token("anna", desk.Agent)}); r.StatusCode != http.StatusForbidden {
		t.Errorf("back in: %d", r.StatusCode)
	}
}

// TestRates: who needs no token is limited by address, and only a trusted proxy says which it is.
func TestRates(t *testing.T) {
	_, h := newAPI(t, func(c *signaling.APIConfig) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
	until := func(what string, next func(i int) call) bool {
		t.Helper()
		for i := range 40 {
			if r := serve(h, next(i)); r.StatusCode == http.StatusTooManyRequests {
				if r.Header.Get("Retry-After") == "" || codeOf(t, r) != "limit" {
					t.Errorf("%s: no word of when to come again", what)
				}
				return true
			}
		}
		return false
	}
	list, open := operations(t)
	for n, op := range list {
		if from := fmt.Sprintf("192.0.2.%d", n+10); open[op] && !until(op[1], func(int) call { return call{method: op[0], path: op[1], body: `{}`, from: from} }) {
			t.Errorf("%v has no limit", op)
		}
	}
	address := func(i int) string { return fmt.Sprintf("198.51.100.%d", i) }
	if !until("forged", func(i int) call {
		return call{method: "GET", path: "/v1/health", from: "192.0.2.1", forwarded: address(i)}
	}) {
		t.Error("who says another address each time has no limit")
	}
	if until("many", func(i int) call {
		return call{method: "GET", path: "/v1/health", from: "10.1.2.3", forwarded: address(i)}
	}) {
		t.Error("clients of a trusted proxy are taken for one")
	}
	if !until("forged through a proxy", func(i int) call {
		return call{method: "GET", path: "/v1/health", from: "10.1.2.3", forwarded: address(i) + ", 203.0.113.9"}
	}) {
		t.Error("a client that says another address to a proxy each time has no limit")
	}
	if !until("one network", func(i int) call {
		return call{method: "GET", path: "/v1/health", from: fmt.Sprintf("2001:db8::%x", i+1)}
	}) {
		t.Error("an IPv6 network has a limit for each of its addresses")
	}
	if !until("passwords from everywhere", func(i int) call {
		return call{method: "POST", path: "/v1/login", from: fmt.Sprintf("203.0.113.%d", i+20), body: `{"user":"anna","password":"x"}`}
	}) {
		t.Error("a user's password may be tried from everywhere without limit")
	}
}

// TestCookie: it is for TLS alone but on loopback, and pages of elsewhere get nothing by it.
func TestCookie(t *testing.T) {
	b, h := newAPI(t, func(c *signaling.APIConfig) { c.Proxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")} })
	body := `{"roles":["agent"],"password":"correct horse"}`
	if r := serve(h, call{method: "PUT", path: "/v1/users/anna", token: b.token("boss", desk.Admin), body: body}); r.StatusCode != http.StatusOK {
		t.Fatal(r.StatusCode)
	}
	in := call{method: "POST", path: "/v1/login", body: `{"user":"anna","password":"correct horse"}`}
	for what, c := range map[string]struct {
		from, host, forwarded string
		tls, want             bool
	}{
		"loopback":            {"127.0.0.1", "127.0.0.1:8080", "", false, false},
		"loopback by name":    {"::1", "localhost:8080", "", false, false},
		"TLS":                 {"192.0.2.1", "duet.example", "", true, true},
		"a proxy here":        {"127.0.0.1", "duet.example", "192.0.2.2", false, true},
		"one that renames us": {"127.0.0.1", "127.0.0.1:8080", "192.0.2.3", false, true},
	} {
		in.from, in.host, in.forwarded, in.tls = c.from, c.host, c.forwarded, c.tls
		r := serve(h, in)
		got := r.Cookies()
		if r.StatusCode != http.StatusOK || len(got) != 1 {
			t.Errorf("%s: %d, cookies %v", what, r.StatusCode, got)
			continue
		}
		k := got[0]
		name := "duet"
		if c.want {
			name = "__Host-duet"
		}
		if k.Name != name || k.Secure != c.want || !k.HttpOnly || k.SameSite != http.SameSiteStrictMode || k.Path != "/" || k.Domain != "" {
			t.Errorf("%s: cookie %v", what, k)
		}
		if !c.tls {
			continue
		}
		for origin, want := range map[string]int{"": 403, "null": 403, "https://evil.example": 403, "http://duet.example": 403, "https://duet.example": 200} {
			if r := serve(h, call{method: "POST", path: "/v1/refresh", tls: true, origin: origin, cookie: k}); r.StatusCode != want {
				t.Errorf("refresh by a page of %q: %d, want %d", origin, r.StatusCode, want)
			}
		}
	}
	in.tls, in.from, in.host, in.forwarded, in.origin = true, "192.0.2.9", "", "", "https://evil.example"
	if r := serve(h, in); r.StatusCode != http.StatusForbidden || len(r.Cookies()) > 0 {
		t.Errorf("a page of elsewhere signs its visitors in: %d", r.StatusCode)
	}
}

// TestDevNames: a page of elsewhere whose name was made to lead to this machine is not let in.
func TestDevNames(t *testing.T) {
	_, h := newAPI(t, func(c *signaling.APIConfig) { c.Dev = func() bool { return true } })
	for _, c := range []struct {
		from, host string
		want       int
	}{
		{"127.0.0.1", "127.0.0.1:8080", 200}, {"127.0.0.1", "localhost:8080", 200}, {"::1", "[::1]:8080", 200}, {"192.0.2.1", "dev.example:8080", 200},
		{"127.0.0.1", "evil.example:8080", 403}, {"::ffff:127.0.0.1", "evil.example", 403},
	} {
		if r := serve(h, call{method: "POST", path: "/v1/dev", body: `{"user":"x"}`, from: c.from, host: c.host}); r.StatusCode != c.want {
			t.Errorf("%+v: %d", c, r.StatusCode)
		}
	}
}

// TestRefusalsAreKept: the log tells who wanted what is an admin's, but not endlessly.
func TestRefusalsAreKept(t *testing.T) {
	b, h := newAPI(t, nil)
	for range 30 {
		if r := serve(h, call{method: "GET", path: "/v1/users/anna", token: b.token("carl", desk.Caller)}); r.StatusCode != http.StatusForbidden {
			t.Fatal(r.StatusCode)
		}
	}
	r := serve(h, call{method: "GET", path: "/v1/audit?limit=1000", token: b.token("al", desk.Auditor)})
	var log struct {
		Events []struct {
			Kind, By string
			Data     struct{ Action, Object, Detail string }
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&log); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range log.Events {
		if e.Kind == "audit" && e.By == "carl" && e.Data.Action == "refused" && e.Data.Object == "GET /v1/users/{id}" && e.Data.Detail == "anna" {
			n++
		}
	}
	if n < 1 || n > 10 {
		t.Errorf("30 refusals are kept as %d", n)
	}
}

// TestNoURLOfACall: a key for URLs opens no call.
func TestNoURLOfACall(t *testing.T) {
	b := newBackend(t, false)
	admin := b.token("boss", desk.Admin)
	_, _, id := b.connected()
	for _, body := range []string{`{"action":"play","stream":"live/` + id + `.1"}`, `{"action":"flv","stream":"live/` + id + `.2"}`} {
		if code, o := b.ask("POST", "/v1/urls", admin, body); code != 403 || o.text("url") != "" {
			t.Errorf("%s: %d %v", body, code, o)
		}
	}
	if code, _ := b.ask("POST", "/v1/urls", admin, `{"action":"play","stream":"live/x","ttl":"999h"}`); code != 400 {
		t.Errorf("for too long: %d", code)
	}
	if o := b.must("POST", "/v1/urls", admin, `{"action":"play","stream":"live/alice.1"}`); o.text("url") == "" {
		t.Errorf("another stream: %v", o)
	}
}
