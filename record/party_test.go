package record

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"
)

// A party's view has that party's two tracks, and every byte of media where the file has it.
func TestPartyView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		folder, _ := call(t, t.TempDir(), "c1", Config{}, 5*time.Second)
		name := filepath.Join(folder, mediaFile)
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		view := func(user string) (io.ReadSeekCloser, error) {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = f.Close() })
			return PartyView(f, user)
		}
		for _, user := range []string{"anna", "carl"} {
			v, err := view(user)
			if err != nil {
				t.Fatal(err)
			}
			seen, err := io.ReadAll(v)
			if err != nil || len(seen) != len(whole) || !bytes.Equal(seen[initSize:], whole[initSize:]) {
				t.Fatalf("%s: %v, %d bytes of %d, or other media", user, err, len(seen), len(whole))
			}
			file, err := mp4.DecodeFile(bytes.NewReader(trimInit(seen[:initSize])))
			if err != nil {
				t.Fatal(err)
			}
			if n := len(file.Moov.Traks); n != 2 {
				t.Errorf("%s: %d tracks", user, n)
			}
			for _, trak := range file.Moov.Traks {
				if !strings.HasPrefix(trak.Mdia.Hdlr.Name, user) {
					t.Errorf("%s sees %s", user, trak.Mdia.Hdlr.Name)
				}
			}
			for _, at := range []int64{0, 100, 700, initSize - 3, initSize + 5, int64(len(whole)) - 10} {
				b := make([]byte, 9)
				if _, err := v.Seek(at, io.SeekStart); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(v, b); err != nil || !bytes.Equal(b, seen[at:at+9]) {
					t.Errorf("%s: at %d there is %x, then %x, %v", user, at, seen[at:at+9], b, err)
				}
			}
		}
		for _, user := range []string{"ann", "nobody", ""} {
			if _, err := view(user); !errors.Is(err, ErrNoTrack) {
				t.Errorf("%q: %v", user, err)
			}
		}
	})
}

func TestPartyViewOfNothing(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "empty")
	for _, b := range [][]byte{nil, []byte("not a film"), bytes.Repeat([]byte{0}, 2*initSize)} {
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := PartyView(f, "anna"); err == nil {
			t.Errorf("%d bytes are a film", len(b))
		}
		_ = f.Close()
	}
}
