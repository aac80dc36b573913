package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"duet/crypto"
	"duet/gateway"
	"duet/record"
	"duet/relay"
	"duet/signaling/desk"
	"duet/signaling/store"
)

// Where a server listens unless told otherwise: on loopback only.
const (
	defaultData = "./duet-data"
	defaultUDP  = "127.0.0.1:7000"
	defaultRTMP = "127.0.0.1:1935"
	defaultHTTP = "127.0.0.1:8080"
)

// serverConfig says what a server listens on; an empty address is a listener left out (UDP can't be).
type serverConfig struct {
	role            string // roleAll, roleRelay or roleSignaling; default roleAll
	data            string
	udp, rtmp, http string
	loops           int // of the relay; 0: as many as the machine has use for
	rtmps           string
	admin           string // metrics and profiles
	tls             tlsOptions
	webTransport    string
	https           string // needs tls
	advertise       string
	allowPlaintext  bool
	log             *slog.Logger
	tap             func(in bool, datagram []byte)
	calls           callsConfig
	record          recordConfig
}

// The roles of a process.
const (
	roleAll       = "all"
	roleRelay     = "relay"     // media alone; signaling is elsewhere, over NATS
	roleSignaling = "signaling" // calls alone; relays are elsewhere
)

const (
	httpHeaderTimeout = 10 * time.Second
	httpPatience      = time.Second
)

// server is everything that `duet serve` runs.
type server struct {
	admin    *adminPort // nil: no metrics
	cfg      serverConfig
	secrets  *secrets
	relay    *relay.Server
	rtmp     *gateway.RTMP
	http     *http.Server
	rtmpLn   net.Listener
	rtmpsLn  net.Listener
	httpLn   net.Listener
	httpsLn  net.Listener
	told     addresses        // what clients are told
	certs    *certificates    // nil: no TLS
	browsers *browsers        // nil: none can come
	changed  chan struct{}    // the relay's sessions have changed
	calls    *calls           // nil: signaling is not here
	link     *store.Store     // of a relay alone: what it meets signaling over
	keeper   *keeper          // of recordings, where the relay is
	uploader *record.Uploader // nil: recordings stay here
}

// newServer opens the data directory and the sockets. Serve then runs it, Close lets go of it unserved.
func newServer(cfg serverConfig) (*server, error) {
	if cfg.log == nil {
		cfg.log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &server{cfg: cfg, changed: make(chan struct{}, 1)}
	if err := s.open(); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// open opens everything that the server runs on. After an error, close lets go of what was opened.
func (s *server) open() (err error) {
	cfg := &s.cfg
	if s.secrets, err = openSecrets(cfg.data, true); err != nil {
		return err
	}
	if s.httpLn, err = listen(cfg.http, "--http"); err != nil {
		return err
	}
	if s.certs, err = openCertificates(&cfg.tls, cfg.data, cfg.advertise, cfg.https, cfg.log); err != nil {
		return err
	}
	if err := s.openHTTPS(); err != nil {
		return err
	}
	mux := http.NewServeMux()
	s.certs.mount(mux)
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /healthz", s.health)
	if cfg.role != roleSignaling {
		if err := s.openRelay(mux); err != nil {
			return err
		}
	}
	if s.admin, err = openAdmin(cfg.admin, s.relay, cfg.log); err != nil {
		return err
	}
	if cfg.role != roleRelay && s.httpLn != nil {
		if err := s.openCalls(mux); err != nil {
			return err
		}
	}
	if err := s.openBrowsers(mux); err != nil {
		return err
	}
	s.http = &http.Server{Handler: mux, ReadHeaderTimeout: httpHeaderTimeout, ErrorLog: slog.NewLogLogger(cfg.log.Handler(), slog.LevelDebug)}
	return s.tell()
}

// openRelay opens the relay and its gateways.
func (s *server) openRelay(mux *http.ServeMux) (err error) {
	cfg := &s.cfg
	s.relay, err = relay.New(relay.Config{
		Listen: cfg.udp, Key: s.secrets.key, Secret: s.secrets.secret, Tokens: s.secrets.tokens, Logger: cfg.log, Tap: cfg.tap,
		FloorFile: filepath.Join(cfg.data, floorFile), OnChange: s.sessionsChanged, Loops: cfg.loops,
	})
	if errors.Is(err, relay.ErrFloorFile) { // says what to do
		return err
	}
	if err != nil {
		return listenHint(err, "--udp")
	}
	if err := s.openRecorder(); err != nil {
		return err
	}
	gw := gateway.Config{Logger: cfg.log, Publish: s.publish, Subscribe: s.subscribe, Verify: s.verify}
	mux.Handle("GET /live/", gateway.NewFLV(gw))
	s.rtmp = gateway.NewRTMP(gw)
	if s.rtmpLn, err = listen(cfg.rtmp, "--rtmp"); err != nil {
		return err
	}
	if s.rtmpsLn, err = listen(cfg.rtmps, "--rtmps"); err != nil {
		return err
	}
	if s.rtmpsLn != nil {
		s.rtmpsLn = tls.NewListener(s.rtmpsLn, s.certs.config())
	}
	if cfg.role != roleRelay {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), storeOpen)
	defer cancel()
	s.link, err = openStore(ctx, cfg.calls, cfg.data, cfg.log)
	return err
}

func (s *server) sessionsChanged() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// openCalls opens signaling, beside the relay or apart from it.
func (s *server) openCalls(mux *http.ServeMux) (err error) {
	cfg := &s.cfg
	s.calls, err = openCalls(context.Background(), cfg.calls, cfg.data, s.secrets, cfg.log, func(c *calls) mediaSide {
		if s.relay != nil {
			return &localMedia{
				relay: s.relay, tokens: s.secrets.tokens, key: s.secrets.key.Public(), host: func() string { return s.told.UDP }, valid: urlsValid, log: cfg.log,
				floors: newFloors(), changed: s.changed, keeper: s.keeper,
			}
		}
		return &remoteMedia{
			store: c.store, tokens: s.secrets.tokens, keyID: s.secrets.tokens.Current(), valid: urlsValid, log: cfg.log, all: c.floorsInForce,
			relays: make(map[string]*remoteRelay), heard: func(st recordStatus) { c.records.note(st) },
		}
	})
	if err != nil {
		return err
	}
	if err := s.calls.guard(cfg); err != nil {
		return err
	}
	mux.Handle("GET /v1/socket", s.calls.sockets)
	mux.Handle("/v1/", s.calls.api)
	return nil
}

// check refuses what would leave the machine unprotected, and options that contradict each other.
func (c *serverConfig) check() error {
	switch c.role {
	case "":
		c.role = roleAll
	case roleAll:
	case roleRelay, roleSignaling:
		if c.calls.nats == "" {
			return withHint(misusef("--role %s needs --nats: it is over NATS that relay and signaling meet when they are apart", c.role), "for example: --nats nats://127.0.0.1:4222")
		}
		if c.role == roleSignaling && c.http == "" {
			return misusef("--role signaling needs --http: it is what callers and agents use")
		}
	default:
		return misusef("--role is all, relay or signaling, not %q", c.role)
	}
	if c.loops < 0 || c.loops > relay.MaxLoops {
		return misusef("--loops is 1 to %d, or 0 for as many as this machine has use for, not %d", relay.MaxLoops, c.loops)
	}
	if !slices.Contains([]string{"", desk.RecordNever, desk.RecordOnRequest, desk.RecordAlways, desk.RecordMust}, c.calls.settings.Record) {
		return misusef("--record is never, on-request, always or must, not %q", c.calls.settings.Record)
	}
	if !slices.Contains([]string{"", string(record.SyncAlways), string(record.SyncNever)}, c.record.sync) {
		return misusef("--record-sync is always or never, not %q", c.record.sync)
	}
	if c.udp == "" {
		return withHint(misusef("--udp can't be empty: it is what pushers and players use"), "--udp %s is the default", defaultUDP)
	}
	if err := c.tls.check(); err != nil {
		return err
	}
	if c.https == "" && (c.tls.self || len(c.tls.acme) > 0) {
		c.https = httpsPort
	}
	for flag, addr := range map[string]string{"--https": c.https, "--rtmps": c.rtmps} {
		if addr != "" && !c.tls.any() {
			return withHint(misusef("%s needs a certificate", flag), tlsHintText)
		}
	}
	if c.https != "" && c.http == "" {
		return withHint(misusef("--https needs --http"), "--http may stay on loopback: %s", defaultHTTP)
	}
	if c.advertise != "" {
		if _, _, err := splitAddress(c.advertise); err != nil {
			return withHint(misusef("--advertise: %w", err), "for example: --advertise calls.example.org, or --advertise 203.0.113.7:7000")
		}
	}
	if err := checkAdmin(c.admin, c.allowPlaintext); err != nil {
		return err
	}
	if c.allowPlaintext {
		return nil
	}
	for flag, addr := range map[string]string{"--rtmp": c.rtmp, "--http": c.http} {
		if addr != "" && !loopback(addr) {
			return withHint(misusef("%s %s is not on loopback: RTMP and HTTP-FLV are not encrypted, anybody on the way can see and hear the call", flag, addr),
				"use --rtmps, put a TLS proxy in front, turn it off (%s ''), or accept it with --allow-plaintext", flag)
		}
	}
	return nil
}

func listen(addr, flag string) (net.Listener, error) {
	if addr == "" {
		return nil, nil
	}
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, listenHint(err, flag)
	}
	return l, nil
}

// tell works out what clients are told and keeps it for `duet url`.
func (s *server) tell() error {
	if s.relay != nil {
		s.told.UDP = s.advertised(s.relay.Addr().String(), true)
	}
	for told, l := range map[*string]net.Listener{&s.told.RTMP: s.rtmpLn, &s.told.TLS: s.rtmpsLn, &s.told.HTTP: s.httpLn} {
		if l != nil {
			*told = s.advertised(l.Addr().String(), false)
		}
	}
	return s.told.save(s.cfg.data)
}

// advertised is an address as clients see it. --advertise gives the host, and for UDP perhaps the port; a gateway that listens on
// loopback can't be reached under it and keeps its own. A wildcard without --advertise is only good on this machine.
func (s *server) advertised(listen string, udp bool) string {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return listen
	}
	if s.cfg.advertise != "" && (udp || !loopback(listen)) {
		h, p, _ := splitAddress(s.cfg.advertise) // check has seen it
		if p != "" && udp {
			port = p
		}
		return net.JoinHostPort(h, port)
	}
	if wildcard(listen) {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// serve runs everything until ctx ends or something fails.
func (s *server) serve(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	start := func(what string, f func() error) {
		wg.Go(func() {
			if err := f(); err != nil {
				mu.Lock()
				errs = append(errs, fmt.Errorf("%s: %w", what, err))
				mu.Unlock()
			}
			cancel() // one without the others is no server
		})
	}
	if s.relay != nil {
		start("relay", func() error { return s.relay.Serve(ctx) })
	}
	if s.link != nil {
		start("link", func() error {
			me := relayReport{Relay: s.cfg.calls.name(), Life: rand.Text(), UDP: s.told.UDP, Key: s.secrets.key.Public().Text(), Tokens: s.secrets.tokens.Current()}
			return errors.Join(serveRelay(ctx, s.link, s.relay, s.keeper, s.changed, me, s.cfg.log), s.link.Close())
		})
	}
	if s.uploader != nil {
		start("upload", func() error { return s.upload(ctx) })
	}
	if s.calls != nil {
		start("signaling", func() error { return s.calls.run(ctx) })
	}
	if s.browsers != nil && s.browsers.sock != nil {
		start("WebTransport", func() error { return s.browsers.serve(ctx) })
	}
	if s.rtmpLn != nil {
		start("RTMP", func() error { return s.rtmp.Serve(ctx, s.rtmpLn) })
	}
	if s.rtmpsLn != nil {
		start("RTMPS", func() error { return s.rtmp.Serve(ctx, s.rtmpsLn) })
	}
	if s.admin != nil {
		start("admin port", func() error { return s.admin.serve(ctx) })
	}
	if s.certs != nil && s.certs.run != nil {
		start("certificates", func() error { return s.certs.run(ctx) })
	}
	if s.httpLn != nil {
		start("HTTP", func() error { return s.serveHTTP(ctx, s.httpLn) })
	}
	if s.httpsLn != nil {
		start("HTTPS", func() error { return s.serveHTTP(ctx, s.httpsLn) })
	}
	wg.Wait()
	return errors.Join(append(errs, s.browsers.close(), s.closeRecorder())...)
}

func (s *server) serveHTTP(ctx context.Context, l net.Listener) error {
	stop := context.AfterFunc(ctx, func() {
		patience, cancel := context.WithTimeout(context.Background(), httpPatience)
		defer cancel()
		if s.http.Shutdown(patience) != nil {
			_ = s.http.Close()
		}
	})
	defer stop()
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// close lets go of listeners that are not served.
func (s *server) close() {
	for _, l := range []net.Listener{s.rtmpLn, s.rtmpsLn, s.httpLn, s.httpsLn} {
		if l != nil {
			_ = l.Close()
		}
	}
	if s.admin != nil {
		_ = s.admin.ln.Close()
	}
	_ = s.closeRecorder() // nothing was recorded yet
	_ = s.browsers.close()
	if s.calls != nil {
		s.calls.close()
	}
	if s.link != nil {
		_ = s.link.Close()
	}
	if s.relay != nil {
		done, cancel := context.WithCancel(context.Background())
		cancel()
		_ = s.relay.Serve(done)
	}
}

func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "duet %s\n\nThis is a duet server. Streams are pushed and played with the URLs that `duet url` makes:\n"+
		"duet push and duet play over UDP, RTMP for ffmpeg, OBS and VLC, HTTP-FLV at /live/STREAM.flv?t=TOKEN.\n", version())
}

// health answers once the relay's loop does.
func (s *server) health(w http.ResponseWriter, r *http.Request) {
	if s.relay != nil {
		if _, err := s.relay.Stats(r.Context()); err != nil {
			http.Error(w, "the relay does not answer", http.StatusServiceUnavailable)
			return
		}
	}
	fmt.Fprintln(w, "ok")
}

// What gateways need of the relay.

func (s *server) publish(ctx context.Context, t crypto.Token) (gateway.Publication, error) {
	p, err := s.relay.Publish(ctx, t)
	if err != nil { // no typed nil
		return nil, gatewayError(err)
	}
	return p, nil
}

func (s *server) subscribe(ctx context.Context, t crypto.Token) (gateway.Subscription, error) {
	sub, err := s.relay.Subscribe(ctx, t)
	if err != nil {
		return nil, gatewayError(err)
	}
	return sub, nil
}

// gatewayError says in a gateway's terms why the relay does not let somebody in.
func gatewayError(err error) error {
	if errors.Is(err, relay.ErrRevoked) {
		return gateway.ErrRevoked
	}
	return err
}

func (s *server) verify(token string, want crypto.Action, stream string) (crypto.Token, error) {
	return s.secrets.tokens.Verify(time.Now(), token, want, stream)
}

var (
	_ gateway.Publication  = (*relay.Publication)(nil)
	_ gateway.Subscription = (*relay.Subscription)(nil)
)
