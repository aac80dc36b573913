package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// MaxEntry is the size of the largest entry in bytes. It leaves room for headers, and for base64 in the server's answers, within the 1 MiB
	// that is the default limit of a NATS message.
	MaxEntry = 512 << 10
	// MaxMessage is the size of the largest message of Publish and Request.
	MaxMessage = 512 << 10

	maxName      = 32               // characters of Config.Name and of an outbox's name: they become parts of file names
	minSync      = time.Millisecond // below it, syncs would overtake each other
	minLease     = 100 * time.Millisecond
	defaultLease = 15 * time.Second
	apiTime      = 5 * time.Second // for the server to answer an append, or anything whose context has no deadline
	closeTime    = 2 * time.Second // for telling the server what Close gives back
)

var (
	// ErrConflict is Append's: the log's last entry is not the one expected. Nothing was written.
	ErrConflict = errors.New("store: another entry was appended first")
	// ErrTooLarge is Append's and Publish's: nothing was written or sent.
	ErrTooLarge = errors.New("store: too large")
	// ErrGone tells that entries asked for were removed from the log's beginning.
	ErrGone = errors.New("store: the log begins after that entry")
	// ErrAhead tells that entries asked for are not there yet. Where they once were, the log has lost its end.
	ErrAhead = errors.New("store: the log ends before that entry")
	// ErrDamaged tells that the log's files are not whole.
	ErrDamaged = errors.New("store: the log is damaged")
	// ErrInUse tells that another process, or another Store of this one, uses the directory.
	ErrInUse = errors.New("store: the directory is in use")
	// ErrNoOutbox tells that the outbox was deleted.
	ErrNoOutbox = errors.New("store: no such outbox")
	// ErrNoResponder is Request's: nobody listens there.
	ErrNoResponder = errors.New("store: nobody answers on that subject")
	// ErrClosed is what everything returns after Close.
	ErrClosed = errors.New("store: closed")

	errBroke = errors.New("the connection to the server broke")
)

// Config says where the log is. One of Dir and URL is required.
type Config struct {
	// Dir is the directory of the embedded server's files. It is made if missing. Unused with URL.
	Dir string
	// URL names a NATS server with JetStream, or several of a cluster with commas between: nats://HOST:PORT or tls://HOST:PORT, with
	// USER:PASSWORD@ or TOKEN@ before the host where needed. It is never logged.
	URL string
	// Creds is a NATS credentials file; only with URL.
	Creds string
	// Name begins the names of streams and subjects, so that several deployments can share a NATS cluster. Letters, digits, "_" and "-", 32 at
	// most; default "duet".
	Name string
	// Replicas of the streams that are made, 1 to 5; default 1. More than 1 needs a cluster. Streams that exist stay as they are.
	Replicas int
	// Sync is for the embedded server: 0 syncs every entry to disk before it is acknowledged, more than 0 syncs at that interval; see the package's
	// comment for what that can cost.
	Sync time.Duration
	// Lease is how long a process may be silent over an entry of an outbox before another gets it; at least 100 ms, default 15 s.
	Lease time.Duration
	// Logger gets what the embedded server complains of, and changes of the connection. Default: discard.
	Logger *slog.Logger
}

// Entry is one entry of the log. Numbers begin at 1 and have no gaps. Data belongs to whom it is given.
type Entry struct {
	Seq  uint64
	Time time.Time // when the server took it
	Data []byte
}

// Store is the log and what goes with it. Its methods may be called at the same time.
type Store struct {
	cfg    Config
	server *embedded // nil with Config.URL
	nc     *nats.Conn
	js     jetstream.JetStream
	log    jetstream.Stream
	snaps  jetstream.Stream
	life   context.Context // until Close
	end    context.CancelFunc

	mu       sync.Mutex // guards what follows
	whole    phase      // ends when the connection breaks: what was asked gets no answer
	away     phase      // ends when it is there again
	outboxes map[*Outbox]struct{}
	begun    map[string]bool // outboxes that this Store has opened, by name
	closed   chan struct{}   // nil until Close is called; closed when it is done
	closeErr error
}

// Open opens the log, and makes it if there is none. Files that are not whole are ErrDamaged, a directory that another process uses is ErrInUse.
// With Dir, reading the files can't be interrupted: ctx counts from then on.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	s := &Store{cfg: cfg, outboxes: make(map[*Outbox]struct{}), begun: make(map[string]bool)}
	s.life, s.end = context.WithCancel(context.Background())
	s.whole, s.away = newPhase(s.life), newPhase(s.life)
	if err := s.open(ctx); err != nil {
		_ = s.Close() // the first error is the one that tells something
		return nil, err
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) (err error) {
	if s.cfg.URL == "" {
		if s.server, err = startEmbedded(&s.cfg); err != nil {
			return err
		}
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithDefaultTimeout(apiTime)); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.openStreams(ctx)
}

func (c *Config) check() error {
	if c.Name == "" {
		c.Name = "duet"
	}
	if c.Replicas == 0 {
		c.Replicas = 1
	}
	if c.Lease == 0 {
		c.Lease = defaultLease
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	switch {
	case c.Dir == "" && c.URL == "":
		return errors.New("store: Config needs Dir or URL")
	case !validName(c.Name):
		return fmt.Errorf("store: Name %q: 1 to %d letters, digits, _ and -", c.Name, maxName)
	case c.Replicas < 1 || c.Replicas > 5:
		return fmt.Errorf("store: Replicas %d: 1 to 5", c.Replicas)
	case c.Replicas > 1 && c.URL == "":
		return errors.New("store: more than one replica needs a cluster: set URL")
	case c.Sync < 0 || c.Sync > 0 && c.Sync < minSync:
		return fmt.Errorf("store: Sync %v: 0, or at least %v", c.Sync, minSync)
	case c.Lease < minLease:
		return fmt.Errorf("store: Lease %v: at least %v", c.Lease, minLease)
	case c.Creds != "" && c.URL == "":
		return errors.New("store: Creds are for URL")
	}
	return nil
}

// validName reports whether a name can be a part of subjects and of file names.
func validName(name string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-"
	return name != "" && len(name) <= maxName && strings.Trim(name, letters) == ""
}

// Close gives back what outboxes hold, ends what is under way with ErrClosed, and with Dir shuts the server down and waits for it. Further calls
// wait for the first and return the same.
func (s *Store) Close() error {
	s.mu.Lock()
	if s.closed != nil {
		closed := s.closed
		s.mu.Unlock()
		<-closed
		return s.closeErr
	}
	s.closed = make(chan struct{})
	var outboxes []*Outbox
	for o := range s.outboxes {
		outboxes = append(outboxes, o)
	}
	s.mu.Unlock()
	defer close(s.closed)

	if s.nc != nil && s.nc.IsConnected() {
		for _, o := range outboxes {
			o.giveBack()
		}
		// What can't be told now is found out when the lease ends.
		_ = s.nc.FlushTimeout(closeTime)
	}
	s.end()
	if s.nc != nil {
		s.nc.Close()
	}
	if s.server != nil {
		s.closeErr = s.server.stop()
	}
	return s.closeErr
}

// join returns ctx, ending also at Close.
func (s *Store) join(ctx context.Context) (context.Context, context.CancelFunc) {
	return endWith(ctx, s.life)
}

// during returns ctx, ending also at Close and when the connection to the server breaks: what was asked before is to be asked again.
func (s *Store) during(ctx context.Context) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return endWith(ctx, s.whole.ctx)
}

// phase is a time of the connection.
type phase struct {
	ctx context.Context
	end context.CancelFunc
}

func newPhase(life context.Context) phase {
	ctx, end := context.WithCancel(life)
	return phase{ctx, end}
}

// next ends a phase, and begins another.
func (s *Store) next(p *phase) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.end()
	*p = newPhase(s.life)
}

func endWith(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() {
		stop()
		cancel()
	}
}

// fault is the error to return for err, which came of something that the caller's ctx and Close can end.
func (s *Store) fault(ctx context.Context, what string, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case s.life.Err() != nil:
		return ErrClosed
	case errors.Is(err, context.Canceled): // by during
		err = errBroke
	}
	return fmt.Errorf("store: %s: %w", what, err)
}

// wait waits before another try: until pause is over, the connection is there anew, or ctx ends.
func (s *Store) wait(ctx context.Context, pause time.Duration) {
	s.mu.Lock()
	away := s.away.ctx
	s.mu.Unlock()
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-away.Done():
	case <-ctx.Done():
	}
}
