package record

import (
	"testing"
	"time"

	"duet/rtmpchunk"
)

// still is a recording without its goroutine.
func still(t testing.TB, m *memory) *Recording {
	t.Helper()
	now := time.Unix(1_700_000_000, 0)
	cfg := Config{Dir: "r", Key: testKey(), FS: m, Now: func() time.Time { return now }, OnHead: func(string, Head) {}, OnFail: func(string, error) {}}
	rec := &Recorder{cfg: cfg, open: make(map[string]*Recording)}
	r := &Recording{
		rec: rec, info: Info{Call: "c1"}, zero: now, sources: make(map[string]*source),
		part: &part{fs: m, dir: "r/c1", key: cfg.Key, now: rec.clock(), mode: SyncAlways, begin: Begin{Recording: "c1", Call: "c1", Part: 1}},
	}
	if err := openPart(r.part); err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever a pusher sends, the recorder takes it, and what it writes holds.
func FuzzFrames(f *testing.F) {
	for _, m := range clip(f)[:6] {
		f.Add(m.Type, m.Timestamp, m.Payload, []byte{0x17, 1, 0, 0, 0, 1, 2, 3})
	}
	f.Add(uint8(9), uint32(0), []byte{0x90, 'h', 'v', 'c', '1', 1, 2, 3}, []byte{0x91, 'h', 'v', 'c', '1', 0, 0, 0, 1})
	f.Add(uint8(9), uint32(0), []byte{0x90, 'a', 'v', '0', '1', 1}, []byte{0x93, 'a', 'v', '0', '1', 9})
	f.Add(uint8(8), uint32(0), []byte{0x90, 'O', 'p', 'u', 's', 'O', 'p', 'u', 's', 'H', 'e', 'a', 'd', 1, 255}, []byte{0x91, 'O', 'p', 'u', 's', 0xff})
	f.Add(uint8(8), uint32(0), []byte{0x72, 1, 2}, []byte{0xaf, 0, 0xff, 0xff})
	f.Add(uint8(18), uint32(0), []byte{2, 0, 10, 'o', 'n', 'M', 'e', 't', 'a', 'D', 'a', 't', 'a'}, []byte{0x9d, 1, 0x2a})
	f.Fuzz(func(t *testing.T, kind uint8, timestamp uint32, a, b []byte) {
		m := newMemory()
		r := still(t, m)
		stream := Stream{Name: "live/x", User: "u"}
		if err := r.take(&job{stream: &stream}); err != nil {
			t.Fatal(err)
		}
		for i, payload := range [][]byte{a, b, a, b, b} {
			for _, k := range []uint8{kind, rtmpchunk.TypeVideo, rtmpchunk.TypeAudio} {
				fr := Frame{Message: rtmpchunk.Message{Type: k, Timestamp: timestamp * uint32(i+1), Payload: payload}, Run: uint32(i / 3), Captured: r.zero.Add(time.Duration(timestamp%10_000) * time.Millisecond)}
				if err := r.take(&job{name: stream.Name, frame: &fr}); err != nil {
					t.Fatal(err)
				}
			}
			if err := r.flush(i == 4); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.finish("hangup"); err != nil {
			t.Fatal(err)
		}
		report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: m})
		if err != nil || report.Verdict != Genuine {
			t.Fatalf("%v: %+v", err, report)
		}
	})
}

// Any bytes in place of a chain are looked at without harm.
func FuzzChain(f *testing.F) {
	m := newMemory()
	r := still(f, m)
	if err := r.finish("hangup"); err != nil {
		f.Fatal(err)
	}
	f.Add(m.files["r/c1/"+chainFile].now)
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		left := newMemory()
		left.files["r/c1/"+chainFile] = &memoryFile{m: left, now: b}
		report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: left})
		if err == nil && report.Verdict == Genuine {
			t.Error("genuine without a manifest")
		}
		if _, _, _, _, err := recoverFolder(left, "r/c1", testKey(), r.rec.clock()); err != nil {
			t.Skip()
		}
	})
}

// A clock that is set is noted, and the recording goes on.
func TestClockStep(t *testing.T) {
	m := newMemory()
	r := still(t, m)
	mono, wall := time.Duration(0), time.Unix(1_700_000_000, 0)
	r.part.now = func() (time.Time, time.Duration) { return wall.Add(mono), mono }
	for i := range 10 {
		if mono = time.Duration(i) * time.Second; i == 5 {
			wall = wall.Add(-time.Hour)
		}
		if err := r.log(&Event{N: uint64(i + 1), Kind: "x", Wall: wall}); err != nil {
			t.Fatal(err)
		}
		if err := r.flush(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.finish("hangup"); err != nil {
		t.Fatal(err)
	}
	report, err := Verify("r/c1", VerifyOptions{Key: testPub(), FS: m})
	if err != nil || report.Verdict != Genuine {
		t.Fatalf("%v: %+v", err, report)
	}
	if len(report.Findings) != 1 || report.Findings[0].Text != "the server's clock was set by -1h0m0s" || !report.Findings[0].Warning {
		t.Errorf("%+v", report.Findings)
	}
}

// What can't be recorded is refused at the start.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	r, err := New(Config{Dir: dir, Key: testKey()})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"", ".", "..", "../x", "a/b", ".open", "ü"} {
		if _, err := r.Start(Info{Call: name}); err == nil {
			t.Errorf("%q is a folder", name)
		}
	}
	if _, err := ParseRecipients([]string{"age1nonsense"}); err == nil {
		t.Error("nonsense is a recipient")
	}
	if _, err := New(Config{Dir: dir, Key: testKey(), Sync: "sometimes"}); err == nil {
		t.Error("recordings are synced sometimes")
	}
	m := newMemory()
	m.room = 0
	full, err := New(Config{Dir: "r", Key: testKey(), FS: m})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := full.Start(Info{Call: "c1"}); err == nil {
		t.Error("a full disk takes a recording")
	}
	m.room = -1
	if rec, err := full.Start(Info{Call: "c1"}); err != nil {
		t.Errorf("with room again: %v", err)
	} else if err := rec.Close("hangup"); err != nil {
		t.Error(err)
	}
}
