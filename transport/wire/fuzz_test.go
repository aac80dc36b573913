package wire

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// seeds adds the inputs of every vector with one of the commands.
func seeds(f *testing.F, commands ...string) {
	f.Helper()
	files, err := filepath.Glob("testdata/vectors/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no vectors: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for part := range strings.SplitSeq(string(text), "\n\n") {
			var input []string
			wanted := false
			for line := range strings.SplitSeq(part, "\n") {
				switch {
				case strings.HasPrefix(line, "#"), line == "":
					continue
				case line == "----":
					if wanted {
						f.Add(unhex(f, strings.Join(input, " ")))
					}
					wanted = false
				case wanted:
					input = append(input, line)
				}
				for _, c := range commands {
					wanted = wanted || line == c
				}
			}
		}
	}
}

func FuzzDatagram(f *testing.F) {
	seeds(f, "datagram")
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Handshake
		if err := ParseHandshake(b, &h); err == nil && KindOf(b) != KindInit && KindOf(b) != KindAccept {
			t.Errorf("kind %d read as a handshake", KindOf(b))
		}
		text, again, err := describeDatagram(b)
		if err == nil && !bytes.Equal(again, b) {
			t.Errorf("%s: written again as\n%x, was\n%x", text, again, b)
		}
	})
}

func FuzzRetryAndReset(f *testing.F) {
	seeds(f, "datagram")
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, v, err := ParseRetry(b); err == nil && !bytes.Equal(AppendRetry(nil, id, v), b) {
			t.Errorf("RETRY %x", b)
		}
		if id, v, err := ParseReset(b); err == nil && !bytes.Equal(AppendReset(nil, id, v), b) {
			t.Errorf("RESET %x", b)
		}
	})
}

func FuzzInitPayload(f *testing.F) {
	seeds(f, "init-payload")
	f.Fuzz(func(t *testing.T, b []byte) {
		var p InitPayload
		if ParseInitPayload(b, &p) != nil {
			return
		}
		again, err := AppendInitPayload(nil, &p, len(b))
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%+v: %x, %v, was %x", p, again, err, b)
		}
	})
}

func FuzzAcceptPayload(f *testing.F) {
	seeds(f, "accept-payload")
	f.Fuzz(func(t *testing.T, b []byte) {
		var p AcceptPayload
		if ParseAcceptPayload(b, &p) != nil {
			return
		}
		again := AppendAcceptPayload(nil, &p)
		if len(p.Reason) > MaxReason { // readers take what writers cut
			return
		}
		if !bytes.HasPrefix(b, again) || !allZero(b[len(again):]) {
			t.Errorf("%+v: %x, was %x", p, again, b)
		}
	})
}

// canonical reports whether a frame is written in the one way that our writers have.
func canonical(f *Frame) bool {
	switch f.Type {
	case FrameFeedback: // what was not received has neither a mark nor an age
		for i := range f.Feedback.Count() {
			if received, ecn, age := f.Feedback.At(i); !received && (ecn != 0 || age != 0) {
				return false
			}
		}
	case FrameClose:
		return len(f.Data) <= MaxReason
	default:
	}
	return true
}

func FuzzNextFrame(f *testing.F) {
	seeds(f, "frames")
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var frame Frame
			rest, err := NextFrame(b, &frame)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatalf("no progress at %x", b)
			}
			used := b[:len(b)-len(rest)]
			if again := appendFrame(nil, &frame); canonical(&frame) && !bytes.Equal(again, used) {
				t.Fatalf("%s: written again as\n%x, was\n%x", describeFrame(&frame), again, used)
			}
			b = rest
		}
	})
}

func FuzzNextControl(f *testing.F) {
	seeds(f, "control")
	f.Fuzz(func(t *testing.T, b []byte) {
		for len(b) > 0 {
			var m Control
			n, err := NextControl(b, &m)
			if err != nil || n == 0 {
				return
			}
			again, err := AppendControlMessage(nil, &m)
			known := m.Type >= ControlStart && m.Type <= ControlAim
			cut := m.Type == ControlStatus && len(m.Data) > MaxReason
			if known && !cut && (err != nil || !bytes.Equal(again, b[:n])) {
				t.Fatalf("%s: %x, %v, was %x", describeControl(&m), again, err, b[:n])
			}
			b = b[n:]
		}
	})
}
