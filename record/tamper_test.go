package record

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// altered is a copy of a folder with something done to it.
func altered(t testing.TB, folder string, f func(dir string)) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), filepath.Base(folder))
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	f(dir)
	return dir
}

func edit(t testing.TB, dir, name string, f func(b []byte) []byte) {
	t.Helper()
	name = filepath.Join(dir, name)
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, f(b), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fragmentsOf are the links of media.mp4's fragments.
func fragmentsOf(t testing.TB, dir string) []*Link {
	t.Helper()
	c, err := readChain(Disk{}, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	var list []*Link
	for _, l := range c.links {
		if l.Kind == KindFragment {
			list = append(list, l)
		}
	}
	return list
}

// Every change of a single byte is found, and what it says about the time is right to the fragment.
func TestEveryByte(t *testing.T) {
	var folder string
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { folder, _ = call(t, dir, "c1", Config{}, 15*time.Second) })
	fragments := fragmentsOf(t, folder)
	rng := rand.New(rand.NewPCG(1, 2))
	files := []string{mediaFile, chainFile, manifestFile, logFile, textFile}
	for i := range 1000 {
		name := files[i%len(files)]
		var at int
		dir := altered(t, folder, func(dir string) {
			edit(t, dir, name, func(b []byte) []byte {
				at = rng.IntN(len(b))
				b[at] ^= byte(1 + rng.IntN(255))
				return b
			})
		})
		r := mustVerify(t, dir, VerifyOptions{Key: testPub()})
		if r.Verdict != Altered {
			t.Fatalf("byte %d of %s was changed: %s", at, name, r.Verdict)
		}
		if name != mediaFile || at < initSize {
			continue
		}
		var want *Link
		for _, l := range fragments {
			if int64(at) >= l.Offset && int64(at) < l.Offset+l.Size {
				want = l
			}
		}
		if f := r.Findings[0]; f.From != ms(want.From) || f.To != ms(want.To) {
			t.Fatalf("byte %d, at %d to %d ms, was changed: %s", at, want.From, want.To, f.String())
		}
		_ = os.RemoveAll(dir) // a thousand of them
	}
}

// What else can be done to a recording is found, and named.
func TestTampering(t *testing.T) {
	var folder, other string
	var heads []Head
	base := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		folder, _ = call(t, filepath.Join(base, "1"), "c1", Config{OnHead: func(_ string, h Head) { heads = append(heads, h) }}, 70*time.Second)
		other, _ = call(t, filepath.Join(base, "2"), "c2", Config{}, 8*time.Second)
	})
	list := fragmentsOf(t, folder)
	piece := func(b []byte, i int) []byte { return b[list[i].Offset : list[i].Offset+list[i].Size] }
	media := func(f func(b []byte) []byte) func(string) {
		return func(dir string) { edit(t, dir, mediaFile, f) }
	}
	chain := func(f func(lines []string) []string) func(string) {
		return func(dir string) {
			edit(t, dir, chainFile, func(b []byte) []byte {
				return []byte(strings.Join(f(strings.SplitAfter(string(b), "\n")), ""))
			})
		}
	}
	if len(heads) < 3 {
		t.Fatalf("%d witnesses", len(heads))
	}
	for name, c := range map[string]struct {
		do   func(dir string)
		says string
		at   int // fragment that is named; -1: none
	}{
		"nothing":       {func(string) {}, "", -1},
		"cut":           {media(func(b []byte) []byte { return append(bytes.Clone(b[:list[5].Offset]), b[list[6].Offset:]...) }), "cut out", 5},
		"tail cut":      {media(func(b []byte) []byte { return b[:list[len(list)-1].Offset] }), "cut out", len(list) - 1},
		"swap":          {media(func(b []byte) []byte { return swapped(b, list[3], list[4]) }), "moved", 3},
		"twice":         {media(func(b []byte) []byte { return append(bytes.Clone(b), piece(b, 7)...) }), "were not recorded", -1},
		"foreign":       {func(dir string) { insertForeign(t, dir, other, list[9].Offset) }, "put in", 9},
		"replaced":      {media(func(b []byte) []byte { copy(piece(b, 8)[200:], "something else"); return b }), "changed", 8},
		"garbage":       {media(func(b []byte) []byte { return append(b, 1, 2, 3) }), "follow", -1},
		"missing":       {func(dir string) { _ = os.Remove(filepath.Join(dir, mediaFile)) }, "missing", -1},
		"foreign file":  {func(dir string) { _ = os.WriteFile(filepath.Join(dir, "x.mp4"), nil, 0o600) }, "does not belong", -1},
		"no manifest":   {func(dir string) { _ = os.Remove(filepath.Join(dir, manifestFile)) }, "missing", -1},
		"line cut":      {chain(func(l []string) []string { return append(l[:10:10], l[11:]...) }), "cut out", -1},
		"lines swapped": {chain(func(l []string) []string { l[10], l[11] = l[11], l[10]; return l }), "cut out, put in or moved", -1},
		"other chain":   {func(dir string) { mustCopy(t, filepath.Join(other, chainFile), filepath.Join(dir, chainFile)) }, "folder is", -1},
		"new tail":      {func(dir string) { rewrite(t, dir, list[20]) }, "witness", -1},
	} {
		t.Run(name, func(t *testing.T) {
			dir := altered(t, folder, c.do)
			r := mustVerify(t, dir, VerifyOptions{Key: testPub(), Witnesses: heads})
			if c.says == "" {
				if r.Verdict != Genuine || r.Witnesses != len(heads) {
					t.Errorf("%+v", r)
				}
				return
			}
			if r.Verdict != Altered {
				t.Fatalf("verdict %s: %v", r.Verdict, r.Findings)
			}
			found := false
			for _, f := range r.Findings {
				at := c.at < 0 || f.From == ms(list[c.at].From)
				found = found || at && strings.Contains(f.Text, c.says)
			}
			if !found {
				t.Errorf("none says %q at fragment %d: %+v", c.says, c.at, r.Findings)
			}
		})
	}
}

func swapped(b []byte, x, y *Link) []byte {
	out := bytes.Clone(b[:x.Offset])
	out = append(out, b[y.Offset:y.Offset+y.Size]...)
	out = append(out, b[x.Offset:x.Offset+x.Size]...)
	return append(out, b[y.Offset+y.Size:]...)
}

// insertForeign puts a fragment of another call in. Both calls show the same clip, so the piece may be one of this call byte for byte: its last
// byte, one of a frame, makes it foreign.
func insertForeign(t testing.TB, dir, other string, at int64) {
	l := fragmentsOf(t, other)[2]
	b, err := os.ReadFile(filepath.Join(other, mediaFile))
	if err != nil {
		t.Fatal(err)
	}
	edit(t, dir, mediaFile, func(have []byte) []byte {
		out := append(bytes.Clone(have[:at]), b[l.Offset:l.Offset+l.Size]...)
		out[len(out)-1] ^= 1
		return append(out, have[at:]...)
	})
}

func mustCopy(t testing.TB, from, to string) {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// rewrite is what the holder of the key can do: an end that is as if the call had been over earlier, all signatures right.
func rewrite(t testing.TB, dir string, last *Link) {
	c, err := readChain(Disk{}, dir, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := int64(0)
	for i, l := range c.links {
		if l.Seq == last.Seq {
			at = c.ends[i]
		}
	}
	edit(t, dir, chainFile, func(b []byte) []byte { return b[:at] })
	_ = os.Remove(filepath.Join(dir, textFile))
	begin := time.Now()
	clock := func() (time.Time, time.Duration) { return time.Now(), time.Since(begin) }
	if _, _, _, _, err := recoverFolder(Disk{}, dir, testKey(), clock); err != nil {
		t.Fatal(err)
	}
	if r := mustVerify(t, dir, VerifyOptions{Key: testPub()}); r.Verdict != Genuine {
		t.Fatalf("the forger is not good enough: %+v", r)
	}
}

// Without the key nobody makes an end.
func TestNoEnd(t *testing.T) {
	var folder string
	base := t.TempDir()
	synctest.Test(t, func(t *testing.T) { folder, _ = call(t, base, "c1", Config{}, 4*time.Second) })
	dir := altered(t, folder, func(dir string) {
		edit(t, dir, chainFile, func(b []byte) []byte {
			b = bytes.TrimSuffix(b, []byte("\n"))
			return b[:bytes.LastIndexByte(b, '\n')+1]
		})
	})
	if r := mustVerify(t, dir, VerifyOptions{Key: testPub()}); r.Verdict != Incomplete {
		t.Errorf("%+v", r)
	}
	dir = altered(t, folder, func(dir string) {
		edit(t, dir, chainFile, func(b []byte) []byte {
			lines := strings.SplitAfter(string(b), "\n")
			var end Link
			if err := json.Unmarshal([]byte(lines[len(lines)-2]), &end); err != nil {
				t.Fatal(err)
			}
			end.Sig[3] ^= 1
			line, err := end.encode()
			if err != nil {
				t.Fatal(err)
			}
			return fmt.Appendf(nil, "%s%s\n", strings.Join(lines[:len(lines)-2], ""), line)
		})
	})
	if r := mustVerify(t, dir, VerifyOptions{Key: testPub()}); r.Verdict != Altered {
		t.Errorf("%+v", r)
	}
	other := testPub()
	other = bytes.Clone(other)
	other[0] ^= 1
	if r := mustVerify(t, folder, VerifyOptions{Key: other}); r.Verdict != Altered {
		t.Errorf("with another key: %+v", r)
	}
}
