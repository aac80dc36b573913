package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"duet/record"
)

// recordConfig says how calls are recorded.
type recordConfig struct {
	sync       string   // record.SyncMode
	recipients []string // recordings are sealed to them
	s3         string   // s3://BUCKET/PREFIX that finished ones are copied to
	endpoint   string   // HOST[:PORT] of it
}

const (
	recordDir     = "recordings" // of a data directory
	recordKeyFile = "record.key" // seed of the Ed25519 key that signs recordings
)

// openRecordKey reads the key that signs recordings, and makes it on the first start.
func openRecordKey(data string, create bool) (ed25519.PrivateKey, error) {
	seed, err := secretBytes(data, recordKeyFile, ed25519.SeedSize, create)
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// openRecorder makes the recorder and ends recordings that were interrupted.
func (s *server) openRecorder() error {
	cfg := &s.cfg
	key, err := openRecordKey(cfg.data, true)
	if err != nil {
		return err
	}
	to, err := record.ParseRecipients(cfg.record.recipients)
	if err != nil {
		return withHint(misuse{err}, "--record-recipient is the public key that age-keygen prints; keep the identity elsewhere")
	}
	k := &keeper{relay: s.relay, log: cfg.log, tell: s.tellRecorded, calls: make(map[string]*keptCall)}
	k.recorder, err = record.New(record.Config{
		Dir: filepath.Join(cfg.data, recordDir), Key: key, Recipients: to, Sealed: cfg.record.recipients, Sync: record.SyncMode(cfg.record.sync), Server: cfg.calls.name(),
		Logger: cfg.log, OnHead: k.onHead, OnFail: k.onFail,
	})
	if err != nil {
		return err
	}
	found, err := k.recorder.Recover()
	for _, r := range found {
		cfg.log.Warn("a recording was interrupted; it was ended and holds", "recording", r.Recording, "length", r.Length, "dropped_bytes", r.Dropped)
	}
	if err != nil { // calls can be recorded all the same
		cfg.log.Error("recordings that were interrupted can't all be ended; it is tried again at the next start", "error", err)
	}
	s.keeper = k
	return s.openUploader()
}

// Where credentials of the S3 interface come from.
const (
	s3AccessEnv = "DUET_S3_ACCESS_KEY"
	s3SecretEnv = "DUET_S3_SECRET_KEY"
)

// openUploader makes what copies finished recordings elsewhere, if that is wanted.
func (s *server) openUploader() error {
	cfg := &s.cfg.record
	if cfg.s3 == "" {
		return nil
	}
	bucket, prefix, err := record.ParseUpload(cfg.s3)
	if err != nil {
		return misuse{err}
	}
	access, secret := os.Getenv(s3AccessEnv), os.Getenv(s3SecretEnv)
	if cfg.endpoint == "" || access == "" || secret == "" {
		return withHint(misusef("--record-s3 needs --record-s3-endpoint, and credentials in %s and %s", s3AccessEnv, s3SecretEnv), "for example: --record-s3-endpoint s3.example.org")
	}
	plain := strings.HasPrefix(cfg.endpoint, "http://")
	s.uploader, err = record.NewUploader(record.UploadConfig{
		Endpoint: strings.TrimPrefix(strings.TrimPrefix(cfg.endpoint, "http://"), "https://"), Bucket: bucket, Prefix: prefix, AccessKey: access, SecretKey: secret, Plain: plain,
		Logger: s.cfg.log,
	})
	return err
}

// upload copies finished recordings until ctx ends.
func (s *server) upload(ctx context.Context) error {
	s.uploader.Run(ctx, filepath.Join(s.cfg.data, recordDir))
	return nil
}

// tellRecorded brings what the recorder tells to signaling.
func (s *server) tellRecorded(st recordStatus) {
	if st.Closed && s.uploader != nil {
		s.uploader.Wake()
	}
	switch {
	case s.calls != nil:
		s.calls.records.note(st)
	case s.link != nil:
		b, err := json.Marshal(st)
		if err == nil {
			err = s.link.Publish(subjectRecorded, b)
		}
		if err != nil {
			s.cfg.log.Warn("signaling can't be told of recordings; it is tried again", "error", err)
		}
	}
}

// closeRecorder ends what is being recorded, whole.
func (s *server) closeRecorder() error {
	if s.keeper == nil {
		return nil
	}
	s.keeper.close()
	if err := s.keeper.recorder.Close(); err != nil {
		return fmt.Errorf("recordings: %w", err)
	}
	return nil
}

// publicKey is what recordings are checked with.
func publicKey(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}
