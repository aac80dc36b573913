package desk

import (
	"slices"
	"time"
)

// What an admin sets up, and who is signed in.

// User is somebody who is known by name. Callers need not be: their tokens say who they are.
type User struct {
	ID       string   `json:"id"`
	Name     string   `json:"name,omitempty"`
	Roles    []Role   `json:"roles"`
	Hash     string   `json:"hash,omitempty"` // of the password, argon2id; empty: can't sign in with one
	Disabled bool     `json:"disabled,omitempty"`
	Queues   []string `json:"queues,omitempty"` // an agent's; none: all
	Skills   []string `json:"skills,omitempty"` // an agent's
}

// Queue is where callers wait.
type Queue struct {
	ID            string   `json:"id"`
	Name          string   `json:"name,omitempty"`
	Skills        []string `json:"skills,omitempty"`        // that an agent needs
	Capacity      int      `json:"capacity,omitempty"`      // callers waiting; default DefaultCapacity
	Overflow      string   `json:"overflow,omitempty"`      // another queue, for callers that find this one full
	OverflowAfter Duration `json:"overflowAfter,omitempty"` // and for those who wait longer; 0: never
	Ring          Duration `json:"ring,omitempty"`          // an offer's time; default Settings.Ring
	WrapUp        Duration `json:"wrapUp,omitempty"`        // an agent's time after a call; 0: none
	Grace         Duration `json:"grace,omitempty"`         // a caller's place is kept without a connection; default Settings.CallerGrace
	Public        bool     `json:"public,omitempty"`        // anybody may wait here, without a token of a backend
	Closed        bool     `json:"closed,omitempty"`        // takes nobody
	Record        string   `json:"record,omitempty"`        // recording policy: RecordNever, …; "": the server's
	Consent       bool     `json:"consent,omitempty"`       // the caller is asked before
	RetainDays    int      `json:"retainDays,omitempty"`    // a recording can't be deleted before; 0: at any time
}

const maxRetain = 36_500 // days

// DefaultCapacity of a queue.
const DefaultCapacity = 1000

func (q *Queue) capacity() int {
	if q.Capacity > 0 {
		return q.Capacity
	}
	return DefaultCapacity
}

// Key is a backend's API key.
type Key struct {
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	Hash   string    `json:"hash"` // hex SHA-256
	Scopes []string  `json:"scopes"`
	Made   time.Time `json:"made"`
}

// Hook is a webhook.
type Hook struct {
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	Secret  string   `json:"secret"`
	Kinds   []string `json:"kinds,omitempty"`   // of events; none: all
	Private bool     `json:"private,omitempty"` // may be on a private network
	From    uint64   `json:"from"`              // first entry of the log that it is told
}

// Link lets one person in once.
type Link struct {
	ID      string    `json:"id"` // hex SHA-256 of the secret in it
	User    string    `json:"user"`
	Name    string    `json:"name,omitempty"`
	Role    Role      `json:"role"`
	Queue   string    `json:"queue,omitempty"`
	Expires time.Time `json:"expires"`
}

// Session is somebody's signing in, renewed with a cookie.
type Session struct {
	ID      string    `json:"id"` // hex SHA-256 of the cookie
	User    string    `json:"user"`
	Expires time.Time `json:"expires"`
}

// Commands.

// SetUser makes a user or replaces one. An empty Hash keeps the present one.
type SetUser struct{ User User }

// DeleteUser removes a user: the name is free again. Disable instead what should stay away.
type DeleteUser struct{ ID string }

// DisableUser keeps a user, known or not, from doing anything, and closes the sockets. With Enable it is undone.
type DisableUser struct {
	ID     string
	Enable bool
}

// SetQueue makes a queue or replaces it.
type SetQueue struct {
	Queue Queue
	// First makes it only if there is no queue at all; else nothing is changed.
	First bool
}

// DeleteQueue removes a queue in which nobody waits.
type DeleteQueue struct{ ID string }

// SetKey makes an API key.
type SetKey struct{ Key Key }

// DeleteKey removes one.
type DeleteKey struct{ ID string }

// SetHook makes a webhook or replaces it.
type SetHook struct{ Hook Hook }

// DeleteHook removes one.
type DeleteHook struct{ ID string }

// AddLink makes a one-time link.
type AddLink struct{ Link Link }

// UseLink uses it up; the second time it is Expired.
type UseLink struct{ ID string }

// AddSession keeps that somebody has signed in; with Old it takes that one's place (a cookie is good for one renewal).
type AddSession struct {
	Session Session
	Old     string
}

// EndSession signs out.
type EndSession struct{ ID string }

// Audit keeps a note of what somebody did that changes nothing here: signed in, failed to, looked at a recording.
type Audit struct{ Action, Object, Detail string }

// Events.

type (
	userSet     struct{ User User }
	userGone    struct{ ID string }
	userEnabled struct {
		ID       string
		Disabled bool
	}
	queueSet   struct{ Queue Queue }
	queueGone  struct{ ID string }
	keySet     struct{ Key Key }
	keyGone    struct{ ID string }
	hookSet    struct{ Hook Hook }
	hookGone   struct{ ID string }
	linkAdded  struct{ Link Link }
	linkUsed   struct{ ID, User string }
	sessionSet struct {
		Session Session
		Old     string `json:",omitempty"`
	}
	sessionGone struct{ ID, User string }
	audited     struct {
		Action         string
		Object, Detail string `json:",omitempty"`
	}
)

func (*userSet) kind() string     { return "user.set" }
func (*userGone) kind() string    { return "user.deleted" }
func (*userEnabled) kind() string { return "user.enabled" }
func (*queueSet) kind() string    { return "queue.set" }
func (*queueGone) kind() string   { return "queue.deleted" }
func (*keySet) kind() string      { return "key.set" }
func (*keyGone) kind() string     { return "key.deleted" }
func (*hookSet) kind() string     { return "hook.set" }
func (*hookGone) kind() string    { return "hook.deleted" }
func (*linkAdded) kind() string   { return "link.added" }
func (*linkUsed) kind() string    { return "link.used" }
func (*sessionSet) kind() string  { return "session.set" }
func (*sessionGone) kind() string { return "session.ended" }
func (*audited) kind() string     { return "audit" }

func (c *SetUser) decide(s *State) (Result, error) {
	u := c.User
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	old := s.Users.get(u.ID)
	switch {
	case !ValidID(u.ID):
		return Result{}, refuse(Malformed, "a user's ID has 1 to %d letters, digits, dots, underscores and hyphens, and begins with a letter or digit", MaxID)
	case len(u.Name) > MaxName || len(u.Skills) > MaxSkills || len(u.Queues) > MaxQueues:
		return Result{}, refuse(Malformed, "a user has a name of at most %d bytes and at most %d skills", MaxName, MaxSkills)
	case len(u.Roles) == 0:
		return Result{}, refuse(Malformed, "a user has at least one of the roles caller, agent, supervisor, auditor, admin")
	case old == nil && s.Users.len() >= MaxUsers:
		return Result{}, refuse(Limit, "there are %d users, which is the limit: delete those that are gone", MaxUsers)
	}
	for _, r := range u.Roles {
		if !slices.Contains(Roles(), r) {
			return Result{}, refuse(Malformed, "%q is not a role: it is caller, agent, supervisor, auditor or admin", r)
		}
	}
	for _, q := range u.Queues {
		if s.Queues.get(q) == nil {
			return Result{}, refuse(NotFound, "there is no queue %q: make it first", q)
		}
	}
	if old != nil {
		if u.Disabled = old.Disabled; u.Hash == "" { // DisableUser changes the one
			u.Hash = old.Hash
		}
	}
	s.emit(&userSet{u})
	return Result{}, nil
}

func (e *userSet) apply(s *State) {
	if was := s.Users.get(e.User.ID); was != nil && was.Hash != e.User.Hash {
		s.signOut(e.User.ID) // whoever knew the old password
	}
	s.Users.put(e.User.ID, &e.User)
	if r := s.Rooms.edit(e.User.ID); r != nil {
		r.Queues, r.Skills, s.match = e.User.Queues, e.User.Skills, true
	}
}

func (c *DeleteUser) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	if s.Users.get(c.ID) == nil {
		return Result{}, refuse(NotFound, "there is no user %q", c.ID)
	}
	if r := s.Rooms.get(c.ID); r != nil && r.State != RoomClosed {
		return Result{}, refuse(Conflict, "%s has an open room: it has to be closed first", c.ID)
	}
	s.emit(&userGone{c.ID})
	return Result{}, nil
}

func (e *userGone) apply(s *State) {
	s.signOut(e.ID)
	s.Users.remove(e.ID)
	s.Rooms.remove(e.ID)
}

func (c *DisableUser) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	if !ValidID(c.ID) {
		return Result{}, refuse(Malformed, "that is not a user's ID")
	}
	u := s.Users.get(c.ID)
	if u == nil && c.Enable || u != nil && u.Disabled != c.Enable {
		return Result{Again: true}, nil
	}
	if u == nil && s.Users.len() >= MaxUsers {
		return Result{}, refuse(Limit, "there are %d users, which is the limit", MaxUsers)
	}
	s.emit(&userEnabled{c.ID, !c.Enable})
	return Result{}, nil
}

func (e *userEnabled) apply(s *State) {
	if s.Users.get(e.ID) == nil {
		s.Users.put(e.ID, &User{ID: e.ID})
	}
	s.Users.edit(e.ID).Disabled = e.Disabled
	if e.Disabled {
		s.signOut(e.ID)
		s.tell(e.ID, NoticeDisabled, Body{})
	}
}

// signOut ends a user's sessions.
func (s *State) signOut(user string) {
	for id, session := range s.Sessions.m {
		if session.User == user {
			s.Sessions.remove(id)
		}
	}
}

func (c *SetQueue) decide(s *State) (Result, error) {
	q := c.Queue
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	switch {
	case c.First && s.Queues.len() > 0:
		return Result{}, nil
	case !ValidID(q.ID):
		return Result{}, refuse(Malformed, "a queue's ID has 1 to %d letters, digits, dots, underscores and hyphens, and begins with a letter or digit", MaxID)
	case len(q.Name) > MaxName || len(q.Skills) > MaxSkills:
		return Result{}, refuse(Malformed, "a queue has a name of at most %d bytes and at most %d skills", MaxName, MaxSkills)
	case q.Capacity < 0 || q.Capacity > MaxCalls:
		return Result{}, refuse(Malformed, "a queue's capacity is 1 to %d, or 0 for %d", MaxCalls, DefaultCapacity)
	case q.OverflowAfter < 0 || q.Ring < 0 || q.WrapUp < 0 || q.Grace < 0:
		return Result{}, refuse(Malformed, "a queue's times are not negative")
	case q.Overflow != "" && (q.Overflow == q.ID || s.Queues.get(q.Overflow) == nil):
		return Result{}, refuse(NotFound, "there is no other queue %q to overflow to: make it first", q.Overflow)
	case q.OverflowAfter > 0 && q.Overflow == "":
		return Result{}, refuse(Malformed, "overflowAfter needs overflow, a queue to go to")
	case !slices.Contains([]string{"", RecordNever, RecordOnRequest, RecordAlways, RecordMust}, q.Record):
		return Result{}, refuse(Malformed, "record is never, on-request, always or must")
	case q.RetainDays < 0 || q.RetainDays > maxRetain:
		return Result{}, refuse(Malformed, "retainDays is 0 to %d", maxRetain)
	case s.Queues.get(q.ID) == nil && s.Queues.len() >= MaxQueues:
		return Result{}, refuse(Limit, "there are %d queues, which is the limit", MaxQueues)
	}
	s.emit(&queueSet{q})
	return Result{}, nil
}

func (e *queueSet) apply(s *State) {
	s.Queues.put(e.Queue.ID, &e.Queue)
	if s.Lines.get(e.Queue.ID) == nil {
		s.Lines.put(e.Queue.ID, &Line{})
	}
	s.match = true
}

func (c *DeleteQueue) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	if s.Queues.get(c.ID) == nil {
		return Result{}, refuse(NotFound, "there is no queue %q", c.ID)
	}
	if n := len(s.Lines.get(c.ID).Calls); n > 0 {
		return Result{}, refuse(Conflict, "%d wait in queue %q: close it (closed: true) and delete it when they are gone", n, c.ID)
	}
	s.emit(&queueGone{c.ID})
	return Result{}, nil
}

func (e *queueGone) apply(s *State) {
	s.Queues.remove(e.ID)
	s.Lines.remove(e.ID)
	for id, q := range s.Queues.m {
		if q.Overflow == e.ID {
			q := s.Queues.edit(id)
			q.Overflow, q.OverflowAfter = "", 0
		}
	}
	for id, u := range s.Users.m {
		if slices.Contains(u.Queues, e.ID) {
			u := s.Users.edit(id)
			u.Queues = without(u.Queues, e.ID)
		}
	}
}

func (c *SetKey) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	switch {
	case !ValidID(c.Key.ID) || c.Key.Hash == "" || len(c.Key.Name) > MaxName:
		return Result{}, refuse(Malformed, "an API key has an ID, a name of at most %d bytes and scopes", MaxName)
	case s.Keys.get(c.Key.ID) != nil:
		return Result{}, refuse(Conflict, "there is an API key %q: delete it first", c.Key.ID)
	case s.Keys.len() >= MaxKeys:
		return Result{}, refuse(Limit, "there are %d API keys, which is the limit: delete those that are not used", MaxKeys)
	}
	k := c.Key
	k.Made = s.Now
	s.emit(&keySet{k})
	return Result{}, nil
}

func (e *keySet) apply(s *State) { s.Keys.put(e.Key.ID, &e.Key) }

func (c *DeleteKey) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	if s.Keys.get(c.ID) == nil {
		return Result{}, refuse(NotFound, "there is no API key %q", c.ID)
	}
	s.emit(&keyGone{c.ID})
	return Result{}, nil
}

func (e *keyGone) apply(s *State) { s.Keys.remove(e.ID) }

func (c *SetHook) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	switch {
	case !ValidID(c.Hook.ID) || c.Hook.URL == "" || len(c.Hook.URL) > 2048 || c.Hook.Secret == "":
		return Result{}, refuse(Malformed, "a webhook has an ID, a URL and a secret")
	case s.Hooks.get(c.Hook.ID) == nil && s.Hooks.len() >= MaxHooks:
		return Result{}, refuse(Limit, "there are %d webhooks, which is the limit", MaxHooks)
	}
	h := c.Hook
	h.From = s.Seq + 1
	if old := s.Hooks.get(h.ID); old != nil {
		h.From = old.From
	}
	s.emit(&hookSet{h})
	return Result{}, nil
}

func (e *hookSet) apply(s *State) { s.Hooks.put(e.Hook.ID, &e.Hook) }

func (c *DeleteHook) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	if s.Hooks.get(c.ID) == nil {
		return Result{}, refuse(NotFound, "there is no webhook %q", c.ID)
	}
	s.emit(&hookGone{c.ID})
	return Result{}, nil
}

func (e *hookGone) apply(s *State) { s.Hooks.remove(e.ID) }

func (c *AddLink) decide(s *State) (Result, error) {
	if err := s.adminOnly(); err != nil {
		return Result{}, err
	}
	l := c.Link
	switch {
	case l.ID == "" || !ValidID(l.User) || len(l.Name) > MaxName || l.Role != Caller && l.Role != Agent:
		return Result{}, refuse(Malformed, "a link is for a user, as caller or agent")
	case l.Queue != "" && s.Queues.get(l.Queue) == nil:
		return Result{}, refuse(NotFound, "there is no queue %q", l.Queue)
	case !l.Expires.After(s.Now):
		return Result{}, refuse(Malformed, "a link ends in the future")
	case s.Links.len() >= MaxLinks:
		return Result{}, refuse(Limit, "there are %d links that are not used, which is the limit", MaxLinks)
	}
	s.emit(&linkAdded{l})
	return Result{}, nil
}

func (e *linkAdded) apply(s *State) { s.Links.put(e.Link.ID, &e.Link) }

func (c *UseLink) decide(s *State) (Result, error) {
	l := s.Links.get(c.ID)
	if l == nil || !s.Now.Before(l.Expires) {
		return Result{}, refuse(Expired, "the link has been used or is too old: ask for a new one")
	}
	s.emit(&linkUsed{c.ID, l.User})
	return Result{}, nil
}

func (e *linkUsed) apply(s *State) { s.Links.remove(e.ID) }

func (c *AddSession) decide(s *State) (Result, error) {
	if c.Old != "" {
		old := s.Sessions.get(c.Old)
		if old == nil || old.User != c.Session.User || !s.Now.Before(old.Expires) {
			return Result{}, refuse(Denied, "you have been signed out: sign in again")
		}
	}
	if c.Old == "" && s.Sessions.len() >= MaxSessions {
		return Result{}, refuse(Limit, "%d are signed in, which is the limit", MaxSessions)
	}
	s.emit(&sessionSet{c.Session, c.Old})
	return Result{}, nil
}

func (e *sessionSet) apply(s *State) {
	if e.Old != "" {
		s.Sessions.remove(e.Old)
	}
	s.Sessions.put(e.Session.ID, &e.Session)
}

func (c *EndSession) decide(s *State) (Result, error) {
	v := s.Sessions.get(c.ID)
	if v == nil {
		return Result{Again: true}, nil
	}
	s.emit(&sessionGone{c.ID, v.User})
	return Result{}, nil
}

func (e *sessionGone) apply(s *State) { s.Sessions.remove(e.ID) }

func (c *Audit) decide(s *State) (Result, error) {
	if len(c.Action) > MaxName || len(c.Object) > MaxNote || len(c.Detail) > MaxNote {
		return Result{}, refuse(Malformed, "a note in the log has at most %d bytes", MaxNote)
	}
	s.emit(&audited{c.Action, c.Object, c.Detail})
	return Result{}, nil
}

func (*audited) apply(*State) {}

func (s *State) adminOnly() error {
	if !s.actor.Has(Admin) {
		return refuse(Forbidden, "only an admin may do that")
	}
	return nil
}

// ValidID reports whether s can name a user or queue: 1 to MaxID letters, digits, dots, underscores and hyphens, the first a letter or digit.
func ValidID(id string) bool {
	if id == "" || len(id) > MaxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		plain := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !plain && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return id != systemUser
}

// without is a copy of list that lacks v.
func without(list []string, v string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(x string) bool { return x == v })
}
