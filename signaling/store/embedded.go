package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	"github.com/nats-io/nats-server/v2/server"
)

const (
	serverPayload = 1 << 20  // bytes of a message, NATS's own default: an entry and its headers are well below it
	serverMemory  = 64 << 20 // bytes for what the server keeps in memory: positions of readers
	serverStore   = 1 << 40  // bytes of files; before that the disk is full
	serverDir     = "nats"
)

// embedded is a NATS server inside the process: no port, no signal handlers, no output but the Logger.
type embedded struct {
	srv  *server.Server
	log  *serverLog
	lock *dirLock
	mark *mark
	dir  string

	acknowledged uint64 // by the mark, before this start
	synced       bool   // and so on disk
}

// startEmbedded locks the directory, and starts a server on it. It returns when the files are read.
func startEmbedded(cfg *Config) (_ *embedded, err error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	e := &embedded{dir: cfg.Dir, log: &serverLog{out: cfg.Logger}}
	if e.lock, err = lockDir(cfg.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = e.stop() // the first error is the one that tells something
		}
	}()
	if e.mark, e.acknowledged, e.synced, err = openMark(cfg.Dir, cfg.Sync > 0); err != nil {
		return nil, err
	}
	e.srv, err = server.NewServer(&server.Options{
		ServerName:             cfg.Name,
		DontListen:             true,
		NoSigs:                 true,
		NoLog:                  true,
		NoSystemAccount:        true, // it would publish statistics that nobody reads
		MaxPayload:             serverPayload,
		JetStream:              true,
		DisableJetStreamBanner: true,
		JetStreamMaxMemory:     serverMemory,
		JetStreamMaxStore:      serverStore,
		StoreDir:               filepath.Join(cfg.Dir, serverDir),
		SyncAlways:             cfg.Sync == 0,
		SyncInterval:           cfg.Sync, // 0: the server's default, for what it does not sync at once
	})
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	e.srv.SetLoggerV2(e.log, false, false, false)
	e.srv.Start() // without a port it returns when all is read
	if fatal := e.log.running(); fatal != "" {
		return nil, fmt.Errorf("store: the files in %s can't be used: %s", cfg.Dir, fatal)
	}
	return e, nil
}

// stop ends the server, waits until its files are written, and unlocks the directory.
func (e *embedded) stop() error {
	if e.srv != nil {
		e.log.stopping()
		e.srv.Shutdown()
		e.srv.WaitForShutdown()
	}
	var err error
	if e.mark != nil {
		err = e.mark.close()
	}
	return errors.Join(err, e.lock.release())
}

// serverLog is the server's logger. What the server does is for debugging, what it complains of is passed on. A fault at the start is kept for who starts it.
type serverLog struct {
	out *slog.Logger

	mu    sync.Mutex // guards what follows
	phase serverPhase
	fatal error
}

type serverPhase int

const (
	phaseStart serverPhase = iota
	phaseRun
	phaseStop
)

// running ends the start, and returns what made it fail.
func (l *serverLog) running() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = phaseRun
	if l.fatal != nil {
		return l.fatal.Error()
	}
	return ""
}

func (l *serverLog) stopping() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.phase = phaseStop
}

func (l *serverLog) in() serverPhase {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.phase
}

// Noticef is called by the server.
func (l *serverLog) Noticef(format string, v ...any) { l.tell(slog.LevelDebug, format, v...) }

// Warnf is called by the server.
func (l *serverLog) Warnf(format string, v ...any) {
	if l.in() == phaseStop { // it warns of consumers that it ends itself
		l.tell(slog.LevelDebug, format, v...)
		return
	}
	l.tell(slog.LevelWarn, format, v...)
}

// Errorf is called by the server.
func (l *serverLog) Errorf(format string, v ...any) { l.tell(slog.LevelError, format, v...) }

// Fatalf is called by the server, which then goes on or not as it can: it is not for a library to end the process.
func (l *serverLog) Fatalf(format string, v ...any) {
	l.mu.Lock()
	starting := l.phase == phaseStart
	if starting && l.fatal == nil {
		l.fatal = fmt.Errorf(format, v...)
	}
	l.mu.Unlock()
	if !starting {
		l.tell(slog.LevelError, format, v...)
	}
}

// Debugf is called by the server.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef is called by the server.
func (l *serverLog) Tracef(string, ...any) {}

func (l *serverLog) tell(level slog.Level, format string, v ...any) {
	l.out.Log(context.Background(), level, "NATS: "+fmt.Sprintf(format, v...))
}
