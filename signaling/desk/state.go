package desk

import (
	"slices"
	"time"
)

// Role is what a person or program may do.
type Role string

// The roles.
const (
	Caller     Role = "caller"     // asks for calls
	Agent      Role = "agent"      // has a room
	Supervisor Role = "supervisor" // sees rooms and calls, watches, joins, ends
	Auditor    Role = "auditor"    // reads the log and recordings
	Admin      Role = "admin"      // everything, and sets it up
)

// Roles lists them.
func Roles() []Role { return []Role{Caller, Agent, Supervisor, Auditor, Admin} }

// Actor is who gives a command, as its token or key says.
type Actor struct {
	User  string // of a key: "key:ID"; of the server itself: "system"
	Name  string
	Roles []Role
}

// System is the server itself.
func System() Actor { return Actor{User: systemUser, Roles: []Role{Admin}} }

const systemUser = "system"

// Has reports whether the actor has one of the roles; an admin has all but that of a caller or agent.
func (a Actor) Has(roles ...Role) bool {
	for _, r := range roles {
		if slices.Contains(a.Roles, r) || r != Caller && r != Agent && slices.Contains(a.Roles, Admin) {
			return true
		}
	}
	return false
}

// Settings are the times and limits that commands are decided by. Zero values are replaced with the defaults beside them. They do not change
// what is in the log.
type Settings struct {
	AgentGrace  time.Duration // 15 s: an agent without a connection for so long has left the room
	CallerGrace time.Duration // 20 s: likewise a caller the place in a queue that does not say
	Ring        time.Duration // 20 s: an offer to an agent, where the queue does not say
	DirectRing  time.Duration // 45 s: a direct call
	Setup       time.Duration // 30 s: from acceptance to both pushing and playing
	GoneAfter   time.Duration // 30 s: media lost for so long ends the call
	RetryAfter  time.Duration // 15 s: an agent is offered the same call again after declining it
	URLs        time.Duration // 24 h: validity of push and play URLs
	Record      string        // RecordNever: policy of calls whose queue has none
}

func (s Settings) withDefaults() Settings {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&s.AgentGrace, 15*time.Second)
	set(&s.CallerGrace, 20*time.Second)
	set(&s.Ring, 20*time.Second)
	set(&s.DirectRing, 45*time.Second)
	set(&s.Setup, 30*time.Second)
	set(&s.GoneAfter, 30*time.Second)
	set(&s.RetryAfter, 15*time.Second)
	set(&s.URLs, 24*time.Hour)
	if s.Record == "" {
		s.Record = RecordNever
	}
	return s
}

// Limits. What is beyond is refused with Limit, Full or TooLarge.
const (
	MaxCalls        = 100_000 // live
	MaxRooms        = 10_000
	MaxQueues       = 1_000
	MaxUsers        = 100_000
	MaxKeys         = 1_000
	MaxHooks        = 100
	MaxLinks        = 100_000
	MaxSessions     = 100_000 // signed in
	MaxConns        = 16      // of one user
	MaxParties      = 8       // of a call at one time
	MaxSkills       = 64
	MaxMessage      = 64 << 10 // bytes of a body
	MaxMessages     = 2_000    // of a call
	MaxMessageBytes = 8 << 20  // of a call
	MaxEnded        = 10_000   // ended calls whose summaries are at hand; older ones are in the log
	MaxID           = 64
	MaxName         = 200
	MaxNote         = 4 << 10
)

// State is everything. It belongs to one goroutine.
type State struct {
	set Settings

	Version int       `json:"version"` // of this form
	Seq     uint64    `json:"seq"`     // of the last entry in the log that it has
	Now     time.Time `json:"now"`     // its time
	Order   uint64    `json:"order"`   // counts whatever came in line
	EndedAt []string  `json:"endedAt"` // ended calls, the oldest first
	SweptAt time.Time `json:"sweptAt"`

	Users    table[User]       `json:"users"`
	Keys     table[Key]        `json:"keys"`
	Hooks    table[Hook]       `json:"hooks"`
	Links    table[Link]       `json:"links"`
	Sessions table[Session]    `json:"sessions"`
	Queues   table[Queue]      `json:"queues"`
	Lines    table[Line]       `json:"lines"` // by queue
	Rooms    table[Room]       `json:"rooms"` // by agent
	Calls    table[Call]       `json:"calls"` // live
	Ended    table[Summary]    `json:"ended"`
	Present  table[Presence]   `json:"present"`
	Nodes    table[Node]       `json:"nodes"`
	Floors   table[Floor]      `json:"floors"`
	Members  table[Membership] `json:"members"` // by user

	saved   scalars
	actor   Actor
	records []Record
	notices []Notice
	floors  []Floor
	match   bool // a room or a caller may have found the other
}

// scalars are saved by themselves.
type scalars struct {
	now, swept time.Time
	order      uint64
	endedAt    []string
}

// version of the state's form: a snapshot of another is not read, the log is.
const version = 1

// New returns the state of an empty log.
func New(set Settings) *State {
	s := &State{
		set: set.withDefaults(), Version: version,
		Users: newTable[User](), Keys: newTable[Key](), Hooks: newTable[Hook](), Links: newTable[Link](), Sessions: newTable[Session](),
		Queues: newTable[Queue](), Lines: newTable[Line](), Rooms: newTable[Room](), Calls: newTable[Call](), Ended: newTable[Summary](),
		Present: newTable[Presence](), Nodes: newTable[Node](), Floors: newTable[Floor](), Members: newTable[Membership](),
	}
	s.save()
	return s
}

// Settings returns what the state decides by.
func (s *State) Settings() Settings { return s.set }

// Command is something that somebody wants.
type Command interface {
	// decide refuses, or emits events.
	decide(s *State) (Result, error)
}

// Result is what the one who commanded is told.
type Result struct {
	Call    string `json:"call,omitempty"`
	Message uint64 `json:"message,omitempty"` // its number in the call
	Again   bool   `json:"again,omitempty"`   // it had been done before: nothing has changed
}

// Do decides over a command. What it changes stands in the state at once and is taken back by Rollback, or kept by Commit once the
// Entry is in the log. A refusal is an *Error and changes nothing.
func (s *State) Do(now time.Time, by Actor, c Command) (Result, error) {
	s.begin(now, by)
	if u := s.Users.get(by.User); u != nil && u.Disabled && !leaves(c) {
		return Result{}, refuse(Disabled, "%s may not do anything any more: ask an admin", by.User)
	}
	r, err := c.decide(s)
	if err == nil {
		s.findMatches()
	}
	return r, err
}

// leaves reports whether a command only takes the actor away: who may do nothing else may do that.
func leaves(c Command) bool {
	_, ok := c.(*Disconnect)
	return ok
}

// begin sets who acts when; time never goes back.
func (s *State) begin(now time.Time, by Actor) {
	s.actor = by
	if now = now.Round(0).UTC().Truncate(time.Millisecond); now.After(s.Now) {
		s.Now = now
	}
}

// emit puts an event into effect and keeps it for the log.
func (s *State) emit(e event) {
	s.records = append(s.records, Record{Kind: e.kind(), By: s.actor.User, event: e})
	s.run(&s.records[len(s.records)-1])
}

// Entry makes of the events since the last Commit or Rollback what has to be appended to the log, nil if there were none. All commands of one
// entry have to be given the same time.
func (s *State) Entry(node string, batch uint64, prev string) *Entry {
	if len(s.records) == 0 {
		return nil
	}
	return &Entry{Time: s.Now, Node: node, Batch: batch, Prev: prev, Records: s.records}
}

// Commit keeps what was decided or applied, as of entry seq of the log. It returns what is to be told to users and to the relay.
func (s *State) Commit(seq uint64) (notices []Notice, floors []Floor) {
	s.Seq = seq
	s.eachTable(tableOps.commit)
	s.save()
	notices, floors = s.notices, s.floors
	s.notices, s.floors, s.records = nil, nil, nil
	return notices, floors
}

// Pending is how much the commands since the last Commit or Rollback have done.
func (s *State) Pending() (events, notices int) { return len(s.records), len(s.notices) }

// Freeze returns a copy that stays as the state is now, for a snapshot. It is cheap: what changes later is copied then.
func (s *State) Freeze() *State {
	f := *s
	f.Users, f.Keys, f.Hooks, f.Links, f.Sessions = s.Users.copied(), s.Keys.copied(), s.Hooks.copied(), s.Links.copied(), s.Sessions.copied()
	f.Queues, f.Lines, f.Rooms, f.Calls, f.Ended = s.Queues.copied(), s.Lines.copied(), s.Rooms.copied(), s.Calls.copied(), s.Ended.copied()
	f.Present, f.Nodes, f.Floors, f.Members = s.Present.copied(), s.Nodes.copied(), s.Floors.copied(), s.Members.copied()
	return &f
}

// Rollback takes back what was decided since the last Commit.
func (s *State) Rollback() {
	s.eachTable(tableOps.rollback)
	s.Now, s.SweptAt, s.Order, s.EndedAt = s.saved.now, s.saved.swept, s.saved.order, s.saved.endedAt
	s.notices, s.floors, s.records, s.match = nil, nil, nil, false
}

func (s *State) save() { s.saved = scalars{s.Now, s.SweptAt, s.Order, s.EndedAt} }

// tableOps is what every table has.
type tableOps interface {
	commit()
	rollback()
}

func (s *State) eachTable(f func(tableOps)) {
	for _, t := range []tableOps{
		&s.Users, &s.Keys, &s.Hooks, &s.Links, &s.Sessions, &s.Queues, &s.Lines, &s.Rooms, &s.Calls, &s.Ended, &s.Present, &s.Nodes, &s.Floors, &s.Members,
	} {
		f(t)
	}
}

// Floor is from which epoch on a call's tokens are valid; those of members are whatever their epoch.
type Floor struct {
	Call    string    `json:"call"`
	Epoch   uint64    `json:"epoch"`
	Members []string  `json:"members,omitempty"`
	Expires time.Time `json:"expires"` // then every token below it has expired by itself
}

func (s *State) raise(call string, epoch uint64, members []string, expires time.Time) {
	f := Floor{Call: call, Epoch: epoch, Members: members, Expires: expires}
	s.Floors.put(call, &f)
	s.floors = append(s.floors, f)
}
