package record

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// uploaded is what is known of a recording's copy elsewhere: kept in the folder, so that an upload goes on where it was.
type uploaded struct {
	Target string            `json:"target"` // s3://BUCKET/PREFIX/CALL
	Files  map[string]string `json:"files"`  // SHA-256 in base64 by name, of those that the remote has confirmed
	Done   bool              `json:"done"`
}

// UploadConfig says where finished recordings are copied to.
type UploadConfig struct {
	Endpoint  string // HOST[:PORT] of an S3 interface
	Bucket    string
	Prefix    string // of objects' names
	Region    string
	AccessKey string
	SecretKey string
	Plain     bool          // HTTP without TLS
	Retry     time.Duration // after a failure; default 1 minute
	Logger    *slog.Logger  // default: discard
	Transport http.RoundTripper
}

// ParseUpload reads s3://BUCKET/PREFIX.
func ParseUpload(text string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(text, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", "", fmt.Errorf("%.100q is no place for recordings: it is s3://BUCKET or s3://BUCKET/PREFIX", text)
	}
	return bucket, strings.Trim(prefix, "/"), nil
}

// Uploader copies finished recordings to an S3 interface. The local copy stays.
type Uploader struct {
	cfg    UploadConfig
	client *minio.Client
	wake   chan struct{}
}

const (
	uploadEvery = 5 * time.Minute // it looks for recordings that it was not told of
	uploadRetry = time.Minute
)

// NewUploader makes one; Run works.
func NewUploader(cfg UploadConfig) (*Uploader, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Retry <= 0 {
		cfg.Retry = uploadRetry
	}
	client, err := minio.New(cfg.Endpoint, &minio.Options{
		Creds: credentials.NewStaticV4(cfg.AccessKey, cfg.SecretKey, ""), Secure: !cfg.Plain, Region: cfg.Region, Transport: cfg.Transport, TrailingHeaders: true,
	})
	if err != nil {
		return nil, fmt.Errorf("record: %s: %w", cfg.Endpoint, err)
	}
	return &Uploader{cfg: cfg, client: client, wake: make(chan struct{}, 1)}, nil
}

// Wake has it look for recordings now. It does not wait.
func (u *Uploader) Wake() {
	select {
	case u.wake <- struct{}{}:
	default:
	}
}

// Run copies what is finished in a directory of recordings, until ctx ends. What fails is tried again.
func (u *Uploader) Run(ctx context.Context, dir string) {
	for {
		pause := uploadEvery
		if err := u.Once(ctx, dir); err != nil && ctx.Err() == nil {
			u.cfg.Logger.Warn("recordings can't be copied; it is tried again, and they are kept here", "error", err)
			pause = u.cfg.Retry
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-u.wake:
		case <-t.C:
		}
		t.Stop()
	}
}

// Once copies what is finished and not copied yet.
func (u *Uploader) Once(ctx context.Context, dir string) error {
	list, err := List(dir)
	if err != nil {
		return err
	}
	var all error
	for i := range list {
		s := &list[i]
		if s.State == Open || s.Uploaded != "" {
			continue
		}
		if err := u.recording(ctx, s); err != nil {
			all = errors.Join(all, fmt.Errorf("%s: %w", s.Call, err))
		}
		if ctx.Err() != nil {
			return all
		}
	}
	return all
}

// recording copies one, file by file.
func (u *Uploader) recording(ctx context.Context, s *Summary) error {
	target := "s3://" + path.Join(u.cfg.Bucket, u.cfg.Prefix, s.Call)
	have, err := readKeeper[uploaded](s.Folder, uploadFile)
	if err != nil || have == nil || have.Target != target || have.Files == nil {
		have = &uploaded{Target: target, Files: make(map[string]string)}
	}
	entries, err := os.ReadDir(s.Folder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || strings.HasPrefix(e.Name(), keeperPrefix) {
			continue
		}
		sum, err := sumOf(filepath.Join(s.Folder, e.Name()))
		if err != nil {
			return err
		}
		if have.Files[e.Name()] == sum {
			continue
		}
		if err := u.file(ctx, filepath.Join(s.Folder, e.Name()), path.Join(u.cfg.Prefix, s.Call, e.Name()), sum); err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
		have.Files[e.Name()] = sum
		if err := writeKeeper(s.Folder, uploadFile, have); err != nil {
			return err
		}
	}
	have.Done = true
	return writeKeeper(s.Folder, uploadFile, have)
}

// sumHeader is where an object's hash is kept beside it: not every S3 interface computes one over an object that came in parts.
const sumHeader = "Duet-Sha256"

// file copies one and asks the remote what it has: size, and the hash that went with it.
func (u *Uploader) file(ctx context.Context, name, object, sum string) (err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	o := minio.PutObjectOptions{ContentType: "application/octet-stream", UserMetadata: map[string]string{sumHeader: sum}, Checksum: minio.ChecksumSHA256}
	if _, err := u.client.PutObject(ctx, u.cfg.Bucket, object, f, info.Size(), o); err != nil { // each part's hash is checked on arrival
		return err
	}
	there, err := u.client.StatObject(ctx, u.cfg.Bucket, object, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return err
	}
	whole := there.ChecksumSHA256 == "" || strings.Contains(there.ChecksumSHA256, "-") || there.ChecksumSHA256 == sum // of parts it is another
	if there.Size != info.Size() || there.UserMetadata[sumHeader] != sum || !whole {
		return fmt.Errorf("the copy has %d bytes and the hash %s, not %d and %s", there.Size, there.UserMetadata[sumHeader], info.Size(), sum)
	}
	return nil
}

// sumOf is the SHA-256 of a file, in base64 as S3 has it.
func sumOf(name string) (sum string, err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil)), nil
}
