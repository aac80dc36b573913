package web

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// protect sets what keeps a page to itself: its scripts, styles and pictures come from here or are made by it, nothing runs that stands in the
// page's text, and it talks to this host alone. wasm-unsafe-eval lets WebAssembly be compiled, and nothing else be evaluated.
func (h *handler) protect(w http.ResponseWriter, r *http.Request) {
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
	}
	connect := append([]string{"'self'", "ws://" + host + ":*", "wss://" + host + ":*", "https://" + host + ":*"}, h.cfg.Connect...)
	frames := "'none'"
	if len(h.cfg.Embedders) > 0 {
		frames = "'self' " + strings.Join(h.cfg.Embedders, " ")
	}
	head := w.Header()
	head.Set("Content-Security-Policy", strings.Join([]string{
		"default-src 'none'",
		"script-src 'self' 'wasm-unsafe-eval'",
		"worker-src 'self'",
		"style-src 'self'",
		"img-src 'self' blob: data:",
		"media-src 'self' blob: mediastream:",
		"font-src 'self'",
		"manifest-src 'self'",
		"connect-src " + strings.Join(connect, " "),
		"base-uri 'none'",
		"form-action 'self'",
		"frame-ancestors " + frames,
	}, "; "))
	head.Set("X-Content-Type-Options", "nosniff")
	head.Set("Referrer-Policy", "no-referrer")
	head.Set("Permissions-Policy", "camera=(self), microphone=(self), display-capture=(self), geolocation=(), payment=(), usb=()")
	head.Set("Cross-Origin-Opener-Policy", "same-origin")
	policy := "same-origin"
	if origin := r.Header.Get("Origin"); origin != "" && slices.Contains(h.cfg.Embedders, origin) {
		head.Set("Access-Control-Allow-Origin", origin)
		head.Add("Vary", "Origin")
		policy = "cross-origin"
	}
	head.Set("Cross-Origin-Resource-Policy", policy)
}
