package web

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func get(t *testing.T, h http.Handler, path string, header map[string]string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://calls.example:8080"+path, nil)
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// Files come with their types, compressed for those who take that, and are not sent again to those who have them.
func TestFiles(t *testing.T) {
	h := Handler(Config{})
	for path, kind := range map[string]string{
		"/sdk/pusher.js": "text/javascript; charset=utf-8", "/sdk/duet.wasm": "application/wasm", "/example.html": "text/html; charset=utf-8",
		"/v/" + Version(h) + "/sdk/pusher.js": "text/javascript; charset=utf-8", "/sdk/none.js": "", "/sdk/../../web.go": "",
	} {
		res := get(t, h, path, map[string]string{"Accept-Encoding": "gzip, deflate, br"})
		if kind == "" {
			if res.StatusCode != http.StatusNotFound {
				t.Errorf("%s: %s, want 404", path, res.Status)
			}
			continue
		}
		if got := res.Header.Get("Content-Type"); res.StatusCode != http.StatusOK || got != kind {
			t.Errorf("%s: %s, %s", path, res.Status, got)
		}
		again := get(t, h, path, map[string]string{"Accept-Encoding": "gzip, deflate, br", "If-None-Match": res.Header.Get("ETag")})
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s a second time: %s", path, again.Status)
		}
	}
	res := get(t, h, "/sdk/pusher.js", map[string]string{"Accept-Encoding": "gzip"})
	z, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil || !strings.Contains(string(text), "live-pusher") {
		t.Errorf("unpacked, it is no pusher: %v", err)
	}
	if res := get(t, h, "/sdk/duet.wasm", nil); res.StatusCode != http.StatusNotAcceptable {
		t.Errorf("the wasm without brotli: %s", res.Status)
	}
	if cache := get(t, h, "/v/"+Version(h)+"/sdk/pusher.js", nil).Header.Get("Cache-Control"); !strings.Contains(cache, "immutable") {
		t.Errorf("a path with the version is kept as %q", cache)
	}
	if cache := get(t, h, "/v/0123/sdk/pusher.js", nil).Header.Get("Cache-Control"); cache != "no-cache" {
		t.Errorf("a path with another version is kept as %q", cache)
	}
}

// Pages run nothing but what stands in files here, and connect to their own host alone.
func TestPolicy(t *testing.T) {
	h := Handler(Config{Embedders: []string{"https://shop.example"}})
	res := get(t, h, "/example.html", nil)
	policy := res.Header.Get("Content-Security-Policy")
	for _, want := range []string{"default-src 'none'", "script-src 'self' 'wasm-unsafe-eval'", "https://calls.example:*", "frame-ancestors 'self' https://shop.example"} {
		if !strings.Contains(policy, want) {
			t.Errorf("%q is missing in %q", want, policy)
		}
	}
	if strings.Contains(policy, "unsafe-inline") || strings.Contains(policy, "'unsafe-eval'") {
		t.Errorf("the policy lets a page's text run: %q", policy)
	}
	for origin, want := range map[string]string{"https://shop.example": "https://shop.example", "https://other.example": ""} {
		if got := get(t, h, "/sdk/pusher.js", map[string]string{"Origin": origin}).Header.Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s may use the SDK: %q, want %q", origin, got, want)
		}
	}
	r := httptest.NewRequest(http.MethodPost, "/example.html", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != http.StatusMethodNotAllowed {
		t.Errorf("a POST: %d", w.Code)
	}
}
