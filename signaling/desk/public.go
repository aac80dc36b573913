package desk

import "time"

// What webhooks are told.

// Public is an event as backends see it.
type Public struct {
	Kind string // such as call.accepted
	Call string // "" for what belongs to none
	N    uint64 // of the call's: 1, 2, 3, …
	Time time.Time
	Data any
}

// Public lists what backends are told of an entry, in order: calls, messages, rooms, queues and users; never a secret, never a URL. The position in
// the list tells events of one entry apart.
func (e *Entry) Public() []Public {
	var list []Public
	for i := range e.Records {
		r := &e.Records[i]
		p := Public{Kind: r.Kind, N: r.N, Time: e.Time}
		switch v := r.event.(type) {
		case *asked:
			p.Call, p.Data = v.Call, map[string]any{"queue": v.Queue, "user": v.Caller, "name": v.Name, "note": v.Note, "priority": v.Priority}
		case *dialed:
			p.Call, p.Data = v.Call, map[string]any{"user": v.Caller, "to": v.Callee, "name": v.Name, "note": v.Note}
		case *movedQueue:
			p.Call, p.Data = v.Call, map[string]any{"queue": v.Queue}
		case *offered:
			p.Call, p.Data = v.Call, map[string]any{"user": v.Agent, "until": v.Until}
		case *offerEnded:
			p.Call, p.Data = v.Call, map[string]any{"user": v.Agent, "reason": v.Reason}
		case *accepted:
			p.Call, p.Data = v.Call, map[string]any{"user": v.Agent}
		case *callConnected:
			p.Call, p.Data = v.Call, map[string]any{}
		case *linkLost:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User}
		case *linkResumed:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User}
		case *joined:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User, "watches": v.Hidden}
		case *removed:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User, "reason": v.Reason}
		case *transferBegun:
			p.Call, p.Data = v.Call, map[string]any{"by": v.By, "agent": v.Agent, "queue": v.Queue}
		case *transferEnded:
			p.Call, p.Data = v.Call, map[string]any{"reason": v.Reason}
		case *ended:
			p.Call, p.Data = v.Call, map[string]any{"reason": v.Reason, "by": v.By, "note": v.Note}
		case *disposed:
			p.Call, p.Data = v.Call, map[string]any{"user": v.Agent, "disposition": v.Disposition, "note": v.Note}
		case *said:
			p.Call, p.Data = v.Call, map[string]any{"user": v.From, "id": v.ID, "cmd": v.Cmd, "body": v.Body}
		case *recordSet:
			p.Call, p.Data = v.Call, map[string]any{"state": v.State, "reason": v.Reason}
		case *consented:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User, "agree": v.Agree}
		case *recordShot:
			p.Call, p.Data = v.Call, map[string]any{"user": v.User}
		case *recordSeen:
			p.Call, p.Data = v.Call, map[string]any{"head": v.Head}
		case *roomOpened:
			p.Data = map[string]any{"user": v.Agent}
		case *roomClosed:
			p.Data = map[string]any{"user": v.Agent, "reason": v.Reason}
		case *queueSet:
			p.Data = map[string]any{"queue": v.Queue.ID}
		case *queueGone:
			p.Data = map[string]any{"queue": v.ID}
		case *userSet:
			p.Data = map[string]any{"user": v.User.ID, "roles": v.User.Roles}
		case *userGone:
			p.Data = map[string]any{"user": v.ID}
		case *userEnabled:
			p.Data = map[string]any{"user": v.ID, "disabled": v.Disabled}
		default:
			continue
		}
		list = append(list, p)
	}
	return list
}

// The call that an event belongs to, for those that backends are told of.

func (e *asked) call() string         { return e.Call }
func (e *dialed) call() string        { return e.Call }
func (e *movedQueue) call() string    { return e.Call }
func (e *offered) call() string       { return e.Call }
func (e *offerEnded) call() string    { return e.Call }
func (e *accepted) call() string      { return e.Call }
func (e *callConnected) call() string { return e.Call }
func (e *linkLost) call() string      { return e.Call }
func (e *linkResumed) call() string   { return e.Call }
func (e *joined) call() string        { return e.Call }
func (e *removed) call() string       { return e.Call }
func (e *transferBegun) call() string { return e.Call }
func (e *transferEnded) call() string { return e.Call }
func (e *ended) call() string         { return e.Call }
func (e *disposed) call() string      { return e.Call }
func (e *said) call() string          { return e.Call }
func (e *recordSet) call() string     { return e.Call }
func (e *consented) call() string     { return e.Call }
func (e *recordShot) call() string    { return e.Call }
func (e *recordSeen) call() string    { return e.Call }
