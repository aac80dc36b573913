package wire

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKindOf(t *testing.T) {
	known := map[byte]Kind{1: KindInit, 2: KindAccept, 3: KindRetry, 4: KindReset, 0x81: KindData, 0xc1: KindData}
	for c := range 256 {
		if got := KindOf([]byte{byte(c)}); got != known[byte(c)] {
			t.Errorf("first byte %#x is kind %d, want %d", c, got, known[byte(c)])
		}
	}
	if KindOf(nil) != KindUnknown {
		t.Error("an empty datagram has a kind")
	}
}

// TestSizes holds the named sizes to what the functions write: senders count on them.
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want int
	}{
		{"data header", AppendDataHeader(nil, DataHeader{}), DataHeaderSize},
		{"handshake header", AppendHandshake(nil, &Handshake{Kind: KindInit}), HandshakeHeader},
		{"RETRY", AppendRetry(nil, 1, [16]byte{}), RetrySize},
		{"RESET", AppendReset(nil, 1, [16]byte{}), ResetSize},
		{"PING", AppendPing(nil, 0), PingSize},
		{"PONG", AppendPong(nil, [3]uint64{}), PongSize},
		{"FEEDBACK header", AppendFeedbackHeader(nil, 0, 0, 1, 0), FeedbackHeader},
		{"CONTROL header", AppendControl(nil, 0, nil), ControlHeader},
		{"PATH_CHALLENGE", AppendPath(nil, FramePathChallenge, [8]byte{}), PathSize},
		{"REPAIR header", AppendRepairHeader(nil, Repair{}), RepairHeader},
	} {
		if len(c.b) != c.want {
			t.Errorf("%s has %d bytes, want %d", c.name, len(c.b), c.want)
		}
	}
	if shortest := DataHeaderSize + 1 + 16; ResetSize >= shortest {
		t.Errorf("a RESET of %d bytes is not shorter than a data packet of %d", ResetSize, shortest)
	}
}

func TestLongestInitFitsItsDatagram(t *testing.T) {
	p := InitPayload{Role: RolePush, Budget: time.Second, Stream: bytes.Repeat([]byte("s"), MaxStreamName), Token: bytes.Repeat([]byte("t"), MaxToken)}
	const noise = 48
	b, err := AppendInitPayload(nil, &p, MaxFragment-noise)
	if err != nil || len(b) != MaxFragment-noise {
		t.Fatalf("the longest INIT payload: %d bytes, %v", len(b), err)
	}
	for _, q := range []InitPayload{
		{Role: RolePush, Stream: make([]byte, MaxStreamName+1)},
		{Role: RolePush, Token: make([]byte, MaxToken+1)},
	} {
		if _, err := AppendInitPayload(nil, &q, MaxFragment-noise); !errors.Is(err, ErrMalformed) {
			t.Errorf("a field over its limit: %v", err)
		}
	}
	if _, err := AppendInitPayload(nil, &p, 100); !errors.Is(err, ErrMalformed) {
		t.Errorf("a payload over its size: %v", err)
	}
}

func TestLongReasonIsCut(t *testing.T) {
	var f Frame
	rest, err := NextFrame(AppendClose(nil, CloseBusy, strings.Repeat("r", MaxReason+50)), &f)
	if err != nil || len(rest) != 0 || len(f.Data) != MaxReason {
		t.Errorf("CLOSE with a long reason: %d bytes of it, %d left, %v", len(f.Data), len(rest), err)
	}
	var p AcceptPayload
	b := AppendAcceptPayload(nil, &AcceptPayload{Code: CloseBusy, Reason: make([]byte, MaxReason+50)})
	if err := ParseAcceptPayload(b, &p); err != nil || len(p.Reason) != MaxReason {
		t.Errorf("ACCEPT with a long reason: %d bytes of it, %v", len(p.Reason), err)
	}
}

func TestFeedbackAgeStopsAtItsLimit(t *testing.T) {
	b := AppendFeedbackHeader(nil, 0, 0, 2, 0)
	b = AppendFeedbackRecord(b, true, 0, 1<<20)
	b = AppendFeedbackRecord(b, false, 3, 77)
	var f Frame
	if _, err := NextFrame(b, &f); err != nil {
		t.Fatal(err)
	}
	if received, ecn, age := f.Feedback.At(0); !received || ecn != 0 || age != FeedbackAgeMax {
		t.Errorf("record 0: %v %d %d", received, ecn, age)
	}
	if received, ecn, age := f.Feedback.At(1); received || ecn != 0 || age != 0 {
		t.Errorf("record of a missing packet: %v %d %d", received, ecn, age)
	}
}

func TestControlLimits(t *testing.T) {
	out := []byte("kept")
	for _, m := range []Control{
		{Type: ControlRecord, Data: make([]byte, MaxRecordBody+1)},
		{Type: 99},
	} {
		b, err := AppendControlMessage(out, &m)
		if !errors.Is(err, ErrMalformed) || string(b) != "kept" {
			t.Errorf("type %d: %q, %v", m.Type, b[:4], err)
		}
	}
	b, err := AppendControlMessage(nil, &Control{Type: ControlRecord, Data: make([]byte, MaxRecordBody)})
	if err != nil {
		t.Fatal(err)
	}
	var m Control
	for _, cut := range []int{0, 3, 4, 5, len(b) - 1} {
		if n, err := NextControl(b[:cut], &m); n != 0 || err != nil {
			t.Errorf("%d of %d bytes: n=%d, %v", cut, len(b), n, err)
		}
	}
	if n, err := NextControl(b, &m); n != len(b) || err != nil || len(m.Data) != MaxRecordBody {
		t.Errorf("the largest record: n=%d, %v", n, err)
	}
}

func TestNames(t *testing.T) {
	final := 0
	for c := CloseOK; c <= CloseRevoked; c++ {
		if c.String() == "unknown" {
			t.Errorf("close code %d has no name", c)
		}
		if c.Final() {
			final++
		}
	}
	if final != 4 || CloseReplaced.Final() != true || CloseShutdown.Final() || CloseCode(99).String() != "unknown" {
		t.Errorf("%d final codes", final)
	}
	if RolePush.String() != "push" || RolePlay.String() != "play" {
		t.Error("roles")
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	frames := AppendPong(AppendPing(nil, 1), [3]uint64{1, 2, 3})
	frames = AppendControl(frames, 5, []byte("bytes"))
	frames = AppendMedia(frames, make([]byte, 1000))
	init := AppendHandshake(nil, &Handshake{Kind: KindInit, Suite: 1, Client: 5, Total: MaxFragment, Fragment: make([]byte, MaxFragment)})
	var f Frame
	var h Handshake
	n := testing.AllocsPerRun(100, func() {
		for b := frames; len(b) > 0; {
			var err error
			if b, err = NextFrame(b, &f); err != nil {
				t.Fatal(err)
			}
		}
		if err := ParseHandshake(init, &h); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
