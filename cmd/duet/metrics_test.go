package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	party "duet/signaling/client"
)

func get(t *testing.T, url string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, res.Status, err)
	}
	return string(b)
}

// What the dashboard draws is there, and what is counted moves.
func TestMetrics(t *testing.T) {
	t.Parallel()
	h := startServer(t, func(c *serverConfig) { c.admin = "127.0.0.1:0" })
	admin := "http://" + h.srv.admin.ln.Addr().String()
	if text := get(t, admin+"/metrics"); !strings.Contains(text, "duet_relay_up 1\n") || !strings.Contains(text, "duet_relay_sessions 0\n") {
		t.Errorf("before anybody comes:\n%s", text)
	}
	if r := duet(t.Context(), nil, "push", h.url("push", "live/a"), "--input", clipFile(t)); r.code != 0 {
		t.Fatal(r.err)
	}
	text := get(t, admin+"/metrics")
	for _, want := range []string{
		`(?m)^duet_relay_media_in_total [1-9]`, `(?m)^duet_relay_datagrams_out_total [1-9]`, `(?m)^duet_relay_delay_seconds_count [1-9]`,
		`(?m)^duet_relay_delay_seconds_bucket{le="0\.001024"} `, `(?m)^duet_relay_dropped_total{reason="[a-z-]+"} 0$`,
	} {
		if !regexp.MustCompile(want).MatchString(text) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
	b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "grafana.json"))
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\b(duet|process|go)_[a-z_]+`).FindAllString(string(b), -1)
	if len(names) < 20 {
		t.Errorf("the dashboard has %d figures", len(names))
	}
	for _, name := range names {
		if !strings.Contains(text, "\n"+name+" ") && !strings.Contains(text, "\n"+name+"{") {
			t.Errorf("the dashboard draws %s, which is not there", name)
		}
	}
	var report adminReport
	if err := json.Unmarshal([]byte(get(t, admin+"/relay")), &report); err != nil || report.Relay.MediaIn == 0 || report.Goroutines == 0 || report.Heap == 0 {
		t.Errorf("%v: %+v", err, report)
	}
	var media struct {
		BytesOut uint64 `json:"bytesOut"`
		Delay    []struct{ Packets uint64 }
	}
	server := "http://" + h.srv.httpLn.Addr().String()
	token, err := party.Dev(t.Context(), server, "root", "", "supervisor")
	if err != nil {
		t.Fatal(err)
	}
	if err := party.Ask(t.Context(), server, http.MethodGet, "/v1/media", token.Token, nil, &media); err != nil || media.BytesOut == 0 || len(media.Delay) < 10 || media.Delay[len(media.Delay)-1].Packets == 0 {
		t.Errorf("a supervisor sees %+v, %v", media, err)
	}
	if !strings.Contains(get(t, admin+"/debug/pprof/"), "goroutine") {
		t.Error("no profiles")
	}
}

// Metrics and profiles are not shown to the network by mistake.
func TestAdminAddress(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]bool{"": true, "127.0.0.1:9464": true, "[::1]:0": true, "localhost:1": true, ":9464": false, "0.0.0.0:9464": false, "192.0.2.1:9464": false} {
		if err := checkAdmin(addr, false); (err == nil) != want {
			t.Errorf("%q: %v", addr, err)
		}
		if err := checkAdmin(addr, true); err != nil {
			t.Errorf("%q, allowed: %v", addr, err)
		}
	}
}
