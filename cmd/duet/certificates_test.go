package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"duet/gateway/localca"
)

// A private network's server: whoever has installed its CA reaches it by any of its names, and finds there what to install.
func TestSelfSigned(t *testing.T) {
	t.Parallel()
	h := startServer(t, func(c *serverConfig) {
		c.https, c.tls.self, c.advertise, c.calls.devOpen = "127.0.0.1:0", true, "calls.bank.example", true
	})
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(h.srv.certs.ca.DER())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	for name, want := range map[string]bool{"": true, "localhost": true, "calls.bank.example": true, "www.other.example": false} {
		client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true}}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+h.srv.httpsLn.Addr().String()+caFacts, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		res, err := client.Do(req)
		if (err == nil) != want {
			t.Errorf("%q: %v", name, err)
		}
		if err != nil {
			continue
		}
		b, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		var facts struct {
			SHA256 string `json:"sha256"`
		}
		if err != nil || json.Unmarshal(b, &facts) != nil || facts.SHA256 != h.srv.certs.ca.Fingerprint() {
			t.Errorf("%s: %v", b, err)
		}
	}
	if text := get(t, "http://"+h.srv.httpLn.Addr().String()+caFile); text != string(ca.Raw) {
		t.Error("the file to install is another one")
	}
	if !strings.Contains(get(t, "http://"+h.srv.httpLn.Addr().String()+"/ca/"), "duet-ca.crt") {
		t.Error("there is no page")
	}
}

// Certificate files that are renewed are taken without a restart; half of them is not.
func TestCertificateFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	f := &certFiles{cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"), log: slog.New(slog.DiscardHandler)}
	write := func(at time.Time, parts int) []byte {
		ca, err := localca.Open(t.TempDir(), nil, time.Now)
		if err != nil {
			t.Fatal(err)
		}
		pair, err := ca.Certificate([]string{"localhost"})
		if err != nil {
			t.Fatal(err)
		}
		cert, key := pemOf(t, pair)
		for i, name := range []string{f.cert, f.key}[:parts] {
			if err := os.WriteFile(name, [][]byte{cert, key}[i], 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chtimes(name, at, at); err != nil {
				t.Fatal(err)
			}
		}
		return pair.Certificate[0]
	}
	now := time.Now()
	first := write(now, 2)
	if err := f.load(); err != nil {
		t.Fatal(err)
	}
	if string(f.current().Certificate[0]) != string(first) {
		t.Error("another one")
	}
	write(now.Add(time.Second), 1)
	f.looked = time.Time{}
	if string(f.current().Certificate[0]) != string(first) {
		t.Error("a certificate without its key is shown")
	}
	second := write(now.Add(2*time.Second), 2)
	f.looked = time.Time{}
	if string(f.current().Certificate[0]) != string(second) {
		t.Error("the renewed one is not shown")
	}
}

func TestCertificateOptions(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"--tls-cert a":                         "go together",
		"--tls-self --acme calls.example":      "one place",
		"--acme-email a@example.org":           "with --acme",
		"--https 127.0.0.1:0":                  "needs a certificate",
		"--rtmps 127.0.0.1:0":                  "needs a certificate",
		"--tls-cert /nowhere --tls-key /there": "nowhere",
	} {
		r := duet(t.Context(), nil, append([]string{"serve", "--data", t.TempDir(), "--udp", "127.0.0.1:0", "--http", "127.0.0.1:0", "--webtransport", "", "--rtmp", "", "--admin", ""}, strings.Fields(args)...)...)
		if r.code == 0 || !strings.Contains(r.err.String(), want) {
			t.Errorf("%s: %d %s", args, r.code, r.err)
		}
	}
}

// pemOf is a pair as files have it.
func pemOf(t *testing.T, pair *tls.Certificate) (cert, key []byte) {
	t.Helper()
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})
}
