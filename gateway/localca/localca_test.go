package localca

import (
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

var begin = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// verify is what a browser does that has the CA installed.
func verify(t *testing.T, c *CA, leaf *x509.Certificate, host string, at time.Time) error {
	t.Helper()
	roots := x509.NewCertPool()
	ca, err := x509.ParseCertificate(c.DER())
	if err != nil {
		t.Fatal(err)
	}
	roots.AddCert(ca)
	_, err = leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: at})
	return err
}

// A certificate is good for what it was made for, and made anew in time; the CA is the same after a restart.
func TestCertificate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tls")
	now := begin
	c, err := Open(dir, []string{"calls.bank.example", "192.168.1.5"}, func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	hosts := []string{"calls.bank.example", "192.168.1.5", "localhost", "desk.local", "fd00::5", "203.0.113.9", "www.other.example"}
	first, err := c.Certificate(hosts)
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"calls.bank.example": true, "192.168.1.5": true, "localhost": true, "desk.local": true, "fd00::5": true, "203.0.113.9": false, "www.other.example": false, "192.168.1.6": false,
	} {
		if err := verify(t, c, first.Leaf, host, now.Add(time.Minute)); (err == nil) != want {
			t.Errorf("%s: %v", host, err)
		}
		if c.Permits(host) != want && host != "192.168.1.6" {
			t.Errorf("%s: permitted %v", host, c.Permits(host))
		}
	}
	now = now.AddDate(0, 0, leafDays-renewDays-1)
	if same, err := c.Certificate(hosts); err != nil || same != first {
		t.Errorf("a good certificate was replaced: %v", err)
	}
	if other, err := c.Certificate(append(hosts, "10.0.0.1")); err != nil || verify(t, c, other.Leaf, "10.0.0.1", now) != nil {
		t.Errorf("another address: %v", err)
	}
	now = now.AddDate(0, 0, 2)
	renewed, err := c.Certificate(append(hosts, "10.0.0.1"))
	if err != nil || !renewed.Leaf.NotAfter.After(now.AddDate(0, 0, renewDays)) {
		t.Errorf("it was not renewed: %v", err)
	}
	again, err := Open(dir, nil, func() time.Time { return now })
	if err != nil || again.Fingerprint() != c.Fingerprint() || len(c.Fingerprint()) != 95 {
		t.Fatalf("after a restart: %v", err)
	}
	if leaf, err := again.Certificate(hosts); err != nil || verify(t, c, leaf.Leaf, "calls.bank.example", now) != nil {
		t.Errorf("after a restart: %v", err)
	}
	if info, err := os.Stat(filepath.Join(dir, fileName)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

// Whoever steals the key can't speak for others: the constraints are in what people install.
func TestConstraints(t *testing.T) {
	c, err := Open(t.TempDir(), nil, func() time.Time { return begin })
	if err != nil {
		t.Fatal(err)
	}
	c.cert.PermittedDNSDomains = append(c.cert.PermittedDNSDomains, "bank.example") // in the thief's memory
	_, all, err := net.ParseCIDR("0.0.0.0/0")
	if err != nil {
		t.Fatal(err)
	}
	c.cert.PermittedIPRanges = append(c.cert.PermittedIPRanges, all)
	for _, host := range []string{"www.bank.example", "203.0.113.9"} {
		leaf, err := c.Certificate([]string{host})
		if err != nil || len(leaf.Leaf.DNSNames)+len(leaf.Leaf.IPAddresses) != 1 {
			t.Fatal(err)
		}
		if verify(t, c, leaf.Leaf, host, begin.Add(time.Minute)) == nil {
			t.Errorf("%s is believed", host)
		}
	}
}

func TestDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, fileName), []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, nil, time.Now); err == nil {
		t.Error("a file that is none is taken, or written over")
	}
}
