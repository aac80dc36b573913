package wire

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// unhex reads hexadecimal text with any white space in it. NN*n stands for n times the byte NN, so that padding stays readable.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	var out []byte
	for w := range strings.FieldsSeq(s) {
		n := 1
		digits, times, repeated := strings.Cut(w, "*")
		if repeated {
			if _, err := fmt.Sscan(times, &n); err != nil {
				tb.Fatalf("%q: %v", w, err)
			}
		}
		b, err := hex.DecodeString(digits)
		if err != nil {
			tb.Fatalf("%q: %v", w, err)
		}
		out = append(out, bytes.Repeat(b, n)...)
	}
	return out
}

// short writes bytes in hexadecimal; what ends in many equal bytes ends in NN*n.
func short(b []byte) string {
	n := len(b)
	for n > 0 && b[n-1] == b[len(b)-1] {
		n--
	}
	if len(b)-n < 16 {
		return fmt.Sprintf("%x", b)
	}
	return strings.TrimSpace(fmt.Sprintf("%x %02x*%d", b[:n], b[len(b)-1], len(b)-n))
}

func describeFrame(f *Frame) string {
	switch f.Type {
	case FramePadding:
		return "PADDING"
	case FramePing:
		return fmt.Sprintf("PING clock=%d", f.Clock[0])
	case FramePong:
		return fmt.Sprintf("PONG echo=%d received=%d now=%d", f.Clock[0], f.Clock[1], f.Clock[2])
	case FrameFeedback:
		s := fmt.Sprintf("FEEDBACK base=%d clock=%d", f.Feedback.Base, f.Feedback.Clock)
		for i := range f.Feedback.Count() {
			if received, ecn, age := f.Feedback.At(i); received {
				s += fmt.Sprintf("\n  %d received ecn=%d age=%d", f.Feedback.Base+uint32(i), ecn, age)
			} else {
				s += fmt.Sprintf("\n  %d missing", f.Feedback.Base+uint32(i))
			}
		}
		if len(f.Feedback.Earlier) > 0 {
			s += "\n  earlier"
		}
		for i := range 8 * len(f.Feedback.Earlier) {
			if f.Feedback.Had(i) {
				s += fmt.Sprintf(" %d", f.Feedback.Base-1-uint32(i))
			}
		}
		return s
	case FrameControl:
		return fmt.Sprintf("CONTROL offset=%d bytes=%x", f.Offset, f.Data)
	case FramePathChallenge:
		return fmt.Sprintf("PATH_CHALLENGE %x", f.Data)
	case FramePathResponse:
		return fmt.Sprintf("PATH_RESPONSE %x", f.Data)
	case FrameClose:
		return fmt.Sprintf("CLOSE code=%d (%v) reason=%q", f.Code, f.Code, f.Data)
	case FrameMedia:
		return fmt.Sprintf("MEDIA packet=%x", f.Data)
	case FrameRepair:
		return fmt.Sprintf("REPAIR video=%v window=%v base=%d k=%d index=%d symbol=%x", f.Repair.Video, f.Repair.Window, f.Repair.Base, f.Repair.K, f.Repair.Index, f.Data)
	default:
		return "?"
	}
}

// appendFrame writes a parsed frame again.
func appendFrame(b []byte, f *Frame) []byte {
	switch f.Type {
	case FramePadding:
		return append(b, 0)
	case FramePing:
		return AppendPing(b, f.Clock[0])
	case FramePong:
		return AppendPong(b, f.Clock)
	case FrameFeedback:
		b = AppendFeedbackHeader(b, f.Feedback.Base, f.Feedback.Clock, f.Feedback.Count(), len(f.Feedback.Earlier))
		for i := range f.Feedback.Count() {
			received, ecn, age := f.Feedback.At(i)
			b = AppendFeedbackRecord(b, received, ecn, age)
		}
		b = append(b, f.Feedback.Earlier...)
		return b
	case FrameControl:
		return AppendControl(b, f.Offset, f.Data)
	case FramePathChallenge, FramePathResponse:
		return AppendPath(b, f.Type, [8]byte(f.Data))
	case FrameClose:
		return AppendClose(b, f.Code, string(f.Data))
	case FrameMedia:
		return AppendMedia(b, f.Data)
	case FrameRepair:
		return append(AppendRepairHeader(b, f.Repair), f.Data...)
	default:
		return b
	}
}

func describeControl(m *Control) string {
	switch m.Type {
	case ControlStart:
		return fmt.Sprintf("START instance=%d order=%d audio=%d video=%d", m.Instance, m.Order, m.Seq[0], m.Seq[1])
	case ControlSkip:
		return fmt.Sprintf("SKIP order=%d count=%d", m.Order, m.Count)
	case ControlRecord:
		return fmt.Sprintf("RECORD order=%d slot=%d id=%d type=%d timestamp=%d body=%x", m.Order, m.Slot, m.ID, m.Message, m.Timestamp, m.Data)
	case ControlKeyFrame:
		return "KEYFRAME"
	case ControlBitrate:
		return fmt.Sprintf("BITRATE %d", m.Bitrate)
	case ControlStatus:
		if m.Code == StatusPushBegins {
			return fmt.Sprintf("STATUS code=%d instance=%d order=%d text=%q", m.Code, m.Instance, m.Order, m.Data)
		}
		return fmt.Sprintf("STATUS code=%d text=%q", m.Code, m.Data)
	case ControlEnd:
		return fmt.Sprintf("END order=%d", m.Order)
	case ControlArrival:
		return fmt.Sprintf("ARRIVAL ms=%d final=%t", m.Arrival, m.Final)
	case ControlAim:
		return fmt.Sprintf("AIM ms=%d", m.Arrival)
	case ControlClock:
		return fmt.Sprintf("CLOCK stream=%d relay=%d", m.Clock[0], m.Clock[1])
	default:
		return fmt.Sprintf("unknown type %d, skipped", m.Type)
	}
}

// describeDatagram tells what a datagram's clear part says, and gives it back as our own code writes it.
func describeDatagram(b []byte) (text string, again []byte, err error) {
	switch kind := KindOf(b); kind {
	case KindInit, KindAccept:
		var h Handshake
		if err := ParseHandshake(b, &h); err != nil {
			return "", nil, err
		}
		name := map[Kind]string{KindInit: "INIT", KindAccept: "ACCEPT"}[kind]
		text = fmt.Sprintf("%s suite=%d client=%x relay=%x cookie=%x total=%d offset=%d\nfragment=%s",
			name, h.Suite, h.Client, h.Server, h.Cookie, h.Total, h.Offset, short(h.Fragment))
		return text, AppendHandshake(nil, &h), nil
	case KindRetry:
		client, cookie, err := ParseRetry(b)
		return fmt.Sprintf("RETRY client=%x cookie=%x", client, cookie), AppendRetry(nil, client, cookie), err
	case KindReset:
		session, value, err := ParseReset(b)
		return fmt.Sprintf("RESET session=%x value=%x", session, value), AppendReset(nil, session, value), err
	case KindData:
		h, err := ParseDataHeader(b)
		if err != nil {
			return "", nil, err
		}
		sealed := b[DataHeaderSize:]
		text = fmt.Sprintf("data phase=%d session=%x number=%d sealed=%x", h.Phase, h.Session, h.PacketNumber, sealed)
		return text, append(AppendDataHeader(nil, h), sealed...), nil
	default:
		return "", nil, ErrMalformed
	}
}

// TestVectors reads each vector, tells what it says, and writes it again: the bytes must be the same.
func TestVectors(t *testing.T) {
	datadriven.Walk(t, "testdata/vectors", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			b := unhex(t, d.Input)
			text, again, err := vector(t, d.Cmd, b)
			if err != nil {
				return "dropped\n"
			}
			if !bytes.Equal(again, b) {
				t.Errorf("%s: written again as\n%x", d.Pos, again)
			}
			return text + "\n"
		})
	})
}

func vector(t *testing.T, cmd string, b []byte) (text string, again []byte, err error) {
	switch cmd {
	case "datagram":
		return describeDatagram(b)
	case "init-payload":
		var p InitPayload
		if err = ParseInitPayload(b, &p); err != nil {
			return "", nil, err
		}
		again, err = AppendInitPayload(nil, &p, len(b))
		return fmt.Sprintf("role=%v budget=%v stream=%s token=%s", p.Role, p.Budget, p.Stream, p.Token), again, err
	case "accept-payload":
		var p AcceptPayload
		if err = ParseAcceptPayload(b, &p); err != nil {
			return "", nil, err
		}
		again = AppendAcceptPayload(nil, &p)
		again = append(again, make([]byte, len(b)-len(again))...)
		return fmt.Sprintf("code=%d (%v) reason=%q session=%x reset=%x idle=%v", p.Code, p.Code, p.Reason, p.Session, p.Reset, p.IdleTimeout), again, nil
	case "frames":
		var lines []string
		for len(b) > 0 {
			var f Frame
			if b, err = NextFrame(b, &f); err != nil {
				return "", nil, err
			}
			lines = append(lines, describeFrame(&f))
			again = appendFrame(again, &f)
		}
		return strings.Join(lines, "\n"), again, nil
	case "control":
		var lines []string
		for len(b) > 0 {
			var m Control
			n, err := NextControl(b, &m)
			if err != nil {
				return "", nil, err
			}
			if n == 0 {
				lines = append(lines, fmt.Sprintf("%d bytes of a message that is not whole", len(b)))
				again = append(again, b...)
				break
			}
			lines = append(lines, describeControl(&m))
			if out, err := AppendControlMessage(again, &m); err == nil {
				again = out
			} else { // unknown types are read over, never written
				again = append(again, b[:n]...)
			}
			b = b[n:]
		}
		return strings.Join(lines, "\n"), again, nil
	default:
		t.Fatalf("unknown command %q", cmd)
		return "", nil, nil
	}
}
