package store

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Names of the two streams behind Config.Name, and of their subjects behind it and a dot. A subject of Publish stands behind busSubject, so that it
// is never one of these.
const (
	logStream   = "-log"
	snapStream  = "-snapshots"
	logSubject  = ".log"
	snapSubject = ".snapshot."
	busSubject  = ".bus."

	headerRoom = 4 << 10 // bytes that a message may have beside its data: the expected sequence and the like
)

// openStreams makes the streams if they are missing, and checks those that are there.
func (s *Store) openStreams(ctx context.Context) error {
	ctx, cancel := s.join(ctx)
	defer cancel()
	made := ""
	if s.server != nil {
		var err error
		if made, err = s.server.readMarker(); err != nil {
			return err
		}
	}
	var err error
	// No entry can be taken out of the middle. The beginning can be purged by the operator's tools: readers then get ErrGone.
	s.log, err = s.openStream(ctx, jetstream.StreamConfig{
		Name: s.cfg.Name + logStream, Subjects: []string{s.cfg.Name + logSubject}, MaxMsgSize: MaxEntry + headerRoom, DenyDelete: true,
	}, made)
	if err != nil {
		return err
	}
	s.snaps, err = s.openStream(ctx, jetstream.StreamConfig{
		Name: s.cfg.Name + snapStream, Subjects: []string{s.cfg.Name + snapSubject + ">"}, MaxMsgSize: chunkSize + headerRoom,
	}, "")
	if err != nil {
		return err
	}
	if s.server != nil {
		return s.checkFiles(ctx, made)
	}
	return nil
}

// openStream opens a stream. If made is not empty it has to be there.
func (s *Store) openStream(ctx context.Context, cfg jetstream.StreamConfig, made string) (jetstream.Stream, error) {
	cfg.Retention, cfg.Storage, cfg.Discard, cfg.Replicas = jetstream.LimitsPolicy, jetstream.FileStorage, jetstream.DiscardNew, s.cfg.Replicas
	stream, err := s.js.Stream(ctx, cfg.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if made != "" {
			return nil, fmt.Errorf("%w: %s holds a log that was made at %s, but NATS can't read its description; restore the whole directory from a backup",
				ErrDamaged, s.cfg.Dir, made)
		}
		if s.server != nil {
			if err := s.server.clear(cfg.Name); err != nil {
				return nil, err
			}
		}
		stream, err = s.js.CreateStream(ctx, cfg)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // another process has been quicker
			stream, err = s.js.Stream(ctx, cfg.Name)
		}
	}
	switch {
	case ctx.Err() != nil: // told below
	case errors.Is(err, jetstream.ErrJetStreamNotEnabled), errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount), errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("store: JetStream does not answer at %s: it is not enabled, or not for this account", hosts(s.cfg.URL))
	}
	if err != nil {
		return nil, s.fault(ctx, "stream "+cfg.Name, err)
	}
	if wrong := unfit(stream.CachedInfo().Config, cfg); wrong != "" {
		return nil, fmt.Errorf("store: stream %s is not fit for a log: %s; correct it, or use another Name", cfg.Name, wrong)
	}
	return stream, nil
}

// unfit says what keeps a stream, which may have been made by other means, from holding every entry for good.
func unfit(is, want jetstream.StreamConfig) string {
	switch {
	case len(is.Subjects) != 1 || is.Subjects[0] != want.Subjects[0]:
		return fmt.Sprintf("its subjects are %q, not %q", is.Subjects, want.Subjects)
	case is.Retention != jetstream.LimitsPolicy:
		return "its retention is not by limits"
	case is.Storage != jetstream.FileStorage:
		return "it is kept in memory"
	case is.MaxAge > 0 || is.MaxMsgsPerSubject > 0 || is.Discard != jetstream.DiscardNew && (is.MaxMsgs > 0 || is.MaxBytes > 0):
		return "it discards what is old"
	case is.MaxMsgSize > 0 && is.MaxMsgSize < want.MaxMsgSize:
		return fmt.Sprintf("its messages are limited to %d bytes, %d are needed", is.MaxMsgSize, want.MaxMsgSize)
	case is.PersistMode == jetstream.AsyncPersistMode:
		return "it acknowledges before it writes"
	case is.Sealed || is.NoAck || is.Mirror != nil || len(is.Sources) > 0 || is.SubjectTransform != nil:
		return "it can't be appended to, or not by us alone"
	}
	return ""
}

// checkFiles looks whether the embedded server found its files whole, and marks the directory as the log's.
func (s *Store) checkFiles(ctx context.Context, made string) error {
	info, err := s.log.Info(ctx)
	if err != nil {
		return s.fault(ctx, "the log", err)
	}
	hint := "restore the whole directory from a backup"
	if is := info.Created.UTC().Format(time.RFC3339Nano); made == "" {
		if err := s.server.syncFiles(); err != nil {
			return err
		}
		if err := s.server.writeMarker(is); err != nil {
			return err
		}
	} else if is != made {
		return fmt.Errorf("%w: %s is marked for a log that was made at %s, but holds one that was made at %s; %s", ErrDamaged, s.cfg.Dir, made, is, hint)
	}
	st := info.State
	switch {
	case st.LastSeq < s.server.acknowledged && s.server.synced:
		return fmt.Errorf("%w: it ends at entry %d in %s, but entry %d was acknowledged; %s, or, to go on without, remove %s", ErrDamaged,
			st.LastSeq, s.cfg.Dir, s.server.acknowledged, hint, filepath.Join(s.cfg.Dir, markName))
	case st.LastSeq < s.server.acknowledged:
		s.cfg.Logger.Warn("the end of the log was not synced, and is lost", "last", st.LastSeq, "acknowledged", s.server.acknowledged)
	}
	switch {
	case st.Msgs > 0 && st.LastSeq-st.FirstSeq+1 != st.Msgs:
		return fmt.Errorf("%w: of entries %d to %d in %s only %d are there; %s", ErrDamaged, st.FirstSeq, st.LastSeq, s.cfg.Dir, st.Msgs, hint)
	case st.Msgs > 0:
		if _, err := s.entry(ctx, st.LastSeq); errors.Is(err, jetstream.ErrMsgNotFound) {
			return fmt.Errorf("%w: entry %d, the last in %s, can't be read; %s", ErrDamaged, st.LastSeq, s.cfg.Dir, hint)
		} else if err != nil {
			return s.fault(ctx, "the log", err)
		}
	}
	return nil
}
