package record

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says what a link of the chain is.
type Kind string

// The kinds of links.
const (
	KindBegin    Kind = "begin"    // Data: Begin
	KindInit     Kind = "init"     // the region at the beginning of media.mp4 from now on
	KindFragment Kind = "fragment" // of media.mp4
	KindLog      Kind = "log"      // lines of log.jsonl
	KindSide     Kind = "side"     // of a side file
	KindSnapshot Kind = "snapshot" // a whole file
	KindText     Kind = "text"     // messages.vtt
	KindNote     Kind = "note"     // Data: Note
	KindHead     Kind = "head"     // signed
	KindEnd      Kind = "end"      // signed; Data: End
)

// Link is one line of the chain.
type Link struct {
	Seq    uint64          `json:"seq"`
	Kind   Kind            `json:"kind"`
	Wall   string          `json:"wall"`             // the server's clock, RFC 3339 in ms
	Mono   int64           `json:"mono"`             // ms since the beginning, by a clock that nobody sets
	File   string          `json:"file,omitempty"`   // the piece's
	Offset int64           `json:"offset,omitempty"` //
	Size   int64           `json:"size,omitempty"`   // bytes as on disk
	SHA256 string          `json:"sha256,omitempty"` // of them, hex
	From   int64           `json:"from,omitempty"`   // of the recording's time that it covers, in ms
	To     int64           `json:"to,omitempty"`     //
	Upto   uint64          `json:"upto,omitempty"`   // of KindLog: number of the last event of the call in it
	Init   []byte          `json:"init,omitempty"`   // the region itself, where it is not sealed: it is written over in place
	Data   json.RawMessage `json:"data,omitempty"`
	Prev   string          `json:"prev,omitempty"` // hex SHA-256 of the line before
	Sig    []byte          `json:"sig,omitempty"`  // Ed25519
}

// Begin is what a recording begins with.
type Begin struct {
	Version   int       `json:"version"`
	Recording string    `json:"recording"` // CALL, or CALL.2 for the second part, …
	Call      string    `json:"call"`
	Part      int       `json:"part"`
	Previous  string    `json:"previous,omitempty"` // hash of the last line of the part before
	Kind      string    `json:"kind,omitempty"`     // of the call
	Queue     string    `json:"queue,omitempty"`
	Policy    string    `json:"policy,omitempty"`
	Consent   string    `json:"consent,omitempty"`
	Retain    time.Time `json:"retain,omitzero"` // not deleted before
	Key       string    `json:"key"`             // public, of who signs
	Sealed    []string  `json:"sealed,omitempty"`
	Server    string    `json:"server,omitempty"`
}

// Note is something that happened to the recording or the call.
type Note struct {
	Text   string `json:"text"` // such as "party", "track", "gap", "clock-step"
	Stream string `json:"stream,omitempty"`
	User   string `json:"user,omitempty"`
	Name   string `json:"name,omitempty"`
	Role   string `json:"role,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// End is what a recording ends with.
type End struct {
	Reason      string `json:"reason"`
	Interrupted bool   `json:"interrupted,omitempty"` // the process ended before the recording did
	Dropped     int64  `json:"dropped,omitempty"`     // bytes after the last whole piece
	Manifest    string `json:"manifest"`              // hex SHA-256 of manifest.json
}

// chainVersion is written; others are not understood.
const chainVersion = 1

// bare reports whether a link has nothing that its signature is not over.
func (l *Link) bare() bool {
	return l.File == "" && l.Offset == 0 && l.Size == 0 && l.SHA256 == "" && l.From == 0 && l.To == 0 && l.Upto == 0 && len(l.Init) == 0
}

// signed is what a signature is over: the link's place in its chain, and so everything before.
func (l *Link) signed(recording string) []byte {
	data := sha256.Sum256(l.Data)
	return fmt.Appendf(nil, "duet recording, version 1\n%s\n%d\n%s\n%s\n%s\n%d\n%x\n", recording, l.Seq, l.Kind, l.Prev, l.Wall, l.Mono, data)
}

// encode is the link's line, without the newline.
func (l *Link) encode() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(l); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// parseLink reads a line. One that would be written in another way is refused: no byte of a line is without meaning.
func parseLink(line []byte) (*Link, error) {
	var l Link
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(&l); err != nil {
		return nil, err
	}
	same, err := l.encode()
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(same, line) {
		return nil, errors.New("a line of the chain is not as the recorder writes it")
	}
	return &l, nil
}

func hashOf(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

const wallFormat = "2006-01-02T15:04:05.000Z07:00"

func formatWall(t time.Time) string { return t.UTC().Format(wallFormat) }

// Head is a signed place of a chain, as it is given to witnesses: who has it can tell that everything before it is as it was then.
type Head struct {
	Recording string `json:"recording"`
	Seq       uint64 `json:"seq"`
	Prev      string `json:"prev"`
	Wall      string `json:"wall"`
	Mono      int64  `json:"mono"`
	Key       string `json:"key"`
	Sig       []byte `json:"sig"`
}

func (l *Link) head(recording string, key ed25519.PublicKey) Head {
	return Head{Recording: recording, Seq: l.Seq, Prev: l.Prev, Wall: l.Wall, Mono: l.Mono, Key: FormatKey(key), Sig: l.Sig}
}

// Check reports whether a head is signed by a key.
func (h *Head) Check(key ed25519.PublicKey) bool {
	l := Link{Seq: h.Seq, Kind: KindHead, Prev: h.Prev, Wall: h.Wall, Mono: h.Mono}
	return ed25519.Verify(key, l.signed(h.Recording), h.Sig)
}

const keyPrefix = "duet-record-"

// FormatKey writes a public key.
func FormatKey(key ed25519.PublicKey) string {
	return keyPrefix + base64.RawURLEncoding.EncodeToString(key)
}

// ParseKey reads what FormatKey writes.
func ParseKey(s string) (ed25519.PublicKey, error) {
	text, ok := strings.CutPrefix(strings.TrimSpace(s), keyPrefix)
	b, err := base64.RawURLEncoding.DecodeString(text)
	if !ok || err != nil || len(b) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("%.80q is no public key of recordings: it begins with %s and has %d characters more", s, keyPrefix, base64.RawURLEncoding.EncodedLen(ed25519.PublicKeySize))
	}
	return b, nil
}
