package transporttest

import (
	"fmt"
	"io"
	"net/netip"
	"strings"

	"duet/crypto"
	"duet/rtmpchunk"
	"duet/transport"
	"duet/transport/wire"
)

// Sniffer reads along a session on a Network's Tap. It repeats the client's half of the handshake from the client's own
// configuration and seed, so nothing in a Conn has to give a key away for it. It sees every datagram in the order of sending.
type Sniffer struct {
	initiator *crypto.Initiator
	suite     crypto.Suite
	openers   [2]*crypto.Opener // by sender: client, relay
	control   [2]controlReader
}

// NewSniffer follows the session of a client whose Config is cfg with Rand set to Reader(seed). It fails only where
// transport.New would.
func NewSniffer(cfg transport.Config, seed uint64) (*Sniffer, error) {
	suite := cfg.Suite
	if suite == 0 {
		suite = crypto.SuiteAESGCM
	}
	rand := Reader(seed)
	var id [8]byte
	if _, err := io.ReadFull(rand, id[:]); err != nil {
		return nil, err
	}
	client := uint64(0)
	for _, b := range id {
		client = client<<8 | uint64(b)
	}
	budget := cfg.Budget
	if budget <= 0 {
		budget = transport.DefaultBudget
	}
	payload, err := wire.AppendInitPayload(nil, &wire.InitPayload{
		Role: cfg.Role, Budget: budget, Stream: []byte(cfg.Stream), Token: []byte(cfg.Token),
	}, wire.MaxFragment-crypto.Message1Overhead)
	if err != nil {
		return nil, err
	}
	s := &Sniffer{suite: suite}
	if s.initiator, err = crypto.NewInitiator(suite, crypto.Prologue(nil, wire.Version, suite, client), cfg.Server, rand); err != nil {
		return nil, err
	}
	_, err = s.initiator.Message1(nil, payload)
	return s, err
}

// Plain returns the frames of a data packet that one side sends now, and its packet number; false if it does not open, or if
// it was seen before.
func (s *Sniffer) Plain(fromClient bool, b []byte) (pn uint64, plain []byte, ok bool) {
	o := s.openers[side(fromClient)]
	h, err := wire.ParseDataHeader(b)
	if o == nil || err != nil {
		return 0, nil, false
	}
	c := append([]byte(nil), b...)
	pn, plain, err = o.Open(c[:wire.DataHeaderSize], c[wire.DataHeaderSize:], h.Phase, h.PacketNumber)
	return pn, plain, err == nil
}

// Describe tells in one line what a datagram holds.
func (s *Sniffer) Describe(from netip.AddrPort, b []byte) string {
	fromClient := from != RelayAddr
	switch wire.KindOf(b) {
	case wire.KindInit:
		var h wire.Handshake
		if wire.ParseHandshake(b, &h) != nil {
			return "INIT malformed"
		}
		if h.Cookie != [wire.CookieSize]byte{} {
			return "INIT with cookie"
		}
		return "INIT"
	case wire.KindAccept:
		return s.accept(b)
	case wire.KindRetry:
		return "RETRY"
	case wire.KindReset:
		return "RESET"
	case wire.KindData:
		pn, plain, ok := s.Plain(fromClient, b)
		if !ok {
			return fmt.Sprintf("data of %d bytes that does not open", len(b))
		}
		return fmt.Sprintf("#%d %s", pn, s.frames(fromClient, plain))
	default:
		return fmt.Sprintf("%d bytes of no kind", len(b))
	}
}

func side(fromClient bool) int {
	if fromClient {
		return 0
	}
	return 1
}

// accept takes the keys from the first ACCEPT.
func (s *Sniffer) accept(b []byte) string {
	var h wire.Handshake
	var p wire.AcceptPayload
	if wire.ParseHandshake(b, &h) != nil {
		return "ACCEPT malformed"
	}
	if s.openers[0] != nil {
		return "ACCEPT again"
	}
	plain, send, recv, err := s.initiator.Finish(h.Fragment)
	if err != nil || wire.ParseAcceptPayload(plain, &p) != nil {
		return "ACCEPT that does not open"
	}
	if p.Code != wire.CloseOK {
		return fmt.Sprintf("ACCEPT refused=%v", p.Code)
	}
	s.openers = [2]*crypto.Opener{crypto.NewOpener(s.suite, send), crypto.NewOpener(s.suite, recv)}
	return "ACCEPT"
}

// frames lists a packet's frames. Clocks are left out, lengths and numbers are shown.
func (s *Sniffer) frames(fromClient bool, b []byte) string {
	var words []string
	var f wire.Frame
	for len(b) > 0 {
		var err error
		if b, err = wire.NextFrame(b, &f); err != nil {
			words = append(words, "malformed")
			break
		}
		words = append(words, s.frame(fromClient, &f))
	}
	return strings.Join(words, " ")
}

func (s *Sniffer) frame(fromClient bool, f *wire.Frame) string {
	switch f.Type {
	case wire.FramePing:
		return "PING"
	case wire.FramePong:
		return "PONG"
	case wire.FrameFeedback:
		return "FEEDBACK" + ranges(&f.Feedback)
	case wire.FrameControl:
		return fmt.Sprintf("CONTROL@%d+%d%s", f.Offset, len(f.Data), s.control[side(fromClient)].read(f.Offset, f.Data))
	case wire.FramePathChallenge:
		return "CHALLENGE"
	case wire.FramePathResponse:
		return "RESPONSE"
	case wire.FrameClose:
		return fmt.Sprintf("CLOSE %v", f.Code)
	case wire.FrameMedia:
		var p rtmpchunk.Parser
		var h rtmpchunk.Header
		if _, err := p.Parse(f.Data, &h); err != nil {
			return "MEDIA malformed"
		}
		return fmt.Sprintf("MEDIA %v seq=%d order=%d %d/%d", h.Kind, h.Seq, h.Order, h.Index+1, h.Count)
	case wire.FrameRepair:
		return fmt.Sprintf("REPAIR base=%d k=%d i=%d", f.Repair.Base, f.Repair.K, f.Repair.Index)
	default:
		return "PADDING"
	}
}

// ranges lists the packet numbers that a report calls received, and behind a minus those that it misses.
func ranges(f *wire.Feedback) string {
	var out strings.Builder
	for i := 0; i < f.Count(); {
		received, _, _ := f.At(i)
		j := i + 1
		for ; j < f.Count(); j++ {
			if r, _, _ := f.At(j); r != received {
				break
			}
		}
		sign := " "
		if !received {
			sign = " -"
		}
		if j == i+1 {
			fmt.Fprintf(&out, "%s%d", sign, f.Base+uint32(i))
		} else {
			fmt.Fprintf(&out, "%s%d..%d", sign, f.Base+uint32(i), f.Base+uint32(j)-1)
		}
		i = j
	}
	return out.String()
}

// controlReader names the messages that begin and end in a frame sent in order for the first time.
type controlReader struct {
	next    uint32
	pending []byte
}

func (r *controlReader) read(offset uint32, data []byte) string {
	if offset != r.next {
		return " again"
	}
	r.next += uint32(len(data))
	r.pending = append(r.pending, data...)
	var out strings.Builder
	for {
		var m wire.Control
		n, err := wire.NextControl(r.pending, &m)
		if err != nil || n == 0 {
			return out.String()
		}
		r.pending = r.pending[n:]
		out.WriteString(" " + DescribeControl(&m))
	}
}

var controlNames = [...]string{"?", "START", "SKIP", "RECORD", "KEYFRAME", "BITRATE", "STATUS", "END", "CLOCK"}

// DescribeControl tells in a few words what a control message says.
func DescribeControl(m *wire.Control) string {
	name := controlNames[0]
	if int(m.Type) < len(controlNames) {
		name = controlNames[m.Type]
	}
	switch m.Type {
	case wire.ControlStart, wire.ControlEnd:
		return fmt.Sprintf("%s order=%d", name, m.Order)
	case wire.ControlSkip:
		return fmt.Sprintf("%s order=%d count=%d", name, m.Order, m.Count)
	case wire.ControlRecord:
		return fmt.Sprintf("%s order=%d slot=%d id=%d bytes=%d", name, m.Order, m.Slot, m.ID, len(m.Data))
	case wire.ControlStatus:
		return fmt.Sprintf("%s %d", name, m.Code)
	default:
		return name
	}
}
