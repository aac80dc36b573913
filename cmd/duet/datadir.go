package main

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"duet/crypto"
)

// Files of a data directory. Each secret file holds raw bytes and is made on first use, for its owner alone.
const (
	keyFile       = "server.key"     // 32 bytes: seed of the static X25519 key
	secretFile    = "secret"         // 32 bytes: for cookies and resets
	tokenFile     = "token.key"      // 4 bytes key ID, 32 bytes HMAC key
	addressesFile = "addresses.json" // what serve told its clients last

	secretSize   = 32
	tokenKeySize = 4 + 32
)

// secrets are what a server has to keep.
type secrets struct {
	key    *crypto.StaticKey
	secret [secretSize]byte
	tokens *crypto.TokenKeys
}

// openSecrets reads a data directory's secrets. With create it makes what is missing; without, missing files are an error.
func openSecrets(dir string, create bool) (*secrets, error) {
	if create {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, withHint(fmt.Errorf("can't make the data directory: %w", err), "--data DIR names another")
		}
	}
	seed, err := secretBytes(dir, keyFile, secretSize, create)
	if err != nil {
		return nil, err
	}
	secret, err := secretBytes(dir, secretFile, secretSize, create)
	if err != nil {
		return nil, err
	}
	token, err := secretBytes(dir, tokenFile, tokenKeySize, create)
	if err != nil {
		return nil, err
	}
	key, err := crypto.NewStaticKey([32]byte(seed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, keyFile), err)
	}
	return &secrets{
		key: key, secret: [secretSize]byte(secret),
		tokens: crypto.NewTokenKeys(binary.BigEndian.Uint32(token), [32]byte(token[4:])),
	}, nil
}

// secretBytes reads one secret file, or makes it: written whole under another name first, so that it is never half there.
func secretBytes(dir, name string, size int, create bool) ([]byte, error) {
	path := filepath.Join(dir, name)
	b, err := os.ReadFile(path)
	switch {
	case err == nil && len(b) != size:
		return nil, withHint(fmt.Errorf("%s has %d bytes, not %d: it is damaged or something else", path, len(b), size),
			"restore it from a backup; or remove it, then the server makes a new one and every URL made so far is void")
	case err == nil:
		return b, nil
	case !errors.Is(err, fs.ErrNotExist):
		return nil, withHint(fmt.Errorf("can't read a secret: %w", err), "the data directory belongs to the user that runs `duet serve`")
	case !create:
		return nil, withHint(fmt.Errorf("%s: %w", path, fs.ErrNotExist), "`duet serve --data %s` makes it on its first start; --data names another directory", dir)
	}
	b = make([]byte, size)
	if _, err := rand.Read(b); err != nil {
		return nil, err
	}
	err = writeNew(path, b)
	switch {
	case errors.Is(err, fs.ErrExist): // another start of the server was there first: its secret is the one
		return secretBytes(dir, name, size, false)
	case err != nil:
		return nil, fmt.Errorf("can't keep a secret: %w", err)
	}
	return b, nil
}

// writeNew makes a secret file in one step, unless it is there.
func writeNew(path string, b []byte) error {
	temp, err := writeTemp(path, b, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(temp) }()
	if err = os.Link(temp, path); err == nil || errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.Rename(temp, path) // a file system without links
}

// writeFile replaces a file in one step.
func writeFile(path string, b []byte, mode fs.FileMode) error {
	temp, err := writeTemp(path, b, mode)
	if err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return nil
}

// writeTemp writes a file beside path, down to the disk, and returns its name. After an error there is none.
func writeTemp(path string, b []byte, mode fs.FileMode) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		return "", errors.Join(err, os.Remove(f.Name()))
	}
	return f.Name(), nil
}

// addresses are where a server's clients find it: what the URLs name.
type addresses struct {
	UDP  string `json:"udp"`
	RTMP string `json:"rtmp,omitempty"`
	TLS  string `json:"rtmps,omitempty"`
	HTTP string `json:"http,omitempty"`
}

func (a *addresses) save(dir string) error {
	b, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, addressesFile), append(b, '\n'), 0o644)
}

// loadAddresses reads what serve saved; nil if there is nothing.
func loadAddresses(dir string) (*addresses, error) {
	path := filepath.Join(dir, addressesFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var a addresses
	if err := json.Unmarshal(b, &a); err != nil {
		return nil, withHint(fmt.Errorf("%s is damaged: %w", path, err), "remove it; `duet serve` writes it at every start")
	}
	return &a, nil
}
