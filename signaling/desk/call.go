package desk

import (
	"slices"
	"strconv"
	"time"
)

// CallState is how far a call has come.
type CallState string

// The states.
const (
	CallDialing   CallState = "dialing"   // direct: the caller has a push URL, its 1002 is awaited
	CallLooking   CallState = "waiting"   // in a queue, or ringing: nobody has accepted yet
	CallSetup     CallState = "setup"     // accepted: the seven steps
	CallConnected CallState = "connected" // both push and play
	CallEnded     CallState = "ended"     // of a summary only
)

// Kinds of calls.
const (
	KindQueue  = "queue"
	KindDirect = "direct"
)

// Call is a live call, from the request on. While somebody is being looked for it has a Ticket.
type Call struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Queue    string    `json:"queue,omitempty"` // that it came by
	Caller   string    `json:"caller"`
	Name     string    `json:"name,omitempty"` // of the caller
	Note     string    `json:"note,omitempty"` // from the caller, for whoever accepts
	State    CallState `json:"state"`
	Created  time.Time `json:"created"`
	Accepted time.Time `json:"accepted,omitzero"`
	Began    time.Time `json:"began,omitzero"` // connected
	Due      time.Time `json:"due,omitzero"`   // dialing and setup end then
	Epoch    uint64    `json:"epoch"`
	Parties  []Party   `json:"parties"`
	Agents   []string  `json:"agents,omitempty"` // all who had it
	Ticket   *Ticket   `json:"ticket,omitempty"`
	Record   Recording `json:"record,omitzero"`
	Streams  int       `json:"streams"` // highest number of a stream
	First    uint64    `json:"first"`   // entry of the log that it began after

	Events   uint64    `json:"events"` // that backends are told of
	Messages []Message `json:"messages,omitempty"`
	Bytes    int       `json:"bytes"` // of their bodies
}

// Party is a user in a call.
type Party struct {
	N         int       `json:"n"` // names the stream; never used again in the call
	User      string    `json:"user"`
	Name      string    `json:"name,omitempty"`
	Role      Role      `json:"role"`          // in this call: who is called directly is an Agent
	Hidden    bool      `json:"hidden"`        // watches
	MayPush   bool      `json:"mayPush"`       // has been given a push URL
	Pushing   bool      `json:"pushing"`       // the relay has its 1002
	Pushed    bool      `json:"pushed"`        // has had it once: the others have its play URL
	Playing   bool      `json:"playing"`       // it plays somebody
	Lost      time.Time `json:"lost,omitzero"` // since when its media is
	Away      time.Time `json:"away,omitzero"` // before it was connected: likewise
	Joined    time.Time `json:"joined"`        //
	Delivered uint64    `json:"delivered"`     // messages up to this number are at the user's
	Read      uint64    `json:"read"`          // and have been seen
}

// Message is a text or custom message of a call.
type Message struct {
	N    uint64    `json:"n"` // counts from 1 in the call
	From string    `json:"from"`
	ID   string    `json:"id"`             // the sender's own, unique in the call
	Cmd  string    `json:"cmd,omitempty"`  // of a custom message
	Body string    `json:"body,omitempty"` //
	Time time.Time `json:"time"`
}

// Stream is the name of a party's stream.
func (c *Call) Stream(p *Party) string { return "live/" + c.ID + "." + strconv.Itoa(p.N) }

// Party finds a user in the call; nil if it is not.
func (c *Call) Party(user string) *Party {
	for i := range c.Parties {
		if c.Parties[i].User == user {
			return &c.Parties[i]
		}
	}
	return nil
}

// agent is the party that had the call offered and accepted last, "" if nobody has yet.
func (c *Call) agent() string {
	for i := len(c.Parties) - 1; i >= 0; i-- {
		if c.Parties[i].Role == Agent {
			return c.Parties[i].User
		}
	}
	return ""
}

// editParty gives a copy of a call with a party to be changed in place.
func (s *State) editParty(call, user string) (*Call, *Party) {
	c := s.Calls.edit(call)
	if c == nil {
		return nil, nil
	}
	c.Parties = slices.Clone(c.Parties)
	return c, c.Party(user)
}

// Membership is which live calls a user is in, or is asked to join.
type Membership struct {
	Calls []string `json:"calls"`
}

func (s *State) inCall(user, call string) {
	m := s.Members.edit(user)
	if m == nil {
		m = &Membership{}
		s.Members.put(user, m)
	}
	if !slices.Contains(m.Calls, call) {
		m.Calls = append(slices.Clip(m.Calls), call)
	}
}

func (s *State) outOfCall(user, call string) {
	m := s.Members.edit(user)
	if m == nil {
		return
	}
	if m.Calls = without(m.Calls, call); len(m.Calls) == 0 {
		s.Members.remove(user)
	}
	s.forget(user)
}

// callsOf finds the live calls that a user is in, or is asked to join.
func (s *State) callsOf(user string) []*Call {
	m := s.Members.get(user)
	if m == nil {
		return nil
	}
	list := make([]*Call, 0, len(m.Calls))
	for _, id := range m.Calls {
		list = append(list, s.Calls.get(id))
	}
	return list
}

// Summary is what is left of an ended call; its messages are in the log.
type Summary struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	Queue       string    `json:"queue,omitempty"`
	Caller      string    `json:"caller"`
	Name        string    `json:"name,omitempty"`
	Agents      []string  `json:"agents,omitempty"`
	Users       []string  `json:"users"` // members at the end
	Created     time.Time `json:"created"`
	Accepted    time.Time `json:"accepted,omitzero"`
	Began       time.Time `json:"began,omitzero"`
	Ended       time.Time `json:"ended"`
	Reason      Reason    `json:"reason"`
	By          string    `json:"by,omitempty"`
	Events      uint64    `json:"events"`
	Messages    int       `json:"messages"`
	Disposition string    `json:"disposition,omitempty"`
	Note        string    `json:"note,omitempty"`
	Recorded    bool      `json:"recorded,omitempty"`
	First       uint64    `json:"first"` // entries of the log that it was in: after First, up to Last
	Last        uint64    `json:"last"`
}

// Reason is why a call ended.
type Reason string

// The reasons.
const (
	Hangup      Reason = "hangup"       // by a party
	Cancelled   Reason = "cancelled"    // by the caller, before anybody accepted
	Abandoned   Reason = "abandoned"    // the caller was away for too long
	Gone        Reason = "gone"         // a party's network, for too long
	SetupFailed Reason = "setup-failed" // somebody did not come to push and play in time
	DeclinedBy  Reason = "declined"     // direct: by who was called
	NoAnswer    Reason = "no-answer"    // direct
	EndedBy     Reason = "ended"        // by a supervisor or a backend
	NoConsent   Reason = "no-consent"   // the caller does not want to be recorded, and the call has to be
	NotRecorded Reason = "not-recorded" // the recorder has failed, and the call has to be recorded
)
