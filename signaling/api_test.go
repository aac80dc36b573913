package signaling_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"duet/signaling"
	"duet/signaling/auth"
	"duet/signaling/desk"
)

// backend is a client of the HTTP interface.
type backend struct {
	*site
	srv    *httptest.Server
	tokens *auth.Tokens
	cookie []*http.Cookie
}

func newBackend(t *testing.T, dev bool) *backend {
	t.Helper()
	tokens, err := auth.NewTokens(bytes.Repeat([]byte{7}, 32))
	if err != nil {
		t.Fatal(err)
	}
	b := &backend{site: newSite(t), tokens: tokens}
	b.srv = httptest.NewServer(signaling.NewAPI(signaling.APIConfig{
		Office: b.office, Tokens: tokens, Cost: auth.Cost{Time: 1, MemoryKiB: 64, Threads: 1}, Dev: func() bool { return dev }, ReadLog: b.readLog,
		MintURL: func(action, stream, _ string, _ time.Duration) (string, error) {
			return "duet://test/" + stream + "?" + action, nil
		},
	}))
	t.Cleanup(b.srv.Close)
	return b
}

func (b *backend) token(user string, roles ...desk.Role) string {
	b.t.Helper()
	text, err := b.tokens.Sign(time.Now(), auth.Claims{User: user, Roles: roles, Expires: time.Now().Add(time.Minute)})
	if err != nil {
		b.t.Fatal(err)
	}
	return text
}

// ask sends a request and gives status and body.
func (b *backend) ask(method, path, token, body string) (int, object) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.srv.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for _, c := range b.cookie {
		req.AddCookie(c)
	}
	if len(b.cookie) > 0 {
		req.Header.Set("Origin", b.srv.URL)
	}
	r, err := b.srv.Client().Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = r.Body.Close() }()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	if c := r.Cookies(); len(c) > 0 {
		b.cookie = c
	}
	var o object
	if len(text) > 0 {
		if err := json.Unmarshal(text, &o); err != nil {
			b.t.Fatalf("%s %s: %s", method, path, text)
		}
	}
	if r.StatusCode >= 400 && r.Header.Get("Content-Type") != "application/problem+json" {
		b.t.Errorf("%s %s: %d as %s", method, path, r.StatusCode, r.Header.Get("Content-Type"))
	}
	return r.StatusCode, o
}

func (b *backend) must(method, path, token, body string) object {
	b.t.Helper()
	code, o := b.ask(method, path, token, body)
	if code >= 300 {
		b.t.Fatalf("%s %s: %d %v", method, path, code, o)
	}
	return o
}

// TestRoutes holds every route to: no token, one that is not ours, the wrong role, a key without the scope, a body that is none, or too large.
func TestRoutes(t *testing.T) {
	b := newBackend(t, false)
	admin := b.token("boss", desk.Admin)
	key := b.must("POST", "/v1/keys", admin, `{"id":"none","scopes":["urls"]}`).text("key")
	doc := b.must("GET", "/v1/openapi.json", "", "")
	n := 0
	for path, methods := range doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			method, path := strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "nobody")
			n++
			security, _ := op.(map[string]any)["security"].([]any)
			if len(security) == 0 {
				continue // open: TestSigningIn
			}
			for what, c := range map[string]struct {
				token string
				want  int
			}{
				"no token": {"", 401}, "a bad token": {"x.y.z", 401}, "a bad key": {"duet_none_AAAA", 401},
				"a caller": {b.token("carl", desk.Caller), 403}, "another scope": {key, 403},
			} {
				if path == "/v1/me" && what == "a caller" || path == "/v1/urls" && what == "another scope" {
					continue
				}
				if code, o := b.ask(method, path, c.token, `{}`); code != c.want || o.text("code") == "" {
					t.Errorf("%s %s by %s: %d %v, want %d", method, path, what, code, o, c.want)
				}
			}
			if _, has := op.(map[string]any)["requestBody"]; !has {
				continue
			}
			if code, o := b.ask(method, path, admin, `{`); code != 400 {
				t.Errorf("%s %s with half a body: %d %v", method, path, code, o)
			}
			if code, o := b.ask(method, path, admin, `{"x":"`+strings.Repeat("x", 70<<10)+`"}`); code != 413 {
				t.Errorf("%s %s with a large body: %d %v", method, path, code, o)
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d operations", n)
	}
	if code, o := b.ask("GET", "/v1/nothing", admin, ""); code != 404 || o.text("code") != "not-found" {
		t.Errorf("no such route: %d %v", code, o)
	}
}

// TestOpenAPIFile: docs/openapi.json is what the server says. DUET_REWRITE=1 makes it so.
func TestOpenAPIFile(t *testing.T) {
	const file = "../docs/openapi.json"
	doc, err := signaling.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	doc = append(doc, '\n')
	if os.Getenv("DUET_REWRITE") != "" {
		if err := os.WriteFile(file, doc, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if have, err := os.ReadFile(file); err != nil || !bytes.Equal(have, doc) {
		t.Errorf("%s is not what the server says (%v): DUET_REWRITE=1 go test ./signaling -run OpenAPIFile", file, err)
	}
}

func TestSetUp(t *testing.T) {
	b := newBackend(t, false)
	admin := b.token("boss", desk.Admin)
	b.must("PUT", "/v1/queues/loans", admin, `{"name":"Loans","ring":"5s","wrapUp":"1m","capacity":3,"later":true}`)
	if q := b.must("GET", "/v1/queues/loans", admin, ""); q.text("ring") != "5s" || q["capacity"] != 3.0 {
		t.Errorf("queue %v", q)
	}
	if code, o := b.ask("PUT", "/v1/queues/loans", admin, `{"ring":"soon"}`); code != 400 {
		t.Errorf("a bad time: %d %v", code, o)
	}
	u := b.must("PUT", "/v1/users/anna", admin, `{"name":"Anna","roles":["agent"],"queues":["loans"],"password":"correct horse"}`)
	if u["password"] != true || strings.Contains(fmt.Sprint(u), "argon2") {
		t.Errorf("user %v", u)
	}
	made := b.must("POST", "/v1/keys", admin, `{"id":"crm","scopes":["tokens"]}`)
	key := made.text("key")
	if !strings.HasPrefix(key, "duet_crm_") || strings.Contains(fmt.Sprint(b.must("GET", "/v1/keys", admin, "")), key) {
		t.Errorf("key %v", made)
	}
	tok := b.must("POST", "/v1/tokens", key, `{"user":"c-17","name":"Carl","priority":3,"ttl":"1h"}`)
	if c, err := b.tokens.Verify(time.Now(), tok.text("token")); err != nil || c.User != "c-17" || c.Priority != 3 || len(c.Roles) != 1 || c.Roles[0] != desk.Caller {
		t.Errorf("token %+v, %v", c, err)
	}
	if code, o := b.ask("POST", "/v1/tokens", key, `{"user":"x","roles":["admin"]}`); code != 403 {
		t.Errorf("a key for tokens made an admin: %d %v", code, o)
	}
	for _, bad := range []string{`{"user":"../x"}`, `{"user":"x","ttl":"99h"}`, `{"user":"x","roles":["king"]}`, `{"user":"x","priority":99}`} {
		if code, o := b.ask("POST", "/v1/tokens", key, bad); code != 400 {
			t.Errorf("%s: %d %v", bad, code, o)
		}
	}
	hook := b.must("PUT", "/v1/webhooks/crm", admin, `{"url":"https://crm.example/duet"}`)
	if hook.text("secret") == "" || strings.Contains(fmt.Sprint(b.must("GET", "/v1/webhooks", admin, "")), hook.text("secret")) {
		t.Errorf("webhook %v", hook)
	}
	for _, bad := range []string{"http://crm.example/", "https://10.0.0.1/", "https://u:p@crm.example/", "ftp://x/", ""} {
		if code, o := b.ask("PUT", "/v1/webhooks/bad", admin, `{"url":"`+bad+`"}`); code != 400 {
			t.Errorf("%s: %d %v", bad, code, o)
		}
	}
	b.must("POST", "/v1/users/anna/disable", admin, "")
	if code, _ := b.ask("GET", "/v1/me", b.token("anna", desk.Agent), ""); code != 403 {
		t.Errorf("disabled: %d", code)
	}
	b.must("POST", "/v1/users/anna/enable", admin, "")
	b.must("DELETE", "/v1/users/anna", admin, "")
	b.must("DELETE", "/v1/webhooks/crm", admin, "")
	b.must("DELETE", "/v1/keys/crm", admin, "")
	b.must("DELETE", "/v1/queues/loans", admin, "")
	if code, _ := b.ask("POST", "/v1/tokens", key, `{"user":"x"}`); code != 401 {
		t.Errorf("a deleted key: %d", code)
	}
	log := fmt.Sprint(b.must("GET", "/v1/audit?limit=1000", admin, ""))
	for _, want := range []string{"user.set", "key.set", "hook.set", "boss", "key:crm"} {
		if !strings.Contains(log, want) {
			t.Errorf("the log does not tell of %s", want)
		}
	}
	for _, secret := range []string{"argon2", hook.text("secret"), auth.HashSecret(key[strings.LastIndexByte(key, '_')+1:])} {
		if strings.Contains(log, secret) {
			t.Errorf("the log shows %q", secret)
		}
	}
}

func TestSigningIn(t *testing.T) {
	b := newBackend(t, false)
	admin := b.token("boss", desk.Admin)
	b.must("PUT", "/v1/users/anna", admin, `{"name":"Anna","roles":["agent"],"password":"correct horse"}`)
	for _, bad := range []string{`{"user":"anna","password":"wrong"}`, `{"user":"nobody","password":"correct horse"}`, `{"user":"","password":""}`} {
		if code, o := b.ask("POST", "/v1/login", "", bad); code != 401 {
			t.Errorf("%s: %d %v", bad, code, o)
		}
	}
	in := b.must("POST", "/v1/login", "", `{"user":"anna","password":"correct horse"}`)
	if c, err := b.tokens.Verify(time.Now(), in.text("token")); err != nil || c.User != "anna" {
		t.Errorf("signed in as %+v, %v", c, err)
	}
	first := b.cookie
	if c := first[0]; !c.HttpOnly || c.SameSite != http.SameSiteStrictMode {
		t.Errorf("cookie %v", c)
	}
	b.must("POST", "/v1/refresh", "", "")
	second := b.cookie
	b.cookie = first
	if code, _ := b.ask("POST", "/v1/refresh", "", ""); code != 401 {
		t.Errorf("an old cookie: %d", code)
	}
	b.cookie = second
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.srv.URL+"/v1/refresh", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.AddCookie(second[0])
	req.Header.Set("Origin", "https://evil.example")
	r, err := b.srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if _ = r.Body.Close(); r.StatusCode != http.StatusForbidden {
		t.Errorf("from elsewhere: %d", r.StatusCode)
	}
	b.must("POST", "/v1/logout", "", "")
	b.cookie = second
	if code, _ := b.ask("POST", "/v1/refresh", "", ""); code != 401 {
		t.Errorf("after signing out: %d", code)
	}
	b.cookie = nil
	limited := false
	for range 10 {
		code, _ := b.ask("POST", "/v1/login", "", `{"user":"anna","password":"wrong"}`)
		limited = limited || code == 429
	}
	if !limited {
		t.Error("passwords can be tried without limit")
	}
}

func TestLinks(t *testing.T) {
	b := newBackend(t, false)
	admin := b.token("boss", desk.Admin)
	link := b.must("POST", "/v1/links", admin, `{"user":"carl","name":"Carl","role":"caller","queue":"q"}`)
	body := `{"secret":"` + link.text("secret") + `"}`
	in := b.must("POST", "/v1/links/redeem", "", body)
	if in.text("user") != "carl" || in.text("queue") != "q" {
		t.Errorf("let in %v", in)
	}
	if code, o := b.ask("POST", "/v1/links/redeem", "", body); code != 410 || o.text("code") != "expired" {
		t.Errorf("the second time: %d %v", code, o)
	}
	if code, _ := b.ask("POST", "/v1/links", admin, `{"user":"x","role":"admin"}`); code != 400 {
		t.Errorf("a link for an admin: %d", code)
	}
	if code, _ := b.ask("POST", "/v1/guest", "", `{"queue":"q"}`); code != 403 {
		t.Errorf("a guest where none is wanted: %d", code)
	}
	b.must("PUT", "/v1/queues/open", admin, `{"public":true}`)
	if g := b.must("POST", "/v1/guest", "", `{"queue":"open","name":"Gast"}`); !strings.HasPrefix(g.text("user"), "guest-") {
		t.Errorf("guest %v", g)
	}
	if code, _ := b.ask("POST", "/v1/dev", "", `{"user":"x","roles":["admin"]}`); code != 403 {
		t.Errorf("anybody is an admin: %d", code)
	}
	dev := newBackend(t, true)
	if in := dev.must("POST", "/v1/dev", "", `{"user":"x","roles":["admin"]}`); in.text("user") != "x" {
		t.Errorf("dev %v", in)
	}
}

func TestCallsOverHTTP(t *testing.T) {
	b := newBackend(t, false)
	boss, auditor := b.token("sue", desk.Supervisor), b.token("al", desk.Auditor)
	anna, carl, call := b.connected()
	carl.ask("message.send", object{"call": call, "mid": "1", "body": "hello"})
	lists := fmt.Sprint(b.must("GET", "/v1/rooms", boss, ""), b.must("GET", "/v1/calls", boss, ""), b.must("GET", "/v1/calls/"+call, boss, ""), b.must("GET", "/v1/queues/q/line", boss, ""))
	if !strings.Contains(lists, "BUSY") || !strings.Contains(lists, call) || strings.Contains(lists, "duet://") || strings.Contains(lists, "live/") {
		t.Errorf("lists %s", lists)
	}
	live := b.must("GET", "/v1/calls/"+call+"/messages", auditor, "")
	b.must("POST", "/v1/calls/"+call+"/end", boss, `{"reason":"test"}`)
	if e := anna.until("call.ended"); e.text("reason") != "ended" || e.text("by") != "sue" {
		t.Errorf("ended %v", e)
	}
	over := b.must("GET", "/v1/calls/"+call+"/messages", auditor, "")
	if fmt.Sprint(live) != fmt.Sprint(over) || !strings.Contains(fmt.Sprint(over), "hello") {
		t.Errorf("live %v, over %v", live, over)
	}
	if list := b.must("GET", "/v1/calls?state=ended", boss, ""); !strings.Contains(fmt.Sprint(list), call) {
		t.Errorf("ended %v", list)
	}
	if code, _ := b.ask("GET", "/v1/calls?state=odd", boss, ""); code != 400 {
		t.Errorf("an odd state: %d", code)
	}
	if code, _ := b.ask("GET", "/v1/calls?limit=-1", boss, ""); code != 400 {
		t.Errorf("an odd limit: %d", code)
	}
}
