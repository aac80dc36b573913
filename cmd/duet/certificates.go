package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/caddyserver/certmagic"
	"go.uber.org/zap"

	"duet/gateway/localca"
)

// tlsOptions say where certificates come from: one of files, a CA of this server's own, and an authority that speaks ACME.
type tlsOptions struct {
	cert, key string
	self      bool
	acme      []string // domains
	acmeEmail string
	acmeCA    string // directory URL; "": Let's Encrypt
	acmeRoot  string // PEM file that the authority's own certificate is checked with; "": the system's
}

const (
	caDir       = "tls" // of a data directory
	acmeDir     = "acme"
	lookAgain   = 10 * time.Second // at certificate files, and at this machine's addresses
	httpsPort   = ":443"
	caFile      = "/ca/duet-ca.crt"
	caFacts     = "/ca/duet-ca.json"
	tlsHintText = "--tls-cert and --tls-key name PEM files, --tls-self makes certificates for a private network, --acme DOMAIN gets them from Let's Encrypt"
)

// any reports whether there is TLS.
func (o *tlsOptions) any() bool { return o.cert != "" || o.self || len(o.acme) > 0 }

func (o *tlsOptions) check() error {
	ways := 0
	for _, on := range []bool{o.cert != "" || o.key != "", o.self, len(o.acme) > 0} {
		if on {
			ways++
		}
	}
	switch {
	case (o.cert == "") != (o.key == ""):
		return withHint(misusef("--tls-cert and --tls-key go together"), "for example: --tls-cert cert.pem --tls-key key.pem")
	case ways > 1:
		return withHint(misusef("certificates come from one place"), tlsHintText)
	case len(o.acme) == 0 && (o.acmeCA != "" || o.acmeEmail != "" || o.acmeRoot != ""):
		return withHint(misusef("--acme-ca, --acme-email and --acme-root go with --acme"), "for example: --acme calls.example.org")
	}
	return nil
}

// certificates give TLS what it shows.
type certificates struct {
	get func(*tls.ClientHelloInfo) (*tls.Certificate, error)
	alp []string                    // protocols besides the server's: ACME's challenge
	run func(context.Context) error // nil: there is nothing to do
	ca  *localca.CA                 // with --tls-self
	// quic is what browsers are shown over QUIC; nil: certificates that pages know by their hashes.
	quic func() *tls.Certificate
}

// config is TLS for a listener.
func (c *certificates) config(protocols ...string) *tls.Config {
	return &tls.Config{GetCertificate: c.get, MinVersion: tls.VersionTLS12, NextProtos: slices.Concat(protocols, c.alp)}
}

// openCertificates prepares what the options ask for; nil if that is nothing.
func openCertificates(o *tlsOptions, data, advertise, https string, log *slog.Logger) (*certificates, error) {
	switch {
	case o.cert != "":
		f := &certFiles{cert: o.cert, key: o.key, log: log}
		if err := f.load(); err != nil {
			return nil, withHint(err, "--tls-cert and --tls-key name PEM files")
		}
		return &certificates{get: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return f.current(), nil }, quic: f.current}, nil
	case o.self:
		return selfCertificates(data, advertise)
	case len(o.acme) > 0:
		return acmeCertificates(o, data, https, log)
	}
	return nil, nil
}

// certFiles are certificates from files, read again when these change: whoever renews them need not stop the server.
type certFiles struct {
	cert, key string
	log       *slog.Logger

	mu     sync.Mutex // guards what follows
	pair   *tls.Certificate
	of     [2]time.Time // when the files were written
	looked time.Time
}

func (f *certFiles) load() error {
	of, err := written(f.cert, f.key)
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.key)
	if err != nil {
		return err
	}
	f.pair, f.of = &pair, of
	return nil
}

func written(names ...string) (at [2]time.Time, err error) {
	for i, name := range names {
		info, err := os.Stat(name)
		if err != nil {
			return at, err
		}
		at[i] = info.ModTime()
	}
	return at, nil
}

func (f *certFiles) current() *tls.Certificate {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.looked) >= lookAgain {
		f.looked = now
		if of, err := written(f.cert, f.key); err != nil || of != f.of {
			if err := f.load(); err != nil { // perhaps half of it is written yet
				f.log.Warn("the certificate files can't be read: the certificate stays as it was", "error", err)
			}
		}
	}
	return f.pair
}

// selfCertificates come from a CA in the data directory, for whatever names and addresses this machine has.
func selfCertificates(data, advertise string) (*certificates, error) {
	host, _, _ := splitAddress(advertise) // check has seen it
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	ca, err := localca.Open(filepath.Join(data, caDir), []string{host, name}, time.Now)
	if err != nil {
		return nil, withHint(err, "if it is lost for good, remove %s: another CA is made, which has to be installed anew", filepath.Join(data, caDir))
	}
	if host != "" && !ca.Permits(host) {
		return nil, withHint(fmt.Errorf("the CA in %s may not vouch for %s: it was made before it was told of it", filepath.Join(data, caDir), host),
			"remove that directory: another CA is made, which has to be installed anew")
	}
	names := slices.DeleteFunc([]string{host, name, name + ".local", "localhost"}, func(n string) bool { return n == "" || n == ".local" })
	a := &ownAddresses{}
	return &certificates{ca: ca, get: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		return ca.Certificate(slices.Concat(names, a.list()))
	}}, nil
}

// ownAddresses are this machine's, which may change.
type ownAddresses struct {
	mu     sync.Mutex // guards what follows
	known  []string
	looked time.Time
}

func (a *ownAddresses) list() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if now.Sub(a.looked) < lookAgain {
		return a.known
	}
	a.looked = now
	all, err := net.InterfaceAddrs()
	if err != nil {
		return a.known
	}
	var list []string
	for _, one := range all {
		if p, err := netip.ParsePrefix(one.String()); err == nil {
			list = append(list, p.Addr().WithZone("").String())
		}
	}
	slices.Sort(list)
	a.known = slices.Compact(list)
	return a.known
}

// mount serves what people install, and how they know it; without a CA there is nothing.
func (c *certificates) mount(mux *http.ServeMux) {
	if c == nil || c.ca == nil {
		return
	}
	mux.HandleFunc("GET "+caFile, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-x509-ca-cert")
		w.Header().Set("Content-Disposition", `attachment; filename="duet-ca.crt"`)
		_, _ = w.Write(c.ca.DER())
	})
	mux.HandleFunc("GET "+caFacts, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]string{"sha256": c.ca.Fingerprint(), "file": caFile})
	})
}

// acmeCertificates come from an authority, and are renewed by themselves. The challenge is TLS-ALPN on the port of --https.
func acmeCertificates(o *tlsOptions, data, https string, log *slog.Logger) (*certificates, error) {
	issuer := certmagic.ACMEIssuer{CA: o.acmeCA, Email: o.acmeEmail, Agreed: true, DisableHTTPChallenge: true, Logger: zap.NewNop()}
	if issuer.CA == "" {
		issuer.CA = certmagic.LetsEncryptProductionCA
	}
	if o.acmeRoot != "" {
		b, err := os.ReadFile(o.acmeRoot)
		if err != nil {
			return nil, withHint(err, "--acme-root names a PEM file")
		}
		issuer.TrustedRoots = x509.NewCertPool()
		if !issuer.TrustedRoots.AppendCertsFromPEM(b) {
			return nil, withHint(fmt.Errorf("%s has no certificate", o.acmeRoot), "--acme-root names a PEM file")
		}
	}
	if _, port, err := net.SplitHostPort(https); err == nil {
		issuer.AltTLSALPNPort, _ = strconv.Atoi(port) // not a number: as usual
	}
	var magic *certmagic.Config
	cache := certmagic.NewCache(certmagic.CacheOptions{
		GetConfigForCert: func(certmagic.Certificate) (*certmagic.Config, error) { return magic, nil }, Logger: zap.NewNop(),
	})
	magic = certmagic.New(cache, certmagic.Config{
		Storage: &certmagic.FileStorage{Path: filepath.Join(data, acmeDir)}, Logger: zap.NewNop(), DefaultServerName: o.acme[0],
		OnEvent: func(_ context.Context, event string, about map[string]any) error {
			switch event {
			case "cert_obtained":
				log.Info("a certificate was issued", "domain", about["identifier"], "renewal", about["renewal"])
			case "cert_failed":
				log.Warn("a certificate could not be had; it is tried again", "domain", about["identifier"], "error", about["error"],
					"hint", "the authority has to reach this machine at port 443 under that name")
			}
			return nil
		},
	})
	magic.Issuers = []certmagic.Issuer{certmagic.NewACMEIssuer(magic, issuer)}
	t := magic.TLSConfig()
	return &certificates{
		get: t.GetCertificate, alp: t.NextProtos,
		quic: func() *tls.Certificate {
			cert, err := t.GetCertificate(&tls.ClientHelloInfo{ServerName: o.acme[0]})
			if err != nil {
				return nil
			}
			return cert
		},
		run: func(ctx context.Context) error {
			defer cache.Stop()
			if err := magic.ManageAsync(ctx, o.acme); err != nil && !errors.Is(err, context.Canceled) {
				return err
			}
			<-ctx.Done()
			return nil
		},
	}, nil
}
