package desk

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Entry is one entry of the log: what one commit of one server has changed. Each holds the hash of the one before, so that the log is an audit
// chain: whoever changes an entry has to change all that follow.
type Entry struct {
	Version int       `json:"v"`
	Time    time.Time `json:"t"`
	Node    string    `json:"node"`           // the server
	Batch   uint64    `json:"batch"`          // its own count: how it knows its entry again
	Prev    string    `json:"prev,omitempty"` // hex SHA-256 of the entry before; empty in the first
	Records []Record  `json:"events"`
}

// Record is one event and who caused it.
type Record struct {
	Kind string          `json:"k"`
	By   string          `json:"by,omitempty"`
	N    uint64          `json:"n,omitempty"` // of those of one call that backends are told of: 1, 2, 3, …
	Data json.RawMessage `json:"d"`

	event event
}

// run puts a record's event into effect, and counts it in its call.
func (s *State) run(r *Record) {
	ofCall, ok := r.event.(interface{ call() string })
	if !ok {
		r.event.apply(s)
		return
	}
	if c := s.Calls.edit(ofCall.call()); c != nil {
		c.Events++
		r.N = c.Events
		r.event.apply(s)
		return
	}
	r.event.apply(s)
	if c := s.Calls.edit(ofCall.call()); c != nil { // it has begun the call
		c.Events = 1
		r.N = 1
	} else if sum := s.Ended.edit(ofCall.call()); sum != nil {
		sum.Events++
		r.N = sum.Events
	}
}

// MarshalJSON writes the event into Data.
func (r Record) MarshalJSON() ([]byte, error) {
	type plain Record
	p := plain(r)
	if r.event != nil {
		b, err := json.Marshal(r.event)
		if err != nil {
			return nil, err
		}
		p.Data = b
	}
	return json.Marshal(p)
}

// event is a fact. apply must not fail, and may depend on the state and the event alone: it runs on every server, now and at every start.
type event interface {
	kind() string
	apply(s *State)
}

// entryVersion is written; others are not understood.
const entryVersion = 1

// Encode writes an entry.
func (e *Entry) Encode() ([]byte, error) {
	e.Version = entryVersion
	return json.Marshal(e)
}

// ParseEntry reads one. Events of a kind that is not known are an error: a server must not go on with a state that others do not have.
func ParseEntry(b []byte) (*Entry, error) {
	var e Entry
	if err := json.Unmarshal(b, &e); err != nil {
		return nil, fmt.Errorf("an entry of the log can't be read: %w", err)
	}
	if e.Version != entryVersion {
		return nil, fmt.Errorf("an entry of the log is of version %d, this server knows %d: use the newer server", e.Version, entryVersion)
	}
	for i := range e.Records {
		r := &e.Records[i]
		if r.event = newEvent(r.Kind); r.event == nil {
			return nil, fmt.Errorf("the log has an event %q that this server does not know: use the newer server", r.Kind)
		}
		if err := json.Unmarshal(r.Data, r.event); err != nil {
			return nil, fmt.Errorf("an event %q of the log can't be read: %w", r.Kind, err)
		}
	}
	return &e, nil
}

// Hash is what the next entry's Prev holds.
func Hash(entry []byte) string {
	h := sha256.Sum256(entry)
	return hex.EncodeToString(h[:])
}

// Apply puts an entry of the log into effect; Commit follows.
func (s *State) Apply(e *Entry) {
	if e.Time.After(s.Now) {
		s.Now = e.Time
	}
	for i := range e.Records {
		s.actor = Actor{User: e.Records[i].By}
		s.run(&e.Records[i])
	}
	s.match = false // what was found stands in the entry
}

// Load reads a snapshot that was made with json.Marshal of a State. ok is false for one of another form.
func Load(b []byte, set Settings) (s *State, ok bool) {
	s = New(set)
	if json.Unmarshal(b, s) != nil || s.Version != version {
		return nil, false
	}
	s.save()
	return s, true
}
