package record

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Verdict is the answer of Verify.
type Verdict string

// The verdicts, the best first.
const (
	Genuine    Verdict = "genuine"                    // every byte is as the holder of the key recorded it
	Unknown    Verdict = "consistent, signer unknown" // likewise, but whose key it is was not said
	Incomplete Verdict = "incomplete"                 // there is no signed end: still being recorded, or cut off
	Altered    Verdict = "altered"
)

// Finding is something that is not as it was recorded, or that a reader should know.
type Finding struct {
	Recording string        `json:"recording"`
	File      string        `json:"file,omitempty"`
	From      time.Duration `json:"from"` // of the recording's time
	To        time.Duration `json:"to"`
	Wall      string        `json:"wall,omitempty"`
	Text      string        `json:"text"`
	Warning   bool          `json:"warning,omitempty"` // it is no alteration
}

// String says it in a line.
func (f *Finding) String() string {
	at := clock(f.From)
	if f.To > f.From {
		at += " to " + clock(f.To)
	}
	where := f.Recording
	if f.File != "" {
		where = f.File
	}
	return fmt.Sprintf("%s at %s: %s", where, at, f.Text)
}

func clock(d time.Duration) string {
	d = d.Round(time.Millisecond)
	return fmt.Sprintf("%02d:%02d:%06.3f", int(d.Hours()), int(d.Minutes())%60, (d % time.Minute).Seconds())
}

// Report is what Verify found.
type Report struct {
	Verdict   Verdict       `json:"verdict"`
	Key       string        `json:"key"`   // that it is signed with
	Parts     []PartReport  `json:"parts"` //
	Findings  []Finding     `json:"findings"`
	Length    time.Duration `json:"length"`
	Fragments int           `json:"fragments"`
	Heads     int           `json:"heads"`     // signatures that hold
	Witnesses int           `json:"witnesses"` // heads from elsewhere that agree
}

// PartReport is one part's.
type PartReport struct {
	Recording   string        `json:"recording"`
	Began       string        `json:"began"`
	Ended       string        `json:"ended,omitempty"`
	Length      time.Duration `json:"length"`
	Interrupted bool          `json:"interrupted,omitempty"`
	Complete    bool          `json:"complete"` // has a signed end
}

// VerifyOptions says what is known from elsewhere.
type VerifyOptions struct {
	Key       ed25519.PublicKey // nil: whoever signed it
	Witnesses []Head            // that were given out while it was recorded
	FS        FS                // default Disk
}

// Verify checks a recording's folder. It changes nothing. An error means that there is nothing that could be checked.
func Verify(dir string, o VerifyOptions) (*Report, error) {
	if o.FS == nil {
		o.FS = Disk{}
	}
	parts, err := listParts(o.FS, dir)
	if err != nil {
		return nil, err
	}
	v := &verifier{o: o, dir: dir, report: &Report{Findings: []Finding{}}, known: make(map[string]bool)}
	complete := true
	previous := ""
	for i, n := range parts {
		if n != i+1 {
			v.find(&Finding{Recording: dir, Text: fmt.Sprintf("part %d is missing", i+1)})
		}
		p, err := v.part(n, previous)
		if err != nil {
			return nil, err
		}
		complete = complete && p.Complete
		previous = v.last
		v.report.Parts = append(v.report.Parts, *p)
		v.report.Length += p.Length
	}
	if err := v.foreign(); err != nil {
		return nil, err
	}
	v.witnesses()
	altered := slices.ContainsFunc(v.report.Findings, func(f Finding) bool { return !f.Warning })
	switch {
	case altered:
		v.report.Verdict = Altered
	case !complete:
		v.report.Verdict = Incomplete
	case o.Key == nil:
		v.report.Verdict = Unknown
	default:
		v.report.Verdict = Genuine
	}
	return v.report, nil
}

// verifier is at work on one folder.
type verifier struct {
	o      VerifyOptions
	dir    string
	report *Report
	known  map[string]bool // files that belong here
	last   string          // hash of the last line of the newest part
	chains []*checkedChain
	rec    string // the recording's name, of the part at hand
	buf    []byte // a piece
}

func (v *verifier) find(f *Finding) {
	if f.Recording == "" {
		f.Recording = v.rec
	}
	v.report.Findings = append(v.report.Findings, *f)
}

// checkedChain is a chain whose lines were looked at one by one. A line that can't be read is nil.
type checkedChain struct {
	begin  Begin
	links  []*Link
	hashes []string
}

// span is the time of a link by its neighbours, since its own words may have been changed.
func (c *checkedChain) span(i int) (from, to time.Duration) {
	for j := i - 1; j >= 0; j-- {
		if l := c.links[j]; l != nil && l.Kind == KindFragment {
			from = time.Duration(l.To) * time.Millisecond
			break
		}
	}
	to = from
	for j := i + 1; j < len(c.links); j++ {
		if l := c.links[j]; l != nil && l.Kind == KindFragment {
			to = max(to, time.Duration(l.From)*time.Millisecond)
			break
		}
	}
	return from, to
}

func (v *verifier) part(n int, previous string) (*PartReport, error) {
	name := partName(chainFile, n)
	v.known[name], v.known[partName(manifestFile, n)] = true, true
	raw, err := readFile(v.o.FS, v.dir, name)
	if err != nil {
		return nil, err
	}
	if len(raw) > maxChain {
		return nil, fmt.Errorf("record: the chain has %d MiB, which no recorder writes", len(raw)>>20)
	}
	c := v.lines(raw, name)
	if len(c.links) == 0 || c.links[0] == nil || c.links[0].Kind != KindBegin || json.Unmarshal(c.links[0].Data, &c.begin) != nil {
		v.rec = name
		v.find(&Finding{File: name, Text: "the chain has no beginning that can be read"})
		v.last = ""
		return &PartReport{Recording: name}, nil //nolint:nilerr // what is wrong is a finding
	}
	v.chains = append(v.chains, c)
	v.rec = c.begin.Recording
	for i := range v.report.Findings { // of the lines
		if f := &v.report.Findings[i]; f.Recording == "" {
			f.Recording = v.rec
		}
	}
	if want := recordingName(c.begin.Call, n); c.begin.Recording != want || c.begin.Part != n {
		v.find(&Finding{File: name, Text: fmt.Sprintf("it is the chain of %s, not of %s", c.begin.Recording, want)})
	}
	if c.begin.Previous != previous {
		v.find(&Finding{File: name, Text: "it does not go on from the part before"})
	}
	if base := filepath.Base(v.dir); base != c.begin.Call && base != "." && n == 1 {
		v.find(&Finding{File: name, Warning: true, Text: fmt.Sprintf("the folder is %s and the call %s", base, c.begin.Call)})
	}
	p := &PartReport{Recording: c.begin.Recording, Began: c.links[0].Wall}
	end := v.signatures(c, p)
	v.pieces(c)
	v.clocks(c)
	v.manifest(c, n, end)
	p.Length = lengthOf(slices.DeleteFunc(slices.Clone(c.links), func(l *Link) bool { return l == nil }))
	v.last = c.hashes[len(c.hashes)-1]
	return p, nil
}

// lines reads a chain and checks that each line follows from the one before.
func (v *verifier) lines(raw []byte, name string) *checkedChain {
	c := &checkedChain{}
	rest := raw
	for len(rest) > 0 {
		line, after, whole := bytes.Cut(rest, []byte("\n"))
		if !whole {
			break
		}
		l, err := parseLink(line)
		if err != nil {
			l = nil
		}
		c.links, c.hashes = append(c.links, l), append(c.hashes, hashOf(line))
		rest = after
	}
	v.rec = ""
	for i, l := range c.links {
		from, to := c.span(i)
		switch {
		case l == nil:
			v.find(&Finding{File: name, From: from, To: to, Text: fmt.Sprintf("line %d was changed: it is not as the recorder writes", i+1)})
		case i > 0 && l.Prev != c.hashes[i-1] && c.links[i-1] != nil:
			at := i - 1 // it is the line before that is not what it was, or lines between them are missing
			from, to = c.span(at)
			if l.Seq == c.links[at].Seq+1 {
				v.find(&Finding{File: name, From: from, To: to, Text: fmt.Sprintf("line %d was changed, or what follows it", i)})
			} else {
				from, _ = c.span(i)
				v.find(&Finding{File: name, From: from, To: max(to, from), Text: fmt.Sprintf("after line %d comes link %d, not %d: lines were cut out, put in or moved", i, l.Seq, c.links[at].Seq+1)})
			}
		case i == 0 && (l.Seq != 0 || l.Prev != ""):
			v.find(&Finding{File: name, Text: "the chain does not begin at its beginning"})
		case l.Seq != uint64(i):
			v.find(&Finding{File: name, From: from, To: to, Text: fmt.Sprintf("line %d has number %d", i+1, l.Seq)})
		}
	}
	if len(rest) > 0 {
		from, to := c.span(len(c.links))
		v.find(&Finding{File: name, From: from, To: to, Text: "something that is no whole line follows the last one"})
	}
	return c
}

// signatures checks heads and the end, and returns the end if it is signed.
func (v *verifier) signatures(c *checkedChain, p *PartReport) *End {
	name := partName(chainFile, c.begin.Part)
	key, err := ParseKey(c.begin.Key)
	if err != nil {
		v.find(&Finding{File: name, Text: "it does not name the key that it is signed with"})
		return nil
	}
	v.report.Key = c.begin.Key
	if v.o.Key != nil && !v.o.Key.Equal(key) {
		v.find(&Finding{File: name, Text: "it is signed with another key, " + c.begin.Key})
		return nil
	}
	var end *End
	for i, l := range c.links {
		if l == nil {
			continue
		}
		from, to := c.span(i)
		signs := l.Kind == KindHead || l.Kind == KindEnd
		switch {
		case signs && (!l.bare() || !ed25519.Verify(key, l.signed(c.begin.Recording), l.Sig)):
			v.find(&Finding{File: name, From: from, To: to, Wall: l.Wall, Text: fmt.Sprintf("the signature of line %d does not hold", i+1)})
			continue
		case signs:
			v.report.Heads++
		case len(l.Sig) > 0:
			v.find(&Finding{File: name, From: from, To: to, Text: fmt.Sprintf("line %d has a signature that it should not have", i+1)})
		}
		if l.Kind != KindEnd {
			continue
		}
		var e End
		if i != len(c.links)-1 || json.Unmarshal(l.Data, &e) != nil {
			v.find(&Finding{File: name, From: from, To: to, Text: "there is something after the end"})
			continue
		}
		end = &e
		p.Complete, p.Ended, p.Interrupted = true, l.Wall, e.Interrupted
	}
	if end == nil {
		from, _ := c.span(len(c.links))
		v.find(&Finding{File: name, From: from, To: from, Warning: true, Text: "there is no signed end"})
	} else if end.Interrupted {
		from, _ := c.span(len(c.links))
		v.find(&Finding{File: name, From: from, To: from, Warning: true, Text: "it was interrupted here, and ended at the server's next start"})
	}
	return end
}

// clocks looks for steps of the server's clock.
func (v *verifier) clocks(c *checkedChain) {
	for i := 1; i < len(c.links); i++ {
		a, b := c.links[i-1], c.links[i]
		if a == nil || b == nil {
			continue
		}
		wa, err1 := time.Parse(wallFormat, a.Wall)
		wb, err2 := time.Parse(wallFormat, b.Wall)
		var e End
		if err1 != nil || err2 != nil || b.Kind == KindEnd && json.Unmarshal(b.Data, &e) == nil && e.Interrupted { // it was down: nobody knows for how long
			continue
		}
		step := wb.Sub(wa) - time.Duration(b.Mono-a.Mono)*time.Millisecond
		if step.Abs() > maxClockStep {
			from, to := c.span(i)
			v.find(&Finding{File: partName(chainFile, c.begin.Part), From: from, To: to, Wall: b.Wall, Warning: true, Text: fmt.Sprintf("the server's clock was set by %v", step)})
		}
	}
}

// maxClockStep is what a clock may be off by from one link to the next: it is corrected slowly.
const maxClockStep = 500 * time.Millisecond

// manifest checks manifest.json against the end, and what it says against the chain.
func (v *verifier) manifest(c *checkedChain, n int, end *End) {
	name := partName(manifestFile, n)
	b, err := readFile(v.o.FS, v.dir, name)
	if end == nil {
		return
	}
	to := time.Duration(0)
	if from, _ := c.span(len(c.links)); from > 0 {
		to = from
	}
	if errors.Is(err, fs.ErrNotExist) {
		v.find(&Finding{File: name, To: to, Text: "it is missing"})
	} else if err != nil || hashOf(b) != end.Manifest {
		v.find(&Finding{File: name, To: to, Text: "it was changed"})
	}
}

// foreign looks for files that do not belong to the recording.
func (v *verifier) foreign() error {
	list, err := v.o.FS.ReadDir(v.dir)
	if err != nil {
		return err
	}
	for _, e := range list {
		if name := e.Name(); !v.known[name] && !strings.HasPrefix(name, keeperPrefix) {
			v.find(&Finding{File: name, Recording: v.rec, Text: "it does not belong to the recording"})
		}
	}
	return nil
}

// keeperPrefix begins the names of files that the keeper of recordings puts beside them: holds, uploads. They are no evidence.
const keeperPrefix = "keeper."

// witnesses compares the chain with heads that were given out.
func (v *verifier) witnesses() {
	for i := range v.o.Witnesses {
		h := &v.o.Witnesses[i]
		at := slices.IndexFunc(v.chains, func(c *checkedChain) bool { return c.begin.Recording == h.Recording })
		if at < 0 {
			v.find(&Finding{Recording: h.Recording, Text: "there is a witness of it, and it is not here"})
			continue
		}
		c := v.chains[at]
		key, err := ParseKey(h.Key)
		if v.o.Key != nil {
			key = v.o.Key
		}
		if err != nil || !h.Check(key) {
			v.find(&Finding{Recording: h.Recording, Warning: true, Text: fmt.Sprintf("a witness for line %d has no signature that holds: it says nothing", h.Seq+1)})
			continue
		}
		if h.Seq >= uint64(len(c.links)) {
			from, _ := c.span(len(c.links))
			v.find(&Finding{Recording: h.Recording, From: from, To: from, Wall: h.Wall, Text: fmt.Sprintf("a witness has seen line %d, and there are %d: the end was cut off", h.Seq+1, len(c.links))})
			continue
		}
		if l := c.links[h.Seq]; l == nil || l.Prev != h.Prev || l.Kind != KindHead {
			from, to := c.span(int(h.Seq))
			v.find(&Finding{Recording: h.Recording, To: max(from, to), Wall: h.Wall, Text: fmt.Sprintf("a witness has seen another line %d: what is before it was written anew", h.Seq+1)})
			continue
		}
		v.report.Witnesses++
	}
}
