package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"duet/crypto"
	"duet/relay"
)

// A floor reaches those who come through a gateway: the player is put out, and refused when it comes again, after a restart too.
func TestFloorsReachGateways(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	tok := crypto.Token{Action: crypto.ActionFLV, Expiry: time.Now().Add(time.Hour), Stream: "live/a", Call: "c1", Party: "bob"}
	text, err := h.srv.secrets.tokens.Mint(tok)
	if err != nil {
		t.Fatal(err)
	}
	play := func() *http.Response {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.srv.told.HTTP+"/live/a.flv?t="+text, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		return res
	}
	res := play()
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("status %d", res.StatusCode)
	}
	list, err := h.srv.relay.Sessions(t.Context())
	if err != nil || len(list) != 1 || list[0].Party != "bob" || list[0].Push {
		t.Errorf("sessions %+v (%v), want bob's", list, err)
	}
	began := time.Now()
	if err := h.srv.relay.Apply(t.Context(), relay.Floor{Call: "c1", Epoch: 1, Expires: tok.Expiry}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
	t.Logf("put out after %v", time.Since(began))
	refused := func() {
		t.Helper()
		again := play()
		b, err := io.ReadAll(again.Body)
		_ = again.Body.Close()
		if err != nil || again.StatusCode != http.StatusForbidden || !strings.Contains(string(b), "not in the call") {
			t.Errorf("again: %d %q (%v)", again.StatusCode, b, err)
		}
	}
	refused()
	h.stop()
	data := h.data
	h = startServer(t, func(c *serverConfig) { c.data = data })
	refused()
}

// A damaged file of floors keeps the server from starting, with a word about what to do and none about --udp.
func TestDamagedFloorFile(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, floorFile), []byte("x\ny\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := duet(t.Context(), nil, "serve", "--data", data, "--udp", "127.0.0.1:0", "--rtmp", "", "--http", "")
	if s := r.err.String(); r.code != exitFailed || !strings.Contains(s, "line 1") || !strings.Contains(s, "backup") || strings.Contains(s, "--udp") {
		t.Errorf("exit %d: %s", r.code, s)
	}
}
