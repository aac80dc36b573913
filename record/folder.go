package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is read back: nothing that a recorder writes is larger.
const (
	maxChain = 256 << 20 // bytes of a chain: a month
	maxPiece = 512 << 20
	maxParts = 10_000
)

// readFile reads a file of a recording.
func readFile(fsys FS, dir, name string) ([]byte, error) {
	return fsys.ReadFile(filepath.Join(dir, name))
}

// listParts finds the parts in a folder, by their chains.
func listParts(fsys FS, dir string) ([]int, error) {
	list, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var parts []int
	for _, e := range list {
		if n, ok := partOf(e.Name()); ok {
			parts = append(parts, n)
		}
	}
	slices.Sort(parts)
	if len(parts) == 0 {
		return nil, fmt.Errorf("record: %s has no recording: there is no %s in it: %w", dir, chainFile, fs.ErrNotExist)
	}
	return parts, nil
}

// partOf is the number in a chain's name.
func partOf(name string) (int, bool) {
	if name == chainFile {
		return 1, true
	}
	text, ok := strings.CutPrefix(name, "chain.")
	text, ok2 := strings.CutSuffix(text, ".jsonl")
	n, err := strconv.Atoi(text)
	return n, ok && ok2 && err == nil && n > 1 && n < maxParts && partName(chainFile, n) == name
}

// readLinks is what could be read of a chain.
type readLinks struct {
	begin Begin
	links []*Link
	ends  []int64 // where each line ends in the file
	bad   error   // of the first line that can't be read or does not follow; nil: all is well
	last  string  // hash of the last link's line
	rest  int64   // bytes after the last good line
}

var errNoChain = errors.New("record: the chain has no beginning")

// readChain reads a part's chain as far as it is whole: each line is as it was written, and follows from the one before.
func readChain(fsys FS, dir string, n int) (*readLinks, error) {
	b, err := readFile(fsys, dir, partName(chainFile, n))
	if err != nil {
		return nil, err
	}
	if len(b) > maxChain {
		return nil, fmt.Errorf("record: the chain has %d MiB, which no recorder writes", len(b)>>20)
	}
	var r readLinks
	at := int64(0)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			r.bad = errors.New("the last line is not whole")
			break
		}
		l, err := parseLink(b[:i])
		if err == nil && (l.Seq != uint64(len(r.links)) || l.Prev != r.last) {
			err = fmt.Errorf("link %d does not follow from the one before", l.Seq)
		}
		if err == nil && l.Seq == 0 {
			if l.Kind != KindBegin || json.Unmarshal(l.Data, &r.begin) != nil {
				err = errNoChain
			} else if r.begin.Version != chainVersion {
				return nil, fmt.Errorf("record: the recording is of version %d, this program knows %d: use the newer one", r.begin.Version, chainVersion)
			}
		}
		if err != nil {
			r.bad = err
			break
		}
		r.last = hashOf(b[:i])
		at += int64(i + 1)
		r.links, r.ends = append(r.links, l), append(r.ends, at)
		b = b[i+1:]
	}
	r.rest = int64(len(b))
	if len(r.links) == 0 {
		return &r, errNoChain
	}
	return &r, nil
}

// ended is the link that ends the chain, nil if there is none.
func (r *readLinks) ended() *Link {
	if n := len(r.links); n > 0 && r.links[n-1].Kind == KindEnd {
		return r.links[n-1]
	}
	return nil
}

// ownerOf is the part that a file of pieces belongs to, by its name; 0 for what is none.
func ownerOf(name string) int {
	name = strings.TrimSuffix(name, sealedSuffix)
	ext := filepath.Ext(name)
	base := strings.TrimSuffix(name, ext)
	n := 1
	if text := filepath.Ext(base); text != "" {
		v, err := strconv.Atoi(text[1:])
		if err != nil || v < 2 {
			return 0
		}
		n, base = v, strings.TrimSuffix(base, text)
	}
	kind, number, _ := strings.Cut(base, "-")
	plain := base + ext
	switch {
	case plain == mediaFile, plain == logFile, plain == textFile:
		return n
	case (kind == "side" || kind == "snapshot") && number != "":
		return n
	}
	return 0
}
