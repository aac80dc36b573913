package carrier

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"math/big"
	"sync"
	"time"
)

// Certificates are made by this server for WebTransport alone: browsers take them by their hash, if they are valid for no more than 14 days. There is always one more
// than the one in use, whose hash is told beforehand.
type Certificates struct {
	now func() time.Time

	mu            sync.Mutex // guards what follows
	current, next *made
}

type made struct {
	cert  tls.Certificate
	hash  string
	until time.Time // it is in use
}

const (
	certValid = 13 * 24 * time.Hour
	certUsed  = 6 * 24 * time.Hour
	certSkew  = time.Hour // by which clocks may differ
)

// NewCertificates makes the first ones.
func NewCertificates(now func() time.Time) (*Certificates, error) {
	c := &Certificates{now: now}
	return c, c.turn(now())
}

// turn makes what is missing; the lock is held, or nobody else knows c.
func (c *Certificates) turn(now time.Time) (err error) {
	if c.current != nil && now.Before(c.current.until) {
		return nil
	}
	if c.current = c.next; c.current == nil || !now.Before(c.current.until) {
		if c.current, err = makeCertificate(now, now.Add(certUsed)); err != nil {
			return err
		}
	}
	c.next, err = makeCertificate(now, c.current.until.Add(certUsed))
	return err
}

// Certificate is the one in use.
func (c *Certificates) Certificate() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.turn(c.now()) // the one before is good for some days yet
	return &c.current.cert
}

// Hashes are those of the one in use and of the next.
func (c *Certificates) Hashes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.turn(c.now())
	if c.next == nil {
		return []string{c.current.hash}
	}
	return []string{c.current.hash, c.next.hash}
}

func makeCertificate(now, until time.Time) (*made, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "duet"}, DNSNames: []string{"localhost"}, NotBefore: now.Add(-certSkew), NotAfter: now.Add(certValid),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return nil, fmt.Errorf("carrier: %w", err)
	}
	sum := sha256.Sum256(der)
	return &made{tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, base64.StdEncoding.EncodeToString(sum[:]), until}, nil
}
