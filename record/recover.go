package record

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"time"
)

// Recovered is what was found of a part that had no end.
type Recovered struct {
	Recording string
	Dropped   int64 // bytes after the last whole piece
	Length    time.Duration
}

// recoverFolder ends the parts of a folder that were interrupted: what is after the last whole piece is dropped, and a signed end says so. A part with
// an end is left as it is. last is the hash of the folder's last line, upto the last event of the call that it has.
func recoverFolder(fsys FS, dir string, key ed25519.PrivateKey, now func() (time.Time, time.Duration)) (found []Recovered, parts int, last string, upto uint64, err error) {
	list, err := listParts(fsys, dir)
	if err != nil {
		return nil, 0, "", 0, err
	}
	for _, n := range list {
		chain, err := readChain(fsys, dir, n)
		if errors.Is(err, errNoChain) { // killed before it began: nothing was acknowledged
			parts = n
			continue
		}
		if err != nil {
			return found, parts, last, upto, err
		}
		if chain.ended() == nil {
			r, err := recoverPart(fsys, dir, chain, key, now)
			if err != nil {
				return found, parts, last, upto, err
			}
			found = append(found, *r)
			if chain, err = readChain(fsys, dir, n); err != nil {
				return found, parts, last, upto, err
			}
		}
		parts, last = n, chain.last
		for _, l := range chain.links {
			upto = max(upto, l.Upto)
		}
	}
	return found, parts, last, upto, nil
}

// recoverPart ends one part.
func recoverPart(fsys FS, dir string, chain *readLinks, key ed25519.PrivateKey, now func() (time.Time, time.Duration)) (*Recovered, error) {
	p := &part{fs: fsys, dir: dir, begin: chain.begin, key: key, now: now, files: make(map[string]*stored), mode: SyncAlways}
	defer func() { _ = p.close() }() // what has to last is synced
	dropped := chain.rest
	good, sizes, err := p.wholePieces(chain.links)
	if err != nil {
		return nil, err
	}
	links := chain.links[:good]
	for name, f := range p.files {
		if over := f.size - sizes[name]; over > 0 {
			dropped += over
			if err := f.Truncate(sizes[name]); err != nil {
				return nil, err
			}
			f.size = sizes[name]
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
	}
	lost, err := p.dropUnknown(sizes)
	if err != nil {
		return nil, err
	}
	dropped += lost
	if p.chain, err = p.open(partName(chainFile, chain.begin.Part)); err != nil {
		return nil, err
	}
	at := chain.ends[good-1]
	dropped += chain.ends[len(chain.links)-1] - at
	if err := p.chain.Truncate(at); err != nil {
		return nil, err
	}
	p.chain.size = at
	if err := p.restoreInit(links); err != nil {
		return nil, err
	}
	end := links[good-1]
	line, err := end.encode()
	if err != nil {
		return nil, err
	}
	p.seq, p.prev = end.Seq+1, hashOf(line)
	_, mono := now()
	p.start = mono - time.Duration(end.Mono)*time.Millisecond // nobody knows how long it was down: the clock goes on from where it stood
	length := lengthOf(links)
	m := manifestOf(&chain.begin, links)
	m.Ended, m.Reason, m.Interrupted, m.Dropped = end.Wall, "interrupted", true, dropped
	if err := p.finish(m); err != nil {
		return nil, err
	}
	return &Recovered{Recording: chain.begin.Recording, Dropped: dropped, Length: length}, nil
}

// wholePieces counts the links whose pieces are all as they were written, and how long each file is by them.
func (p *part) wholePieces(links []*Link) (good int, sizes map[string]int64, err error) {
	sizes = make(map[string]int64)
	for i, l := range links {
		if l.File == "" {
			continue
		}
		if filepath.Base(l.File) != l.File || l.Size < 0 || l.Size > maxPiece {
			return i, sizes, nil
		}
		f := p.files[l.File]
		if f == nil {
			if f, err = p.open(l.File); err != nil {
				return i, sizes, err
			}
			p.files[l.File] = f
		}
		if l.Kind == KindInit && len(l.Init) > 0 { // it can be put back
			sizes[l.File] = max(sizes[l.File], l.Size)
			continue
		}
		if l.Offset != sizes[l.File] || l.Offset+l.Size > f.size {
			return i, sizes, nil
		}
		b := make([]byte, l.Size)
		if _, err := f.ReadAt(b, l.Offset); err != nil {
			return i, sizes, err
		}
		if hashOf(b) != l.SHA256 {
			return i, sizes, nil
		}
		sizes[l.File] += l.Size
	}
	return len(links), sizes, nil
}

// dropUnknown removes files of the part that no whole piece is in.
func (p *part) dropUnknown(sizes map[string]int64) (dropped int64, err error) {
	list, err := p.fs.ReadDir(p.dir)
	if err != nil {
		return 0, err
	}
	for _, e := range list {
		name := e.Name()
		if _, known := sizes[name]; known || ownerOf(name) != p.begin.Part {
			continue
		}
		f := p.files[name]
		if f == nil {
			if f, err = p.open(name); err != nil {
				return dropped, err
			}
		}
		dropped += f.size
		delete(p.files, name)
		if err := errors.Join(f.Close(), p.fs.Remove(filepath.Join(p.dir, name))); err != nil {
			return dropped, err
		}
	}
	return dropped, nil
}

// restoreInit puts back the region that the last good link speaks of.
func (p *part) restoreInit(links []*Link) error {
	i := slices.IndexFunc(reversed(links), func(l *Link) bool { return l.Kind == KindInit && len(l.Init) > 0 })
	if i < 0 {
		return nil
	}
	l := links[len(links)-1-i]
	region, err := padInit(l.Init)
	if err != nil {
		return err
	}
	f := p.files[l.File]
	if _, err := f.WriteAt(region, 0); err != nil {
		return err
	}
	f.size = max(f.size, initSize)
	return f.Sync()
}

func reversed(links []*Link) []*Link {
	list := slices.Clone(links)
	slices.Reverse(list)
	return list
}

// lengthOf is how far the media of a chain goes.
func lengthOf(links []*Link) time.Duration {
	var to int64
	for _, l := range links {
		if l.Kind == KindFragment || l.Kind == KindSide {
			to = max(to, l.To)
		}
	}
	return time.Duration(to) * time.Millisecond
}

// finish writes the manifest and the end.
func (p *part) finish(m *Manifest) error {
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	b = append(b, '\n')
	if err := p.put(manifestFile, b); err != nil {
		return err
	}
	if err := p.say(KindEnd, End{Reason: m.Reason, Interrupted: m.Interrupted, Dropped: m.Dropped, Manifest: hashOf(b)}); err != nil {
		return err
	}
	p.mode = SyncAlways
	if err := p.flush(); err != nil {
		return err
	}
	return p.fs.SyncDir(p.dir)
}
