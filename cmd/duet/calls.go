package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"duet/crypto"
	"duet/signaling"
	"duet/signaling/auth"
	"duet/signaling/desk"
	"duet/signaling/hook"
	"duet/signaling/office"
	"duet/signaling/store"
)

// callsConfig says how calls are kept and who may make them.
type callsConfig struct {
	nats      string         // URL of a NATS server; "": one in this process
	natsCreds string         // credentials file
	replicas  int            // of what is kept on a cluster
	sync      time.Duration  // 0: every entry before it is acknowledged
	node      string         // this server's name among several
	origins   []string       // of pages, beside the server's own
	proxies   []netip.Prefix // whose X-Forwarded-For is believed
	devOpen   bool           // anybody is whoever they say
	settings  desk.Settings
}

const (
	storeDir   = "store"   // of a data directory: what NATS keeps
	jwtFile    = "jwt.key" // seed of the Ed25519 key that signs user tokens
	jwtKeySize = ed25519.SeedSize
	storeOpen  = 30 * time.Second
	floorFile  = "floors" // of a relay
	urlsValid  = 24 * time.Hour
)

// name is this server's among several.
func (c *callsConfig) name() string {
	if c.node != "" {
		return c.node
	}
	return "duet"
}

// calls is the signaling of a server: the log, the office over it, and what speaks HTTP.
type calls struct {
	cfg     callsConfig
	log     *slog.Logger
	store   *store.Store
	office  *office.Office
	tokens  *auth.Tokens
	sockets *signaling.Sockets
	api     http.Handler
	hooks   *hook.Dispatcher
	media   mediaSide
	watch   *mediaWatch
	records *recordDesk
}

// openCalls opens the log and makes everything over it. run then serves, close lets go of it.
func openCalls(ctx context.Context, cfg callsConfig, data string, sec *secrets, log *slog.Logger, makeMedia func(*calls) mediaSide) (c *calls, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeOpen)
	defer cancel()
	made := &calls{cfg: cfg, log: log}
	c = made
	defer func() {
		if err != nil {
			made.close()
		}
	}()
	if c.store, err = openStore(ctx, cfg, data, log); err != nil {
		return nil, err
	}
	c.media = makeMedia(c)
	c.office, err = office.Open(ctx, office.Config{Store: c.store, Settings: cfg.settings, Node: cfg.name(), Logger: log, OnFloor: c.media.floor})
	if err != nil {
		return nil, err
	}
	c.watch = newMediaWatch(c.office, log)
	c.records = newRecordDesk(c.office, c.store, log, c.media.record)
	if c.tokens, err = openTokens(data); err != nil {
		return nil, err
	}
	c.sockets = signaling.NewSockets(signaling.SocketConfig{
		Office: c.office, Auth: signaling.TokenAuth{Tokens: c.tokens}, URLs: c.media.url, Origins: cfg.origins, Proxies: cfg.proxies, Logger: log,
	})
	c.hooks = hook.New(hook.Config{Store: c.store, Office: c.office, Logger: log})
	lib, err := openRecordings(data)
	if err != nil {
		return nil, err
	}
	c.api = signaling.NewAPI(signaling.APIConfig{
		Recordings: lib, Media: c.media.carried,
		Office: c.office, Tokens: c.tokens, Dev: func() bool { return cfg.devOpen || !c.hasUsers() }, Origins: cfg.origins, Proxies: cfg.proxies, Logger: log,
		Replay: c.hooks.Replay, ReadLog: c.readLog, MintURL: func(action, stream, party string, valid time.Duration) (string, error) {
			a, err := crypto.ParseAction(action)
			if err != nil {
				return "", err
			}
			return makeURL(sec, a, stream, &urlOptions{data: data, party: party, expires: valid})
		},
	})
	return c, nil
}

// openTokens reads the key that signs user tokens, and makes it on the first start.
func openTokens(data string) (*auth.Tokens, error) {
	seed, err := secretBytes(data, jwtFile, jwtKeySize, true)
	if err != nil {
		return nil, err
	}
	return auth.NewTokens(seed)
}

// firstQueue is what a server has that nobody has set up yet.
const firstQueue = "main"

// setUp gives a new server a queue.
func (c *calls) setUp(ctx context.Context) error {
	if c.hasUsers() {
		return nil
	}
	_, err := c.office.Do(ctx, desk.System(), &desk.SetQueue{Queue: desk.Queue{ID: firstQueue}, First: true}) // an operator may be faster
	return err
}

func (c *calls) readLog(ctx context.Context, from, to uint64, f func(uint64, []byte) error) error {
	return c.store.Read(ctx, from, to, func(e store.Entry) error { return f(e.Seq, e.Data) })
}

// hasUsers reports whether somebody is set up who can sign in or make tokens.
func (c *calls) hasUsers() (some bool) {
	c.office.View(func(s *desk.State) { some = len(s.AllUsers())+len(s.AllKeys()) > 0 })
	return some
}

// guard refuses to be open to everybody by accident.
func (c *calls) guard(cfg *serverConfig) error {
	if c.hasUsers() {
		return nil
	}
	for flag, addr := range map[string]string{"--http": cfg.http, "--https": cfg.https} {
		switch {
		case addr == "" || loopback(addr):
		case cfg.calls.devOpen:
			c.log.Warn("--dev-open: anybody who reaches this server is whoever they say, an admin too", "address", addr)
		default:
			return withHint(misusef("%s %s is not on loopback, and nobody is set up: anybody could be an agent or an admin", flag, addr),
				"make an admin first: duet user add NAME --role admin --data %s; or accept it for a trial with --dev-open", cfg.data)
		}
	}
	return nil
}

// openStore opens the log: in the data directory, or at a NATS server.
func openStore(ctx context.Context, cfg callsConfig, data string, log *slog.Logger) (*store.Store, error) {
	s, err := store.Open(ctx, store.Config{
		Dir: filepath.Join(data, storeDir), URL: cfg.nats, Creds: cfg.natsCreds, Replicas: cfg.replicas, Sync: cfg.sync, Logger: log,
	})
	switch {
	case errors.Is(err, store.ErrInUse):
		return nil, withHint(err, "a server runs on %s already: stop it, or name another directory with --data", data)
	case err != nil && cfg.nats != "":
		return nil, withHint(err, "--nats names a NATS server with JetStream, for example nats://127.0.0.1:4222")
	}
	return s, err
}

// floorsInForce are all of the office's.
func (c *calls) floorsInForce() (list []desk.Floor) {
	c.office.View(func(s *desk.State) {
		for _, f := range s.AllFloors() {
			list = append(list, *f)
		}
	})
	return list
}

// run serves until ctx ends. The sockets end first, so that what they still have to say is kept.
func (c *calls) run(ctx context.Context) error {
	working, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var wg sync.WaitGroup
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := c.office.Run(working); err != nil {
			failed <- err
		}
	})
	wg.Go(func() { c.media.run(working, c.watch) })
	wg.Go(func() { c.watch.run(working) })
	wg.Go(func() { c.records.run(working) })
	wg.Go(func() { c.sockets.Run(working) })
	wg.Go(func() { c.hooks.Run(working) })
	err := c.setUp(working)
	if err == nil {
		select {
		case <-ctx.Done():
		case err = <-failed:
		}
	}
	c.sockets.Close()
	stop()
	wg.Wait()
	c.close()
	return err
}

// close lets go of the log.
func (c *calls) close() {
	if c.store != nil {
		_ = c.store.Close() // what was acknowledged is there
		c.store = nil
	}
}
