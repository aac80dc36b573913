package record

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"filippo.io/age"
)

// Config says how a Recorder works. Dir and Key are required.
type Config struct {
	Dir        string // has a folder for each call
	Key        ed25519.PrivateKey
	Recipients []age.Recipient // recordings are sealed to them; none: not sealed
	Sealed     []string        // their names, for the manifest
	Sync       SyncMode        // default SyncAlways
	Server     string          // name of this server, for the manifest
	FS         FS              // default Disk
	Logger     *slog.Logger    // default: discard
	Now        func() time.Time
	// OnHead gets a signed head every 30 s and at the end, to be given to witnesses; OnFail is told when a recording ends that should not.
	// Both are called by the writer and must not block.
	OnHead func(call string, h Head)
	OnFail func(call string, err error)
}

// Info is what a recording begins with.
type Info struct {
	Call    string
	Kind    string // of the call
	Queue   string
	Policy  string
	Consent string
	Retain  time.Time

	upto uint64
}

// maxOpen recordings at a time.
const maxOpen = 10_000

// Recorder records calls. Its methods may be called from any goroutine.
type Recorder struct {
	cfg Config

	mu   sync.Mutex
	open map[string]*Recording // guarded by mu. By call
}

// ErrName means that a call's name can't be a folder's.
var ErrName = errors.New("record: the call's name can't be a folder's")

// openDir has an empty file for each recording that is being written: what a start has to look after.
const openDir = ".open"

// New makes a recorder. Recover should be called before anything is recorded.
func New(cfg Config) (*Recorder, error) {
	if cfg.FS == nil {
		cfg.FS = Disk{}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.OnHead == nil {
		cfg.OnHead = func(string, Head) {}
	}
	if cfg.OnFail == nil {
		cfg.OnFail = func(string, error) {}
	}
	if cfg.Sync == "" {
		cfg.Sync = SyncAlways
	}
	if cfg.Sync != SyncAlways && cfg.Sync != SyncNever {
		return nil, fmt.Errorf("record: recordings are synced %s or %s, not %q", SyncAlways, SyncNever, cfg.Sync)
	}
	if err := cfg.FS.MkdirAll(filepath.Join(cfg.Dir, openDir)); err != nil {
		return nil, fmt.Errorf("record: recordings can't be kept: %w", err)
	}
	return &Recorder{cfg: cfg, open: make(map[string]*Recording)}, nil
}

// Recover ends recordings that were interrupted.
func (r *Recorder) Recover() ([]Recovered, error) {
	list, err := r.cfg.FS.ReadDir(filepath.Join(r.cfg.Dir, openDir))
	if err != nil {
		return nil, err
	}
	var all []Recovered
	for _, e := range list {
		found, _, _, _, ferr := recoverFolder(r.cfg.FS, filepath.Join(r.cfg.Dir, e.Name()), r.cfg.Key, r.clock())
		all = append(all, found...)
		if ferr != nil && !errors.Is(ferr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("%s: %w", e.Name(), ferr))
			continue // it is tried again at the next start
		}
		err = errors.Join(err, r.cfg.FS.Remove(filepath.Join(r.cfg.Dir, openDir, e.Name())))
	}
	return all, err
}

// clock reads both clocks.
func (r *Recorder) clock() func() (time.Time, time.Duration) {
	start := r.cfg.Now()
	return func() (time.Time, time.Duration) {
		now := r.cfg.Now()
		return now.Round(0), now.Sub(start)
	}
}

// recordingName is how signatures name a part.
func recordingName(call string, part int) string {
	if part <= 1 {
		return call
	}
	return call + "." + strconv.Itoa(part)
}

// validName reports whether a call may name a folder.
func validName(call string) bool {
	if call == "" || len(call) > 128 || call[0] == '.' {
		return false
	}
	for _, c := range call {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// Start begins a recording of a call. If the call has been recorded before, the folder gets another part. It returns when the beginning is on disk.
func (r *Recorder) Start(info Info) (*Recording, error) {
	if !validName(info.Call) {
		return nil, fmt.Errorf("%w: %.40q", ErrName, info.Call)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.open[info.Call]; have != nil {
		return have, nil
	}
	if len(r.open) >= maxOpen {
		return nil, fmt.Errorf("record: %d recordings are being written, which is the limit", maxOpen)
	}
	dir := filepath.Join(r.cfg.Dir, info.Call)
	if err := r.cfg.FS.MkdirAll(dir); err != nil {
		return nil, err
	}
	mark, err := r.cfg.FS.Open(filepath.Join(r.cfg.Dir, openDir, info.Call))
	if err != nil {
		return nil, err
	}
	if err := mark.Close(); err != nil {
		return nil, err
	}
	if r.cfg.Sync == SyncAlways {
		if err := errors.Join(r.cfg.FS.SyncDir(filepath.Join(r.cfg.Dir, openDir)), r.cfg.FS.SyncDir(r.cfg.Dir)); err != nil {
			return nil, err
		}
	}
	_, parts, last, upto, err := recoverFolder(r.cfg.FS, dir, r.cfg.Key, r.clock())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	info.upto = upto
	now := r.cfg.Now()
	rec := &Recording{
		rec: r, info: info, zero: now, wake: make(chan struct{}, 1), done: make(chan struct{}), sources: make(map[string]*source), upto: upto,
		part: &part{
			fs: r.cfg.FS, dir: dir, key: r.cfg.Key, recipients: r.cfg.Recipients, now: r.clock(), mode: r.cfg.Sync,
			begin: Begin{
				Recording: recordingName(info.Call, parts+1), Call: info.Call, Part: parts + 1, Previous: last, Kind: info.Kind, Queue: info.Queue,
				Policy: info.Policy, Consent: info.Consent, Retain: info.Retain, Sealed: r.cfg.Sealed, Server: r.cfg.Server,
			},
		},
	}
	if err := openPart(rec.part); err != nil {
		return nil, err
	}
	r.open[info.Call] = rec
	go rec.run()
	return rec, nil
}

// gone is a recording's last word.
func (r *Recorder) gone(rec *Recording, err error, early bool) {
	r.mu.Lock()
	if r.open[rec.info.Call] == rec {
		delete(r.open, rec.info.Call)
	}
	r.mu.Unlock()
	if err == nil {
		err = r.cfg.FS.Remove(filepath.Join(r.cfg.Dir, openDir, rec.info.Call))
	}
	if err != nil {
		r.cfg.Logger.Error("a recording has failed; what was written is kept", "call", rec.info.Call, "error", err)
	}
	if early {
		r.cfg.OnFail(rec.info.Call, err)
	}
}

// Close ends all recordings.
func (r *Recorder) Close() error {
	r.mu.Lock()
	var all []*Recording
	for _, rec := range r.open {
		all = append(all, rec)
	}
	r.mu.Unlock()
	var errs []error
	var mu sync.Mutex
	var wg sync.WaitGroup
	for _, rec := range all {
		wg.Go(func() {
			err := rec.Close("server stopped")
			mu.Lock()
			errs = append(errs, err)
			mu.Unlock()
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
