package desk

// What reads the log beside the state.

// Messages are what was said in a call, as far as this entry has it; their numbers are not set.
func (e *Entry) Messages(call string) (list []Message) {
	for _, r := range e.Records {
		if m, ok := r.event.(*said); ok && m.Call == call {
			list = append(list, Message{From: m.From, ID: m.ID, Cmd: m.Cmd, Body: m.Body, Time: e.Time})
		}
	}
	return list
}

// Redacted is what an auditor may see of an event: not what was said, and no hash of a secret.
func (r Record) Redacted() any {
	switch e := r.event.(type) {
	case *said:
		m := *e
		m.Body = ""
		return m
	case *userSet:
		u := *e
		u.User.Hash = ""
		return u
	case *keySet:
		k := *e
		k.Key.Hash = ""
		return k
	case *hookSet:
		h := *e
		h.Hook.Secret = ""
		return h
	case *linkAdded:
		l := *e
		l.Link.ID = ""
		return l
	case *linkUsed:
		l := *e
		l.ID = ""
		return l
	case *sessionSet:
		v := *e
		v.Session.ID, v.Old = "", ""
		return v
	case *sessionGone:
		v := *e
		v.ID = ""
		return v
	default:
		return e
	}
}
