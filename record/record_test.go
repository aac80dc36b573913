package record

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"filippo.io/age"
	"github.com/Eyevinn/mp4ff/mp4"

	"duet/rtmpchunk"
)

// decoded is media.mp4, taken apart.
type decoded struct {
	tracks []*mp4.TrakBox
	bodies [][][]byte        // of samples, by track
	times  [][]time.Duration // decoding times, by track
	ends   []time.Duration
}

func decode(t testing.TB, name string) *decoded {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mp4.DecodeFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	d := &decoded{tracks: f.Init.Moov.Traks}
	n := len(d.tracks)
	d.bodies, d.times, d.ends = make([][][]byte, n), make([][]time.Duration, n), make([]time.Duration, n)
	for _, s := range f.Segments {
		for _, fr := range s.Fragments {
			for _, traf := range fr.Moof.Trafs {
				i := int(traf.Tfhd.TrackID - 1)
				scale := time.Duration(d.tracks[i].Mdia.Mdhd.Timescale)
				trex := f.Init.Moov.Mvex.Trexs[i]
				base := traf.Tfdt.BaseMediaDecodeTime()
				for _, trun := range traf.Truns {
					trun.AddSampleDefaultValues(traf.Tfhd, trex)
					at := uint32(int64(fr.Moof.StartPos) + int64(trun.DataOffset) - int64(fr.Mdat.PayloadAbsoluteOffset()))
					for _, s := range trun.GetFullSamples(at, base, fr.Mdat) {
						d.bodies[i] = append(d.bodies[i], s.Data)
						d.times[i] = append(d.times[i], time.Duration(s.DecodeTime)*time.Second/scale)
						d.ends[i] = time.Duration(s.DecodeTime+uint64(s.Dur)) * time.Second / scale
						base = s.DecodeTime + uint64(s.Dur)
					}
				}
			}
		}
	}
	return d
}

// trackOf finds a party's track.
func (d *decoded) trackOf(t testing.TB, user string, k rtmpchunk.Kind) int {
	t.Helper()
	for i, trak := range d.tracks {
		if name := trak.Mdia.Hdlr.Name; strings.HasPrefix(name, user) && strings.HasSuffix(name, k.String()) {
			return i
		}
	}
	t.Fatalf("%s has no track of %s", user, k)
	return 0
}

func same(a, b [][]byte) bool {
	return len(a) == len(b) && bytes.Equal(bytes.Join(a, nil), bytes.Join(b, nil))
}

// A call has four tracks with exactly what was sent, its length, and holds to the key.
func TestRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder, parties := call(t, t.TempDir(), "c1", Config{}, 12*time.Second)
		d := decode(t, filepath.Join(folder, mediaFile))
		if len(d.tracks) != 4 {
			t.Fatalf("%d tracks", len(d.tracks))
		}
		for i, user := range []string{"anna", "carl"} {
			for _, k := range []rtmpchunk.Kind{rtmpchunk.Audio, rtmpchunk.Video} {
				n := d.trackOf(t, user, k)
				if !same(d.bodies[n], parties[i].sent[k]) {
					t.Errorf("%s %s: %d samples, %d were sent, or they are not the same", user, k, len(d.bodies[n]), len(parties[i].sent[k]))
				}
				if off := d.ends[n] - 12*time.Second; off.Abs() > 100*time.Millisecond {
					t.Errorf("%s %s ends at %v", user, k, d.ends[n])
				}
			}
		}
		r := mustVerify(t, folder, VerifyOptions{Key: testPub()})
		if r.Verdict != Genuine || len(r.Findings) > 0 || r.Fragments < 12 || (r.Length-12*time.Second).Abs() > 100*time.Millisecond {
			t.Errorf("%+v", r)
		}
		if r := mustVerify(t, folder, VerifyOptions{}); r.Verdict != Unknown {
			t.Errorf("without a key: %s", r.Verdict)
		}
		for name, want := range map[string]string{logFile: "secret text", textFile: "<v anna>good morning", manifestFile: `"reason": "hangup"`} {
			b, err := os.ReadFile(filepath.Join(folder, name))
			if err != nil || !strings.Contains(string(b), want) {
				t.Errorf("%s: %v: %s", name, err, b)
			}
		}
	})
}

// A sealed recording shows nothing, is checked without being opened, and opens to what it would have been.
func TestSealed(t *testing.T) {
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		to, err := ParseRecipients([]string{id.Recipient().String()})
		if err != nil {
			t.Fatal(err)
		}
		sealed, parties := call(t, t.TempDir(), "c1", Config{Recipients: to, Sealed: []string{id.Recipient().String()}}, 5*time.Second)
		if r := mustVerify(t, sealed, VerifyOptions{Key: testPub()}); r.Verdict != Genuine || r.Fragments < 5 {
			t.Errorf("%+v", r)
		}
		for _, e := range mustRead(t, sealed) {
			if holdsAny(e, parties[0].sent[rtmpchunk.Video][0]) || holdsAny(e, parties[1].sent[rtmpchunk.Audio][3]) || holdsAny(e, []byte("good morning, this is the secret text")) {
				t.Error("a sealed recording shows what it holds")
			}
		}
		open := t.TempDir()
		if _, err := OpenSealed(sealed, open, []age.Identity{id}); err != nil {
			t.Fatal(err)
		}
		d := decode(t, filepath.Join(open, mediaFile))
		for i, user := range []string{"anna", "carl"} {
			for _, k := range []rtmpchunk.Kind{rtmpchunk.Audio, rtmpchunk.Video} {
				if !same(d.bodies[d.trackOf(t, user, k)], parties[i].sent[k]) {
					t.Errorf("%s's %s opens to something else", user, k)
				}
			}
		}
		if b, err := os.ReadFile(filepath.Join(open, textFile)); err != nil || !strings.Contains(string(b), "secret text") {
			t.Errorf("the text: %v, %s", err, b)
		}
		other, err := age.GenerateX25519Identity()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenSealed(sealed, t.TempDir(), []age.Identity{other}); !errors.Is(err, ErrIdentity) {
			t.Errorf("with another identity: %v", err)
		}
	})
}

func mustRead(t testing.TB, dir string) (all [][]byte) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b)
	}
	return all
}

// holdsAny reports whether b has a run of 16 bytes of media.
func holdsAny(b, media []byte) bool {
	for i := 0; i+16 <= len(media); i++ {
		if bytes.Contains(b, media[i:i+16]) {
			return true
		}
	}
	return false
}

// What was captured before the recording began, and comes late as after a restart of the server, does no harm: pictures that later ones need stand at
// the beginning, old sound is left out, and the rest is where it belongs.
func TestFromBefore(t *testing.T) {
	for _, ago := range []time.Duration{300 * time.Millisecond, 1900 * time.Millisecond, 5 * time.Second} {
		synctest.Test(t, func(t *testing.T) {
			dir := t.TempDir()
			r, err := New(Config{Dir: dir, Key: testKey()})
			if err != nil {
				t.Fatal(err)
			}
			rec, err := r.Start(Info{Call: "c1", Kind: "queue", Queue: "main", Policy: "always"})
			if err != nil {
				t.Fatal(err)
			}
			parties := twoParties(t, rec, "c1")
			begin := time.Now().Add(-ago)
			for at := time.Duration(0); at < ago+4*time.Second; at += 200 * time.Millisecond {
				for _, p := range parties {
					p.send(begin, at, at+200*time.Millisecond, nil)
				}
				if at >= ago {
					<-time.After(200 * time.Millisecond)
				}
			}
			if err := rec.Close("hangup"); err != nil {
				t.Fatal(err)
			}
			d := decode(t, filepath.Join(dir, "c1", mediaFile))
			v := mustVerify(t, filepath.Join(dir, "c1"), VerifyOptions{Key: testPub()})
			if v.Verdict != Genuine || v.Length < 3500*time.Millisecond || v.Length > 4500*time.Millisecond {
				t.Errorf("%v before: %s, %v", ago, v.Verdict, v.Length)
			}
			for _, user := range []string{"anna", "carl"} {
				for _, k := range []rtmpchunk.Kind{rtmpchunk.Audio, rtmpchunk.Video} {
					if end := d.ends[d.trackOf(t, user, k)]; end < 3500*time.Millisecond || end > 4500*time.Millisecond {
						t.Errorf("%v before: %s %s ends at %v", ago, user, k, end)
					}
				}
			}
		})
	}
}
