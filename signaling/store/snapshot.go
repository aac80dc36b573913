package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A snapshot is cut into chunks, each a message; then its manifest is written, one message, and with it the snapshot is there. Subjects hold the
// entry's number, and for chunks a random ID of who writes, so that what a crash left behind can be told from what counts, and removed:
//
//	NAME.snapshot.chunk.SEQ.ID    chunks, one message each
//	NAME.snapshot.whole.SEQ       manifest
const (
	chunkSize     = 256 << 10 // bytes
	keptSnapshots = 2
	loadTries     = 3 // while others save, and remove what is read
	chunkSubject  = "chunk."
	wholeSubject  = "whole."
)

// SaveSnapshot keeps what the caller made of the entries up to seq. It is there as a whole or not at all, whatever happens meanwhile. The newest two are
// kept. Where a newer one is there already nothing is done. data is not kept, and at most 2 GiB.
func (s *Store) SaveSnapshot(ctx context.Context, seq uint64, data []byte) error {
	if seq == 0 {
		return errors.New("store: a snapshot needs the number of its last entry")
	}
	if len(data) > maxChunks*chunkSize {
		return fmt.Errorf("%w: a snapshot of %d bytes, %d at most", ErrTooLarge, len(data), maxChunks*chunkSize)
	}
	joined, cancel := s.join(ctx)
	defer cancel()
	whole, err := s.snapshots(joined)
	if err != nil {
		return s.fault(ctx, "snapshot", err)
	}
	if len(whole) > 0 && whole[0] > seq {
		return nil
	}
	m := manifest{Seq: seq, Size: len(data), Hash: sha256.Sum256(data)}
	subject := s.cfg.Name + snapSubject + chunkSubject + strconv.FormatUint(seq, 10) + "." + rand.Text()
	for chunk := range slices.Chunk(data, chunkSize) {
		at, err := s.publishSnap(joined, subject, chunk)
		if err != nil {
			return s.fault(ctx, "snapshot", err)
		}
		m.Chunks = append(m.Chunks, at)
	}
	if _, err := s.publishSnap(joined, s.wholeSubject(seq), m.encode()); err != nil {
		return s.fault(ctx, "snapshot", err)
	}
	if err := s.pruneSnapshots(joined); err != nil {
		s.cfg.Logger.Warn("old snapshots can't be removed: the next one tries again", "error", err)
	}
	return nil
}

func (s *Store) publishSnap(ctx context.Context, subject string, data []byte) (uint64, error) {
	ack, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: subject, Data: data}, jetstream.WithExpectStream(s.cfg.Name+snapStream))
	if err != nil {
		return 0, err
	}
	return ack.Sequence, nil
}

func (s *Store) wholeSubject(seq uint64) string {
	return s.cfg.Name + snapSubject + wholeSubject + strconv.FormatUint(seq, 10)
}

// LoadSnapshot returns the newest snapshot that is whole, with the number of its last entry; 0 if there is none. Whether the log reaches as far is for the caller to
// see, with one exception: with Config.Sync above 0 a power cut may leave a snapshot that is ahead of the log, and an older one is taken, or none if
// the log has all entries from the first.
func (s *Store) LoadSnapshot(ctx context.Context) (seq uint64, data []byte, err error) {
	joined, cancel := s.join(ctx)
	defer cancel()
	for range loadTries {
		var again bool
		if seq, data, again, err = s.loadSnapshot(joined); err != nil {
			return 0, nil, s.fault(ctx, "snapshot", err)
		}
		if !again {
			break
		}
	}
	return seq, data, nil
}

// loadSnapshot tries those that are there. again: none of them could be read, and others have come meanwhile.
func (s *Store) loadSnapshot(ctx context.Context) (seq uint64, data []byte, again bool, err error) {
	whole, err := s.snapshots(ctx)
	if err != nil {
		return 0, nil, false, err
	}
	usable, err := s.coveredSnapshots(ctx, whole)
	if err != nil {
		return 0, nil, false, err
	}
	for _, seq := range usable {
		data, err := s.readSnapshot(ctx, seq)
		if err == nil {
			return seq, data, false, nil
		}
		if !errors.Is(err, errBroken) {
			return 0, nil, false, err
		}
		s.cfg.Logger.Warn("a snapshot is not whole, and passed over", "entry", seq, "error", err)
	}
	if len(whole) == 0 {
		return 0, nil, false, nil
	}
	now, err := s.snapshots(ctx)
	return 0, nil, err == nil && !slices.Equal(now, whole), err
}

// coveredSnapshots leaves out those that a power cut has left ahead of a log that is synced at intervals.
func (s *Store) coveredSnapshots(ctx context.Context, whole []uint64) ([]uint64, error) {
	if s.cfg.Sync == 0 || s.server == nil || len(whole) == 0 {
		return whole, nil
	}
	st, err := s.state(ctx)
	if err != nil {
		return nil, err
	}
	covered := slices.DeleteFunc(slices.Clone(whole), func(seq uint64) bool { return seq > st.LastSeq })
	if len(covered) == len(whole) || len(covered) == 0 && st.FirstSeq != 1 {
		return whole, nil // the caller sees that the log's end is missing
	}
	s.cfg.Logger.Warn("the log ends before the newest snapshot: what was not synced is lost", "last", st.LastSeq, "snapshot", whole[0])
	return covered, nil
}

// errBroken: this snapshot can't be had, whatever is tried.
var errBroken = errors.New("not whole")

func (s *Store) readSnapshot(ctx context.Context, seq uint64) ([]byte, error) {
	last, err := s.snaps.GetLastMsgForSubject(ctx, s.wholeSubject(seq))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fmt.Errorf("%w: its manifest is gone", errBroken)
	}
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(last.Data)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBroken, err)
	}
	if m.Seq != seq {
		return nil, fmt.Errorf("%w: its manifest is that of entry %d", errBroken, m.Seq)
	}
	data := make([]byte, 0, m.Size)
	for i, at := range m.Chunks {
		chunk, err := s.snaps.GetMsg(ctx, at)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, fmt.Errorf("%w: chunk %d of %d is gone", errBroken, i, len(m.Chunks))
		}
		if err != nil {
			return nil, err
		}
		if len(chunk.Data) > m.Size-len(data) {
			return nil, fmt.Errorf("%w: it is longer than its manifest says", errBroken)
		}
		data = append(data, chunk.Data...)
	}
	if len(data) != m.Size || sha256.Sum256(data) != m.Hash {
		return nil, fmt.Errorf("%w: its hash is wrong", errBroken)
	}
	return data, nil
}

// snapshots lists the entries of which there are manifests, the newest first.
func (s *Store) snapshots(ctx context.Context) ([]uint64, error) {
	subjects, err := s.snapSubjects(ctx, wholeSubject+">")
	if err != nil {
		return nil, err
	}
	var whole []uint64
	for _, seq := range subjects {
		whole = append(whole, seq)
	}
	slices.SortFunc(whole, func(a, b uint64) int { return cmp.Compare(b, a) })
	return whole, nil
}

// snapSubjects are the subjects that hold something, with the number of the entry in them.
func (s *Store) snapSubjects(ctx context.Context, filter string) (map[string]uint64, error) {
	info, err := s.snaps.Info(ctx, jetstream.WithSubjectFilter(s.cfg.Name+snapSubject+filter))
	if err != nil {
		return nil, err
	}
	subjects := make(map[string]uint64, len(info.State.Subjects))
	for subject := range info.State.Subjects {
		tokens := strings.Split(strings.TrimPrefix(subject, s.cfg.Name+snapSubject), ".")
		if len(tokens) < 2 {
			continue // not ours
		}
		if seq, err := strconv.ParseUint(tokens[1], 10, 64); err == nil && seq > 0 {
			subjects[subject] = seq
		}
	}
	return subjects, nil
}

// pruneSnapshots removes everything that belongs to entries before the oldest of the snapshots that are kept, manifests first: there is never one whose
// chunks are gone, but for a reader that has it already. What a crash left behind of newer entries is removed when it has become old.
func (s *Store) pruneSnapshots(ctx context.Context) error {
	whole, err := s.snapshots(ctx)
	if err != nil || len(whole) < keptSnapshots {
		return err
	}
	oldest := whole[keptSnapshots-1]
	for _, kind := range []string{wholeSubject, chunkSubject} {
		subjects, err := s.snapSubjects(ctx, kind+">")
		if err != nil {
			return err
		}
		for subject, seq := range subjects {
			if seq >= oldest {
				continue
			}
			if err := s.snaps.Purge(ctx, jetstream.WithPurgeSubject(subject)); err != nil {
				return err
			}
		}
	}
	return nil
}
