package relay

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

var floorTime = time.Now().Truncate(time.Second).UTC()

func floorOf(call string, epoch uint64, seq uint64, members ...string) *floor {
	return &floor{Floor: Floor{Call: call, Epoch: epoch, Members: members, Expires: floorTime.Add(time.Hour)}, seq: seq}
}

func openFloorFile(t testing.TB, path string) *floorFile {
	t.Helper()
	k, err := openFloors(path, floorTime, DefaultMaxFloors)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.close)
	return k
}

// said is what a file holds, by call.
func said(k *floorFile) map[string]Floor {
	m := make(map[string]Floor)
	for call, f := range k.live {
		m[call] = f.Floor
	}
	return m
}

// Wherever a crash cuts the file, what was written before is there, and what follows can be added.
func TestFloorFileCutAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors")
	k := openFloorFile(t, path)
	var ends []int // of the lines
	for i := range 3 {
		if err := k.keep(floorOf(fmt.Sprintf("c%d", i), 7, uint64(i+1), "alice", "bob")); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		ends = append(ends, len(b))
	}
	k.close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for cut := range len(whole) + 1 {
		want := 0
		for want < len(ends) && cut >= ends[want]-1 { // the line's end may be missing
			want++
		}
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		k := openFloorFile(t, path)
		if len(k.live) != want {
			t.Fatalf("cut at %d of %d: %d floors, want %d", cut, len(whole), len(k.live), want)
		}
		if cut%40 != 0 { // syncs take their time
			continue
		}
		if err := k.keep(floorOf("new", 1, 1)); err != nil {
			t.Fatal(err)
		}
		if again := openFloorFile(t, path); len(again.live) != want+1 {
			t.Fatalf("cut at %d: %d floors after one was added, want %d", cut, len(again.live), want+1)
		}
	}
}

func TestFloorFileDamage(t *testing.T) {
	good := `{"call":"c1","epoch":3,"expires":"2999-01-01T00:00:00Z"}` + "\n"
	for _, c := range []struct {
		text string
		line int // that is damaged; 0 none
	}{
		{"", 0},
		{good + `{"call":"c`, 0},
		{good + "\x00\x00\x00", 0},
		{good + "x\n" + good, 2},
		{`{"epoch":3}` + "\n" + good, 1},
		{good + good + strings.Repeat("x", maxFloorLine+1), 3},
		{good + "x\n" + strings.Repeat("x", maxFloorLine+1), 2},
	} {
		path := filepath.Join(t.TempDir(), "floors")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		k, err := openFloors(path, floorTime, 10)
		if c.line == 0 {
			if err != nil {
				t.Errorf("%.80q: %v", c.text, err)
				continue
			}
			k.close()
			continue
		}
		if !errors.Is(err, ErrFloorFile) || !strings.Contains(err.Error(), fmt.Sprintf("line %d of", c.line)) {
			t.Errorf("%.80q: %v, want line %d damaged", c.text, err, c.line)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != c.text {
			t.Errorf("%.80q: the damaged file was changed", c.text)
		}
	}
}

// Of floors that are kept at the same time the one that was applied last counts, in whatever order they come to the file.
func TestFloorFileOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors")
	k := openFloorFile(t, path)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			if err := k.keep(floorOf("c1", uint64(i/2), uint64(i+1), fmt.Sprint(i))); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	want := floorOf("c1", 99, 200, "199").Floor
	if got := said(openFloorFile(t, path))["c1"]; !reflect.DeepEqual(got, want) {
		t.Errorf("kept %+v, want %+v", got, want)
	}
}

// The file is made anew when most of it is out of date.
func TestFloorFileCompaction(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors")
	k := openFloorFile(t, path)
	const calls, rounds = 100, 24
	for round := range rounds {
		var wg sync.WaitGroup
		for i := range calls {
			wg.Go(func() {
				if err := k.keep(floorOf(fmt.Sprint("c", i), uint64(round), uint64(round+1))); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(b, []byte("\n")); n > 2*calls+floorSlack || n != k.lines {
			t.Fatalf("round %d: %d lines, counted as %d", round, n, k.lines)
		}
	}
	got := said(openFloorFile(t, path))
	if len(got) != calls || got["c7"].Epoch != rounds-1 {
		t.Errorf("%d floors are kept, that of c7 is %+v", len(got), got["c7"])
	}
	k.close()
	late, err := openFloors(path, floorTime.Add(2*time.Hour), calls)
	if err != nil {
		t.Fatal(err)
	}
	defer late.close()
	if b, err := os.ReadFile(path); err != nil || len(b) != 0 {
		t.Errorf("%d bytes are left of floors that have run out (%v)", len(b), err)
	}
}

// After a failed write, whose line may be there in part, nothing is added to the file until it has been made anew.
func TestFloorFileFailure(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors")
	k := openFloorFile(t, path)
	if err := k.keep(floorOf("c1", 1, 1)); err != nil {
		t.Fatal(err)
	}
	half, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = half.WriteString(`{"call":"c2","ep`)
	if err = errors.Join(err, half.Close(), k.f.Close()); err != nil {
		t.Fatal(err)
	}
	second := floorOf("c2", 1, 2)
	if err := k.keep(second); err == nil {
		t.Fatal("a write to a closed file is no error")
	}
	if err := k.keep(second); err != nil { // Apply is called again
		t.Fatal(err)
	}
	if err := k.keep(floorOf("c3", 1, 3)); err != nil {
		t.Fatal(err)
	}
	if got := said(openFloorFile(t, path)); len(got) != 3 {
		t.Errorf("kept %v, want three", got)
	}
	k.close()
	if err := k.keep(floorOf("c4", 1, 4)); !errors.Is(err, ErrStopped) {
		t.Errorf("after close: %v", err)
	}
}

func TestFloorFileLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "floors")
	k := openFloorFile(t, path)
	for i := range 3 {
		if err := k.keep(floorOf(fmt.Sprint(i), 1, uint64(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := openFloors(path, floorTime, 2); !errors.Is(err, ErrFloors) {
		t.Errorf("three floors where two may be: %v", err)
	}
}

// Whatever is in the file, reading it does not panic, and what was read is read again from what is then written.
func FuzzFloorFile(f *testing.F) {
	f.Add([]byte(`{"call":"c1","epoch":3,"members":["alice","b\u00f6b"],"expires":"2999-01-01T00:00:00Z"}` + "\n" + `{"call":"c`))
	f.Add([]byte("x\n{}\n"))
	path := filepath.Join(f.TempDir(), "floors")
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		one, err := openFloors(path, floorTime, 1000)
		if err != nil {
			return
		}
		one.close()
		two, err := openFloors(path, floorTime, 1000)
		if err != nil {
			t.Fatalf("%q was read, but not what was made of it: %v", b, err)
		}
		two.close()
		for call, f := range one.live {
			g := two.live[call]
			if g == nil || g.Epoch != f.Epoch || !g.Expires.Equal(f.Expires) || strings.Join(g.Members, "\x00") != strings.Join(f.Members, "\x00") {
				t.Fatalf("%q: %+v became %+v", b, f, g)
			}
		}
		if len(one.live) != len(two.live) {
			t.Fatalf("%q: %d floors became %d", b, len(one.live), len(two.live))
		}
	})
}
