package desk

import (
	"encoding/json"
	"slices"
	"time"
)

// Policies of recording, of a queue or call.
const (
	RecordNever     = "never"
	RecordOnRequest = "on-request" // by the agent
	RecordAlways    = "always"     // the call goes on if it can't be recorded
	RecordMust      = "must"       // no media without the recorder
)

// RecordState is what becomes of a call's recording.
type RecordState string

// The states.
const (
	RecordOff       RecordState = ""          // not asked for, or stopped
	RecordAsked     RecordState = "asked"     // the caller is asked to agree; media waits
	RecordStarting  RecordState = "starting"  // the recorder is; with RecordMust media waits
	RecordRecording RecordState = "recording" //
	RecordRefused   RecordState = "refused"   // by the caller
	RecordFailed    RecordState = "failed"    // the recorder has
)

// Consents, as far as one was asked for.
const (
	ConsentAgreed  = "agreed"
	ConsentRefused = "refused"
)

// Recording is what is known of a call's.
type Recording struct {
	Policy  string      `json:"policy,omitempty"`
	State   RecordState `json:"state"`
	Consent string      `json:"consent,omitempty"`
	Reason  string      `json:"reason,omitempty"` // of RecordFailed
	Retain  int         `json:"retain,omitempty"` // days
	Shots   int         `json:"shots,omitempty"`  // snapshots asked for
	Ever    bool        `json:"ever,omitempty"`   // there is something on disk
}

// recordPlan is how a call is to be recorded, as its queue says when it is accepted.
type recordPlan struct {
	Policy  string `json:",omitempty"`
	Consent bool   `json:",omitempty"` // is asked for
	Retain  int    `json:",omitempty"`
}

// plan is how a call is to be recorded.
func (s *State) plan(c *Call) recordPlan {
	var p recordPlan
	if q := s.Queues.get(c.Queue); q != nil {
		p = recordPlan{q.Record, q.Consent, q.RetainDays}
	}
	if p.Policy == "" {
		p.Policy = s.set.Record
	}
	return p
}

// consentTime is what a caller has to answer in, beside the time to set up.
const consentTime = time.Minute

// gated reports whether media has to wait for consent or the recorder.
func (c *Call) gated() bool {
	if c.State != CallSetup {
		return false
	}
	return c.Record.State == RecordAsked || c.Record.State == RecordStarting && c.Record.Policy == RecordMust
}

// planned puts a plan into effect when a call is accepted.
func (c *Call) planned(p recordPlan) {
	c.Record = Recording{Policy: p.Policy, Retain: p.Retain}
	if p.Policy != RecordAlways && p.Policy != RecordMust {
		return
	}
	if c.Record.State = RecordStarting; p.Consent {
		c.Record.State = RecordAsked
	}
}

// openGate lets media begin.
func (s *State) openGate(id string) {
	c := s.Calls.get(id)
	agent := c.agent()
	if caller := c.Party(c.Caller); caller.Pushed { // a direct call: its push came first
		s.grantPlays(c.ID, agent)
		s.grantPush(c.ID, agent, 5)
	} else {
		s.grantPush(c.ID, c.Caller, 1)
	}
}

// tellRecord tells a call's parties, and who supervises, what becomes of the recording.
func (s *State) tellRecord(c *Call) {
	r := c.Record
	b := Body{Call: c.ID, By: s.actor.User, Record: &r}
	for i := range c.Parties {
		s.tell(c.Parties[i].User, NoticeRecord, b)
	}
	s.tell(ToSupervisors, NoticeRecord, b)
}

// Consent is the caller's answer to whether the call may be recorded.
type Consent struct {
	Call  string `json:"call"`
	Agree bool   `json:"agree"`
}

// StartRecording begins a recording that is made on request, or again after it failed: by an agent of the call, or a supervisor.
type StartRecording struct {
	Call string `json:"call"`
}

// StopRecording ends one that is made on request.
type StopRecording struct {
	Call string `json:"call"`
}

// Snapshot keeps a picture of each party in the recording.
type Snapshot struct {
	Call string `json:"call"`
}

// RecordReport is what the recorder says: by the server alone.
type RecordReport struct {
	Call   string
	State  RecordState // RecordRecording or RecordFailed
	Reason string
}

// RecordHead is a signed head of a recording, for those who witness it: by the server alone.
type RecordHead struct {
	Call string
	Head json.RawMessage
}

type (
	recordSet struct {
		Call   string
		State  RecordState
		Reason string    `json:",omitempty"`
		Due    time.Time `json:",omitzero"` // of the set-up from now on
	}
	consented struct {
		Call, User string
		Agree      bool
	}
	recordShot struct{ Call, User string }
	recordSeen struct {
		Call string
		Head json.RawMessage
	}
)

func (*recordSet) kind() string  { return "record.state" }
func (*consented) kind() string  { return "record.consent" }
func (*recordShot) kind() string { return "record.snapshot" }
func (*recordSeen) kind() string { return "record.head" }

func (m *Consent) decide(s *State) (Result, error) {
	c := s.Calls.get(m.Call)
	if c == nil || c.Party(s.actor.User) == nil {
		return Result{}, refuse(NotMember, "you are not in that call")
	}
	answer := map[bool]string{true: ConsentAgreed, false: ConsentRefused}[m.Agree]
	switch {
	case c.Caller != s.actor.User:
		return Result{}, refuse(Forbidden, "only the caller can agree to be recorded")
	case c.Record.Consent == answer:
		return Result{Call: c.ID, Again: true}, nil
	case c.Record.State != RecordAsked:
		return Result{}, refuse(Conflict, "nobody asks you at present")
	}
	s.emit(&consented{c.ID, s.actor.User, m.Agree})
	switch {
	case m.Agree:
		s.emit(&recordSet{Call: c.ID, State: RecordStarting, Due: s.Now.Add(s.set.Setup)})
	case c.Record.Policy == RecordMust:
		s.emit(s.ending(s.Calls.get(c.ID), NoConsent, s.actor.User))
	default:
		s.emit(&recordSet{Call: c.ID, State: RecordRefused, Due: s.Now.Add(s.set.Setup)})
	}
	return Result{Call: c.ID}, nil
}

// keeper finds the call whose recording the actor may see to.
func (s *State) keeper(id string) (*Call, error) {
	c := s.Calls.get(id)
	var me *Party
	if c != nil {
		me = c.Party(s.actor.User)
	}
	switch {
	case c == nil || me == nil && !s.actor.Has(Supervisor):
		return nil, refuse(NotMember, "you are not in that call")
	case !s.actor.Has(Supervisor) && me.Role != Agent:
		return nil, refuse(Forbidden, "only an agent or a supervisor sees to the recording")
	}
	return c, nil
}

func (m *StartRecording) decide(s *State) (Result, error) {
	c, err := s.keeper(m.Call)
	if err != nil {
		return Result{}, err
	}
	switch {
	case slices.Contains([]RecordState{RecordAsked, RecordStarting, RecordRecording}, c.Record.State):
		return Result{Call: c.ID, Again: true}, nil
	case c.Record.Policy == RecordNever || c.Record.Policy == "":
		return Result{}, refuse(Forbidden, "calls of this kind are not recorded")
	case c.Record.State == RecordRefused:
		return Result{}, refuse(Forbidden, "the caller does not want to be recorded")
	case c.State != CallSetup && c.State != CallConnected:
		return Result{}, refuse(Conflict, "nobody has accepted the call yet")
	}
	state := RecordStarting
	if q := s.Queues.get(c.Queue); q != nil && q.Consent && c.Record.Consent == "" {
		state = RecordAsked
	}
	s.emit(&recordSet{Call: c.ID, State: state})
	return Result{Call: c.ID}, nil
}

func (m *StopRecording) decide(s *State) (Result, error) {
	c, err := s.keeper(m.Call)
	if err != nil {
		return Result{}, err
	}
	switch {
	case c.Record.Policy != RecordOnRequest:
		return Result{}, refuse(Forbidden, "this call's recording is not the agent's to stop")
	case c.Record.State == RecordOff:
		return Result{Call: c.ID, Again: true}, nil
	}
	s.emit(&recordSet{Call: c.ID, State: RecordOff})
	return Result{Call: c.ID}, nil
}

func (m *Snapshot) decide(s *State) (Result, error) {
	c, err := s.keeper(m.Call)
	if err != nil {
		return Result{}, err
	}
	if c.Record.State != RecordRecording {
		return Result{}, refuse(Conflict, "a picture is part of the recording, and the call is not being recorded")
	}
	if c.Record.Shots >= maxShots {
		return Result{}, refuse(Limit, "a call has at most %d pictures", maxShots)
	}
	s.emit(&recordShot{c.ID, s.actor.User})
	return Result{Call: c.ID}, nil
}

const maxShots = 1_000

func (m *RecordReport) decide(s *State) (Result, error) {
	if !s.actor.Has(Admin) {
		return Result{}, refuse(Forbidden, "only the recorder tells of recordings")
	}
	c := s.Calls.get(m.Call)
	if c == nil || c.Record.State == m.State || c.Record.State != RecordStarting && c.Record.State != RecordRecording {
		return Result{Again: true}, nil
	}
	s.emit(&recordSet{Call: c.ID, State: m.State, Reason: m.Reason})
	if m.State == RecordFailed && c.Record.Policy == RecordMust {
		s.emit(s.ending(s.Calls.get(c.ID), NotRecorded, ""))
	}
	return Result{Call: c.ID}, nil
}

func (m *RecordHead) decide(s *State) (Result, error) {
	if !s.actor.Has(Admin) {
		return Result{}, refuse(Forbidden, "only the recorder tells of recordings")
	}
	s.emit(&recordSeen{m.Call, m.Head})
	return Result{Call: m.Call}, nil
}

func (e *recordSet) apply(s *State) {
	c := s.Calls.edit(e.Call)
	waited := c.gated()
	c.Record.State, c.Record.Reason = e.State, e.Reason
	c.Record.Ever = c.Record.Ever || e.State == RecordRecording
	if !e.Due.IsZero() && c.State == CallSetup {
		c.Due = e.Due
	}
	s.tellRecord(c)
	if waited && !c.gated() && (e.State != RecordFailed || c.Record.Policy != RecordMust) {
		s.openGate(c.ID)
	}
}

func (e *consented) apply(s *State) {
	c := s.Calls.edit(e.Call)
	c.Record.Consent = map[bool]string{true: ConsentAgreed, false: ConsentRefused}[e.Agree]
}

func (e *recordShot) apply(s *State) {
	c := s.Calls.edit(e.Call)
	c.Record.Shots++
}

func (e *recordSeen) apply(s *State) {
	b := Body{Call: e.Call, Head: e.Head}
	if c := s.Calls.get(e.Call); c != nil {
		for i := range c.Parties {
			s.tell(c.Parties[i].User, NoticeHead, b)
		}
	} else if sum := s.Ended.get(e.Call); sum != nil { // the last one comes after the end
		for _, user := range sum.Users {
			s.tell(user, NoticeHead, b)
		}
	}
}

// ToRecord lists the calls that are to be recorded at present, sorted by ID.
func (s *State) ToRecord() []*Call {
	return slices.DeleteFunc(all(&s.Calls), func(c *Call) bool {
		return c.Record.State != RecordStarting && c.Record.State != RecordRecording
	})
}
