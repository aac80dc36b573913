package record

import (
	"crypto/ed25519"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
)

// Names of files, without a part's number.
const (
	mediaFile    = "media.mp4"
	logFile      = "log.jsonl"
	chainFile    = "chain.jsonl"
	manifestFile = "manifest.json"
	textFile     = "messages.vtt"
	sealedSuffix = ".age"
)

// partName puts a part's number into a name: media.2.mp4.
func partName(name string, part int) string {
	if part <= 1 {
		return name
	}
	ext := filepath.Ext(name)
	return strings.TrimSuffix(name, ext) + "." + strconv.Itoa(part) + ext
}

// part writes one part of a recording: files that grow piece by piece, and the chain. It belongs to one goroutine. After an error nothing more can
// be written.
type part struct {
	fs         FS
	dir        string
	begin      Begin
	key        ed25519.PrivateKey
	recipients []age.Recipient
	now        func() (wall time.Time, mono time.Duration)

	files map[string]*stored // by name on disk
	chain *stored
	lines []byte // of the chain, not written yet
	prev  string
	seq   uint64
	start time.Duration // mono at the beginning
	mode  SyncMode
}

// stored is an open file that grows.
type stored struct {
	File
	size  int64
	dirty bool
}

// SyncMode says when what is written is made to last.
type SyncMode string

// The modes.
const (
	SyncAlways SyncMode = "always" // after every fragment
	SyncNever  SyncMode = "never"  // when the system likes: a power cut may cost some 30 s, a killed process still at most 2 s
)

func (p *part) open(name string) (*stored, error) {
	f, err := p.fs.Open(filepath.Join(p.dir, name))
	if err != nil {
		return nil, err
	}
	size, err := f.Size()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &stored{File: f, size: size}, nil
}

// openPart begins a part.
func openPart(p *part) (err error) {
	p.files = make(map[string]*stored)
	_, p.start = p.now()
	if err := p.fs.MkdirAll(p.dir); err != nil {
		return err
	}
	if p.chain, err = p.open(partName(chainFile, p.begin.Part)); err != nil {
		return err
	}
	if p.chain.size > 0 {
		return errors.Join(fmt.Errorf("record: %s is there already", filepath.Join(p.dir, partName(chainFile, p.begin.Part))), p.chain.Close())
	}
	p.begin.Version, p.begin.Key = chainVersion, FormatKey(p.public())
	if err := p.say(KindBegin, p.begin); err != nil {
		return errors.Join(err, p.close())
	}
	if err := p.flush(); err != nil {
		return errors.Join(err, p.close())
	}
	return nil
}

func (p *part) public() ed25519.PublicKey { return publicOf(p.key) }

func publicOf(key ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(key[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}

// stamp is a link at this moment.
func (p *part) stamp(kind Kind) *Link {
	wall, mono := p.now()
	return &Link{Kind: kind, Wall: formatWall(wall), Mono: (mono - p.start).Milliseconds()}
}

// link adds a link to the chain; flush writes it.
func (p *part) link(l *Link, sign bool) error {
	l.Seq, l.Prev = p.seq, p.prev
	if sign {
		l.Sig = ed25519.Sign(p.key, l.signed(p.begin.Recording))
	}
	line, err := l.encode()
	if err != nil {
		return err
	}
	p.seq++
	p.prev = hashOf(line)
	p.lines = append(append(p.lines, line...), '\n')
	return nil
}

// say adds a link with data.
func (p *part) say(kind Kind, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	l := p.stamp(kind)
	l.Data = b
	return p.link(l, kind == KindEnd)
}

// head adds a signed link.
func (p *part) head() (Head, error) {
	l := p.stamp(KindHead)
	err := p.link(l, true)
	return l.head(p.begin.Recording, p.public()), err
}

// seal makes of a piece what goes to disk.
func (p *part) seal(b []byte) ([]byte, error) {
	if len(p.recipients) == 0 {
		return b, nil
	}
	return sealPiece(b, p.recipients)
}

func (p *part) onDisk(name string) string {
	name = partName(name, p.begin.Part)
	if len(p.recipients) > 0 {
		name += sealedSuffix
	}
	return name
}

// add appends a piece to a file; l says of which kind, and what it covers.
func (p *part) add(name string, b []byte, l *Link) error {
	name = p.onDisk(name)
	f := p.files[name]
	if f == nil {
		var err error
		if f, err = p.open(name); err != nil {
			return err
		}
		p.files[name] = f
	}
	b, err := p.seal(b)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt(b, f.size); err != nil {
		return err
	}
	l.File, l.Offset, l.Size, l.SHA256 = name, f.size, int64(len(b)), hashOf(b)
	f.size += int64(len(b))
	f.dirty = true
	return p.link(l, false)
}

// setInit writes the region at the beginning of media.mp4. The chain has it first: whatever becomes of the region, it can be put back.
func (p *part) setInit(region []byte) error {
	l := p.stamp(KindInit)
	if len(p.recipients) > 0 {
		return p.add(mediaFile, region, l)
	}
	name := p.onDisk(mediaFile)
	f := p.files[name]
	if f == nil {
		var err error
		if f, err = p.open(name); err != nil {
			return err
		}
		p.files[name] = f
	}
	l.File, l.Size, l.SHA256, l.Init = name, int64(len(region)), hashOf(region), trimInit(region)
	if err := p.link(l, false); err != nil {
		return err
	}
	if err := p.flush(); err != nil {
		return err
	}
	if _, err := f.WriteAt(region, 0); err != nil {
		return err
	}
	f.size = max(f.size, int64(len(region)))
	f.dirty = true
	return nil
}

// flush brings everything to disk: first the files, then the chain that speaks of them.
func (p *part) flush() error {
	for _, f := range p.files {
		if f.dirty {
			if err := p.sync(f); err != nil {
				return err
			}
		}
	}
	if len(p.lines) == 0 {
		return nil
	}
	if _, err := p.chain.WriteAt(p.lines, p.chain.size); err != nil {
		return err
	}
	fresh := p.chain.size == 0
	p.chain.size += int64(len(p.lines))
	p.lines = p.lines[:0]
	if err := p.sync(p.chain); err != nil || !fresh || p.mode == SyncNever {
		return err
	}
	return p.fs.SyncDir(p.dir)
}

func (p *part) sync(f *stored) error {
	f.dirty = false
	if p.mode == SyncNever {
		return nil
	}
	return f.Sync()
}

// put writes a whole small file that is no piece: the manifest.
func (p *part) put(name string, b []byte) error {
	f, err := p.open(partName(name, p.begin.Part))
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Truncate(int64(len(b)))
	}
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

// close lets go of the files.
func (p *part) close() error {
	var all []error
	for _, f := range p.files {
		all = append(all, f.Close())
	}
	if p.chain != nil {
		all = append(all, p.chain.Close())
	}
	return errors.Join(all...)
}

const lengthSize = 4 // bytes, big endian, before each sealed piece

func framed(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, lengthSize+len(b)), uint32(len(b))), b...)
}
