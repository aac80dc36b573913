package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"time"
)

// pieces compares the files with what the chain says of them.
func (v *verifier) pieces(c *checkedChain) {
	byFile := make(map[string][]*Link)
	var names []string
	for _, l := range c.links {
		if l == nil || l.File == "" {
			continue
		}
		if filepath.Base(l.File) != l.File || l.Size < 0 || l.Size > maxPiece || l.Offset < 0 {
			v.find(&Finding{File: l.File, Text: "the chain names a piece that can't be"})
			continue
		}
		if byFile[l.File] == nil {
			names = append(names, l.File)
			v.known[l.File] = true
		}
		byFile[l.File] = append(byFile[l.File], l)
	}
	for _, name := range names {
		f, err := v.o.FS.OpenRead(filepath.Join(v.dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			list := byFile[name]
			v.find(&Finding{File: name, From: ms(list[0].From), To: ms(list[len(list)-1].To), Text: "it is missing"})
			continue
		} else if err != nil {
			v.find(&Finding{File: name, Text: err.Error()})
			continue
		}
		err = v.file(name, f, byFile[name])
		if err = errors.Join(err, f.Close()); err != nil {
			v.find(&Finding{File: name, Text: err.Error()})
		}
	}
	for _, l := range c.links {
		if l != nil && l.Kind == KindFragment {
			v.report.Fragments++
		}
	}
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// file checks one file, piece by piece. Where a piece is not in its place, it looks for it elsewhere, so that it can say what was done.
func (v *verifier) file(name string, f File, links []*Link) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	var init *Link
	var list []*Link // pieces, in order
	start := int64(0)
	for _, l := range links {
		if l.Kind == KindInit && len(l.Init) > 0 {
			init = l
			start = max(start, l.Size)
			continue
		}
		list = append(list, l)
	}
	if init != nil {
		want, err := padInit(init.Init)
		if err != nil || hashOf(want) != init.SHA256 || !v.holds(f, size, init) {
			v.find(&Finding{File: name, Text: "the description of the tracks, at its beginning, was changed"})
		}
	}
	end := start
	var wrong []int
	for i, l := range list {
		if !v.holds(f, size, l) {
			wrong = append(wrong, i)
		}
		end = max(end, l.Offset+l.Size)
	}
	if len(wrong) == 0 {
		if over := size - end; over > 0 {
			v.find(&Finding{File: name, From: lastTo(list), To: lastTo(list), Text: fmt.Sprintf("%d bytes follow that were not recorded", over)})
		}
		return nil
	}
	if size > maxPiece {
		for _, i := range wrong {
			v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].To), Text: "this piece was changed, moved or cut out"})
		}
		return nil
	}
	b, err := readFile(v.o.FS, v.dir, name)
	if err != nil {
		return err
	}
	v.explain(name, b, start, list, wrong)
	return nil
}

// holds reports whether a piece is in its place.
func (v *verifier) holds(f File, size int64, l *Link) bool {
	if l.Offset+l.Size > size {
		return false
	}
	if int64(cap(v.buf)) < l.Size {
		v.buf = make([]byte, l.Size)
	}
	b := v.buf[:l.Size]
	if _, err := f.ReadAt(b, l.Offset); err != nil {
		return false
	}
	return hashOf(b) == l.SHA256
}

func lastTo(list []*Link) time.Duration {
	if len(list) == 0 {
		return 0
	}
	return ms(list[len(list)-1].To)
}

// explain says what became of pieces that are not in their places.
func (v *verifier) explain(name string, b []byte, start int64, list []*Link, wrong []int) {
	index := make(map[string]int, len(list))
	for i, l := range list {
		index[l.SHA256] = i
	}
	found := make([]bool, len(list))
	strange := 0
	newest := -1
	for _, piece := range cut(name, b, start) {
		i, known := index[hashOf(piece)]
		switch {
		case !known:
			strange++
			continue
		case found[i]:
			v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].To), Text: "this piece is there twice"})
		case i < newest:
			v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].To), Text: "this piece was moved: it comes after a later one"})
		}
		found[i] = true
		newest = max(newest, i)
	}
	missing := 0
	for _, i := range wrong {
		if !found[i] {
			missing++
		}
	}
	for _, i := range wrong {
		if !found[i] {
			text := "this piece was changed"
			if strange < missing {
				text = "this piece was changed or cut out"
			}
			v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].To), Text: text})
		}
	}
	if strange > missing {
		i := wrong[0]
		v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].From), Text: fmt.Sprintf("%d pieces were put in that were not recorded", strange-missing)})
	}
	if missing == 0 && strange == 0 { // only moved, or something between them
		i := wrong[0]
		v.find(&Finding{File: name, From: ms(list[i].From), To: ms(list[i].To), Text: "from this piece on the file is not as it was recorded"})
	}
}

// cut takes a file apart at its own marks: boxes of MP4, a fragment at a time, or the lengths of sealed pieces. What has no marks is one piece.
func cut(name string, b []byte, start int64) (pieces [][]byte) {
	if start > int64(len(b)) {
		return nil
	}
	b = b[start:]
	switch {
	case strings.HasSuffix(name, sealedSuffix):
		for len(b) >= lengthSize {
			n := lengthSize + int64(binary.BigEndian.Uint32(b))
			if n > int64(len(b)) {
				break
			}
			pieces = append(pieces, b[:n])
			b = b[n:]
		}
	case strings.HasSuffix(name, ".mp4"):
		from, at := 0, 0
		for len(b)-at >= boxHeader {
			n := int(binary.BigEndian.Uint32(b[at:]))
			if n < boxHeader || n > len(b)-at {
				break
			}
			kind := string(b[at+4 : at+8])
			at += n
			if kind == "mdat" {
				pieces = append(pieces, b[from:at])
				from = at
			}
		}
		b = b[from:]
	}
	if len(b) > 0 {
		pieces = append(pieces, b)
	}
	return pieces
}
