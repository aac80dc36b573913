package localca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	fileName   = "ca.pem" // certificate and key
	caYears    = 10
	leafDays   = 90
	renewDays  = 30 // before its end a certificate is made anew
	skew       = time.Hour
	serialBits = 120
	day        = 24 * time.Hour
)

// privateNames are the ends of names that no public authority gives out.
var privateNames = []string{"localhost", "local", "internal", "lan", "home.arpa", "intranet", "test"}

var privateRanges = []string{
	"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8", "fc00::/7", "fe80::/10", "::1/128",
}

// CA signs certificates for one server. Its methods may be called by any goroutine.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	now  func() time.Time

	mu   sync.Mutex // guards what follows
	leaf *tls.Certificate
	of   []string // hosts of leaf
}

// Open reads the CA from a directory, or makes it, for private addresses, private names, and the given names. File: DIR/ca.pem, mode 0600.
func Open(dir string, names []string, now func() time.Time) (*CA, error) {
	b, err := os.ReadFile(filepath.Join(dir, fileName))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return create(dir, names, now)
	case err != nil:
		return nil, fmt.Errorf("localca: %w", err)
	}
	pair, err := tls.X509KeyPair(b, b)
	if err != nil {
		return nil, fmt.Errorf("localca: %s: %w", filepath.Join(dir, fileName), err)
	}
	key, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok || !pair.Leaf.IsCA {
		return nil, fmt.Errorf("localca: %s is not a CA that this program made", filepath.Join(dir, fileName))
	}
	return &CA{cert: pair.Leaf, key: key, now: now}, nil
}

func create(dir string, names []string, now func() time.Time) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	t := &x509.Certificate{
		Subject:   pkix.Name{CommonName: "duet " + now().Format(time.DateOnly), Organization: []string{"duet, private network"}},
		NotBefore: now().Add(-skew), NotAfter: now().AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true, KeyUsage: x509.KeyUsageCertSign,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: slices.Clone(privateNames),
	}
	for _, n := range names {
		if _, err := netip.ParseAddr(n); err != nil && n != "" && !private(n) {
			t.PermittedDNSDomains = append(t.PermittedDNSDomains, n)
		}
	}
	for _, r := range privateRanges {
		_, n, err := net.ParseCIDR(r)
		if err != nil {
			panic(err)
		}
		t.PermittedIPRanges = append(t.PermittedIPRanges, n)
	}
	cert, err := sign(t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	b := slices.Concat(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileName), b, 0o600); err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	return &CA{cert: cert, key: key, now: now}, nil
}

// sign fills in a serial number and signs.
func sign(t, by *x509.Certificate, pub *ecdsa.PublicKey, key *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	t.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, t, by, pub, key)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	return x509.ParseCertificate(der)
}

// DER is the CA's certificate, to be installed.
func (c *CA) DER() []byte { return c.cert.Raw }

// Fingerprint is the SHA-256 of the CA's certificate as people compare it: pairs of hex digits with colons.
func (c *CA) Fingerprint() string {
	sum := sha256.Sum256(c.cert.Raw)
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum)), " ", ":")
}

// Permits reports whether the CA may vouch for a name or an address.
func (c *CA) Permits(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return slices.ContainsFunc(c.cert.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(a.Unmap().AsSlice()) })
	}
	return slices.ContainsFunc(c.cert.PermittedDNSDomains, func(d string) bool { return under(host, d) })
}

func private(name string) bool {
	return slices.ContainsFunc(privateNames, func(d string) bool { return under(name, d) })
}

func under(name, domain string) bool {
	name = strings.ToLower(strings.TrimSuffix(name, "."))
	domain = strings.ToLower(domain)
	return name == domain || strings.HasSuffix(name, "."+domain)
}

// Certificate is one for the given hosts, names and addresses; what the CA may not vouch for is left out. It is the same until a month before its end, or
// until other hosts are wanted.
func (c *CA) Certificate(hosts []string) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if c.leaf != nil && slices.Equal(hosts, c.of) && now.Add(renewDays*day).Before(c.leaf.Leaf.NotAfter) {
		return c.leaf, nil
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("localca: %w", err)
	}
	t := &x509.Certificate{
		Subject: pkix.Name{CommonName: "duet"}, NotBefore: now.Add(-skew), NotAfter: now.Add(leafDays * day),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	for _, h := range hosts {
		if !c.Permits(h) {
			continue
		}
		if a, err := netip.ParseAddr(h); err == nil {
			t.IPAddresses = append(t.IPAddresses, a.Unmap().AsSlice())
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	cert, err := sign(t, c.cert, &key.PublicKey, c.key)
	if err != nil {
		return nil, err
	}
	c.leaf = &tls.Certificate{Certificate: [][]byte{cert.Raw, c.cert.Raw}, PrivateKey: key, Leaf: cert}
	c.of = slices.Clone(hosts)
	return c.leaf, nil
}
