package record

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
)

// ParseRecipients reads public keys of age, age1…; recordings are sealed to all of them.
func ParseRecipients(list []string) ([]age.Recipient, error) {
	var all []age.Recipient
	for _, text := range list {
		r, err := age.ParseX25519Recipient(strings.TrimSpace(text))
		if err != nil {
			return nil, fmt.Errorf("%.100q is no recipient: it is the public key that age-keygen prints, age1…: %w", text, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// sealPiece makes an age file of a piece, after its length.
func sealPiece(b []byte, to []age.Recipient) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, to...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(b); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return framed(out.Bytes()), nil
}

// ErrIdentity means that none of the identities opens a sealed recording.
var ErrIdentity = errors.New("record: the identity does not open this recording")

// openPiece is the inverse of sealPiece.
func openPiece(b []byte, with []age.Identity) ([]byte, error) {
	if len(b) < lengthSize || int(binary.BigEndian.Uint32(b)) != len(b)-lengthSize {
		return nil, errors.New("record: a sealed piece does not have its length")
	}
	r, err := age.Decrypt(bytes.NewReader(b[lengthSize:]), with...)
	var none *age.NoIdentityMatchError
	if errors.As(err, &none) {
		return nil, ErrIdentity
	}
	if err != nil {
		return nil, err
	}
	return io.ReadAll(r)
}

// OpenSealed writes the files of a sealed recording into a folder, in the clear: media.mp4, log.jsonl, messages.vtt, snapshots and side files, as they
// would have been without sealing. It returns their names. Nothing is written over.
func OpenSealed(from, to string, with []age.Identity) (names []string, err error) {
	parts, err := listParts(Disk{}, from)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(to, dirMode); err != nil {
		return nil, err
	}
	for _, n := range parts {
		list, err := openSealedPart(from, to, n, with)
		if err != nil {
			return names, err
		}
		names = append(names, list...)
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("record: %s has no sealed recording", from)
	}
	return names, nil
}

func openSealedPart(from, to string, n int, with []age.Identity) (names []string, err error) {
	chain, err := readChain(Disk{}, from, n)
	if err != nil {
		return nil, err
	}
	sealed := make(map[string]*os.File)
	open := make(map[string]*os.File)
	defer func() {
		for _, list := range []map[string]*os.File{sealed, open} {
			for _, f := range list {
				err = errors.Join(err, f.Close())
			}
		}
	}()
	ends := make(map[string]int64)
	for _, l := range chain.links {
		if l.File == "" || !strings.HasSuffix(l.File, sealedSuffix) || l.Size > maxPiece || filepath.Base(l.File) != l.File {
			continue
		}
		in := sealed[l.File]
		if in == nil {
			if in, err = os.Open(filepath.Join(filepath.Clean(from), l.File)); err != nil {
				return names, err
			}
			sealed[l.File] = in
		}
		b := make([]byte, l.Size)
		if _, err := in.ReadAt(b, l.Offset); err != nil {
			return names, err
		}
		if b, err = openPiece(b, with); err != nil {
			return names, err
		}
		name := strings.TrimSuffix(l.File, sealedSuffix)
		out := open[name]
		if out == nil {
			if out, err = os.OpenFile(filepath.Join(filepath.Clean(to), name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode); err != nil {
				return names, err
			}
			open[name] = out
			names = append(names, name)
		}
		at := ends[name]
		if l.Kind == KindInit {
			at = 0
			ends[name] = max(ends[name], int64(len(b)))
		} else {
			ends[name] = at + int64(len(b))
		}
		if _, err := out.WriteAt(b, at); err != nil {
			return names, err
		}
	}
	return names, nil
}
