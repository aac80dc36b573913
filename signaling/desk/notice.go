package desk

import (
	"encoding/json"
	"time"
)

// Notice is something that a user is told. Kind and the fields of Body are the socket protocol's (docs/signaling.md).
type Notice struct {
	To    string // a user; or ToSupervisors
	Kind  string
	Body  Body
	Grant *Grant // a URL that goes with it: made when it is sent, and never stored
}

// ToSupervisors is all who supervise.
const ToSupervisors = "role:supervisor"

// Grant is a right to a stream.
type Grant struct {
	Push   bool
	Stream string
	Call   string
	Party  string
	Epoch  uint64
}

// Body has what notices say; each kind uses some.
type Body struct {
	Call     string          `json:"call,omitempty"`
	Kind     string          `json:"kind,omitempty"`   // of the call: queue or direct
	Queue    string          `json:"queue,omitempty"`  //
	User     string          `json:"user,omitempty"`   // whom it is about
	Name     string          `json:"name,omitempty"`   // of that user
	Role     Role            `json:"role,omitempty"`   // of that user in the call
	Step     int             `json:"step,omitempty"`   // of the seven
	State    string          `json:"state,omitempty"`  // of a room or call
	Reason   string          `json:"reason,omitempty"` //
	By       string          `json:"by,omitempty"`     // who did it
	Note     string          `json:"note,omitempty"`   //
	Until    *time.Time      `json:"until,omitempty"`  //
	Since    *time.Time      `json:"since,omitempty"`  //
	Transfer bool            `json:"transfer,omitempty"`
	Message  *Message        `json:"message,omitempty"`
	Upto     uint64          `json:"upto,omitempty"`
	Stream   string          `json:"stream,omitempty"`
	Record   *Recording      `json:"record,omitempty"`
	Head     json.RawMessage `json:"head,omitempty"` // of a recording: signed, to be kept as a witness
}

// The kinds of notices.
const (
	NoticeWaiting    = "call.waiting"     // to the caller: in line
	NoticeMoved      = "call.moved"       // to the caller: in another line, by overflow
	NoticeOffered    = "call.offered"     // to an agent, or to who is called
	NoticeOfferEnded = "call.offer-ended" // likewise: declined, timeout, withdrawn
	NoticeRinging    = "call.ringing"     // to the caller: somebody is being asked
	NoticeAccepted   = "call.accepted"    // to all parties
	NoticePush       = "call.push"        // with a push URL
	NoticePlay       = "call.play"        // with a play URL of User's stream
	NoticeConnected  = "call.connected"
	NoticeJoined     = "call.party-joined"
	NoticeLeft       = "call.party-left"
	NoticeLinkLost   = "call.link-lost"
	NoticeResumed    = "call.resumed"
	NoticeTransfer   = "call.transfer" // State: looking, failed, done, cancelled
	NoticeEnded      = "call.ended"
	NoticeMessage    = "message"
	NoticeDelivered  = "message.delivered"
	NoticeRead       = "message.read"
	NoticeRoom       = "room.state"
	NoticeDisabled   = "user.disabled" // the sockets close
	NoticeWatched    = "call.watching" // to the supervisor alone
	NoticeRecord     = "record.state"
	NoticeHead       = "record.head"
)

func (s *State) tell(to, kind string, b Body) {
	s.notices = append(s.notices, Notice{To: to, Kind: kind, Body: b})
}

func (s *State) grant(to, kind string, b Body, g Grant) {
	s.notices = append(s.notices, Notice{To: to, Kind: kind, Body: b, Grant: &g})
}

// timeOf makes the pointer that JSON leaves out for the zero time.
func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
