package desk

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

var zero = time.Date(2026, 1, 2, 9, 0, 0, 0, time.UTC)

// shop is a desk with a second one beside it that has everything from the log alone, as another server has.
type shop struct {
	t       testing.TB
	now     time.Time
	state   *State
	other   *State
	last    string // the state as text
	seq     uint64
	log     [][]byte
	notices []Notice
	floors  []Floor
	nextID  int
	roles   map[string][]Role
}

func newShop(t testing.TB) *shop {
	s := &shop{t: t, now: zero, state: New(Settings{}), other: New(Settings{}), roles: make(map[string][]Role)}
	s.do(System(), &NodeUp{"one", "1"})
	return s
}

// do decides, checks that it can be taken back, and keeps it on both sides.
func (s *shop) do(by Actor, c Command) (Result, error) {
	s.t.Helper()
	if _, err := s.state.Do(s.now, by, c); err != nil && len(s.state.records) > 0 {
		s.t.Fatalf("%T was refused (%v) and has changed something", c, err)
	}
	changed := len(s.state.records) > 0
	s.state.Rollback()
	if changed && s.last != "" {
		if got := s.text(s.state); got != s.last {
			s.t.Fatalf("%T was taken back and has left something:\n%s\n%s", c, s.last, got)
		}
	}
	result, err := s.state.Do(s.now, by, c)
	e := s.state.Entry("one", s.seq, "")
	if e == nil {
		s.state.Rollback()
		return result, err
	}
	b, encErr := e.Encode()
	if encErr != nil {
		s.t.Fatal(encErr)
	}
	parsed, parseErr := ParseEntry(b)
	if parseErr != nil {
		s.t.Fatal(parseErr)
	}
	s.seq++
	s.log = append(s.log, b)
	notices, floors := s.state.Commit(s.seq)
	s.notices, s.floors = append(s.notices, notices...), append(s.floors, floors...)
	s.other.Apply(parsed)
	told, _ := s.other.Commit(s.seq)
	if !slices.EqualFunc(told, notices, func(a, b Notice) bool { return mustJSON(a) == mustJSON(b) }) {
		s.t.Fatalf("%T: the other side tells %s, not %s", c, mustJSON(told), mustJSON(notices))
	}
	s.last = s.text(s.state)
	if b := s.text(s.other); s.last != b {
		s.t.Fatalf("%T: both sides differ:\n%s\n%s", c, s.last, b)
	}
	s.check()
	return result, err
}

func (s *shop) text(st *State) string { return mustJSON(st) }

func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// check holds the state to what must always be so.
func (s *shop) check() {
	s.t.Helper()
	st := s.state
	in := make(map[string]string) // call by agent
	for id, c := range st.Calls.m {
		agents := 0
		for _, p := range c.Parties {
			if c.gated() && c.Kind == KindQueue && (p.MayPush || p.Playing) {
				s.t.Fatalf("%s has media in call %s, which waits for the recorder: %+v", p.User, id, c.Record)
			}
			if p.Role == Agent {
				agents++
				if other := in[p.User]; other != "" {
					s.t.Fatalf("agent %s is in calls %s and %s", p.User, other, id)
				}
				in[p.User] = id
				if r := st.Rooms.get(p.User); r.open() && (r.State != RoomBusy || r.Call != id) {
					s.t.Fatalf("agent %s is in call %s, the room is %s with %q", p.User, id, r.State, r.Call)
				}
			}
			if m := st.Members.get(p.User); m == nil || !slices.Contains(m.Calls, id) {
				s.t.Fatalf("%s is in call %s and the index does not know", p.User, id)
			}
		}
		waits := c.Ticket != nil && c.Ticket.Queue != ""
		for q, l := range st.Lines.m {
			if slices.Contains(l.Calls, id) != (waits && c.Ticket.Queue == q) {
				s.t.Fatalf("call %s with ticket %+v and line %s %v", id, c.Ticket, q, l.Calls)
			}
		}
		if c.State == CallLooking && c.Ticket == nil {
			s.t.Fatalf("call %s waits for nothing", id)
		}
	}
	for q, l := range st.Lines.m {
		if len(l.Calls) > 0 && st.Queues.get(q) == nil {
			s.t.Fatalf("somebody waits in queue %s, which is not there", q)
		}
		for i := 1; i < len(l.Calls); i++ {
			a, b := st.Calls.get(l.Calls[i-1]).Ticket, st.Calls.get(l.Calls[i]).Ticket
			if a.Priority < b.Priority || a.Priority == b.Priority && a.Order >= b.Order {
				s.t.Fatalf("line %s is out of order: %+v before %+v", q, a, b)
			}
		}
	}
	for agent, r := range st.Rooms.m {
		c := st.Calls.get(r.Call)
		switch r.State {
		case RoomRinging:
			if c == nil || c.Ticket == nil || c.Ticket.Offer != agent {
				s.t.Fatalf("room %s rings for %q, which is not offered to it", agent, r.Call)
			}
		case RoomBusy:
			if c == nil || c.Party(agent) == nil {
				s.t.Fatalf("room %s is busy with %q, in which its agent is not", agent, r.Call)
			}
		case RoomIdle, RoomClosed:
			if r.Call != "" {
				s.t.Fatalf("room %s is %s and has call %s", agent, r.State, r.Call)
			}
		case RoomWrapUp:
		}
	}
	for user, m := range st.Members.m {
		for _, id := range m.Calls {
			if c := st.Calls.get(id); c == nil || c.Party(user) == nil && (c.Ticket == nil || c.Ticket.Offer != user) {
				s.t.Fatalf("the index has %s in call %s", user, id)
			}
		}
	}
}

// as is an actor by name: its roles are those of the script.
func (s *shop) as(user string) Actor {
	if user == "system" {
		return System()
	}
	return Actor{User: user, Name: strings.ToUpper(user[:1]) + user[1:], Roles: s.roles[user]}
}

// say runs one line of a script: USER VERB [ARG] [name=value].
func (s *shop) say(line string) string {
	var out bytes.Buffer
	f := strings.Fields(line)
	if len(f) < 2 {
		return fmt.Sprintf("bad line %q\n", line)
	}
	opt := make(map[string]string)
	var args []string
	for _, w := range f[2:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			opt[k] = v
		} else {
			args = append(args, w)
		}
	}
	arg := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	list := func(k string) []string {
		if opt[k] == "" {
			return nil
		}
		return strings.Split(opt[k], ",")
	}
	dur := func(k string) Duration {
		d, _ := time.ParseDuration(opt[k])
		return Duration(d)
	}
	num := func(k string) (n int) { _, _ = fmt.Sscan(opt[k], &n); return n }
	user := f[0]
	var c Command
	switch verb := f[1]; verb {
	case "is":
		s.roles[user] = nil
		for _, r := range args {
			s.roles[user] = append(s.roles[user], Role(r))
		}
		return ""
	case "connects":
		c = &Connect{user + ".1", "one", "1"}
	case "disconnects":
		c = &Disconnect{user + ".1"}
	case "queue":
		c = &SetQueue{First: opt["first"] == "true", Queue: Queue{ID: arg(0), Skills: list("skills"), Capacity: num("capacity"), Overflow: opt["overflow"], OverflowAfter: dur("after"),
			Ring: dur("ring"), WrapUp: dur("wrapup"), Grace: dur("grace"), Closed: opt["closed"] == "true",
			Record: opt["record"], Consent: opt["consent"] == "true"}}
	case "queue-delete":
		c = &DeleteQueue{arg(0)}
	case "user":
		u := User{ID: arg(0), Queues: list("queues"), Skills: list("skills")}
		for _, r := range list("roles") {
			u.Roles = append(u.Roles, Role(r))
		}
		c = &SetUser{u}
	case "disable":
		c = &DisableUser{ID: arg(0)}
	case "open":
		c = &OpenRoom{Queues: list("queues"), Skills: list("skills")}
	case "close":
		c = &CloseRoom{arg(0)}
	case "ready":
		c = &FinishWrapUp{Call: arg(0), Disposition: opt["disposition"]}
	case "asks":
		s.nextID++
		c = &AskQueue{Call: fmt.Sprintf("c%d", s.nextID), Queue: arg(0), Priority: num("priority"), Skills: list("skills")}
	case "dials":
		s.nextID++
		c = &AskUser{Call: fmt.Sprintf("c%d", s.nextID), User: arg(0)}
	case "accepts":
		c = &Accept{arg(0)}
	case "declines":
		c = &Decline{arg(0)}
	case "hangs-up":
		c = &HangUp{arg(0)}
	case "ends":
		c = &End{Call: arg(0), Reason: opt["reason"]}
	case "media":
		who := Media{Call: arg(0), User: user, Pushing: slices.Contains(args, "push"), Playing: slices.Contains(args, "play")}
		user, c = "system", &who
	case "transfers":
		c = &Transfer{Call: arg(0), Agent: opt["agent"], Queue: opt["queue"]}
	case "keeps":
		c = &CancelTransfer{arg(0)}
	case "consents":
		c = &Consent{arg(0), arg(1) == "yes"}
	case "records":
		c = &StartRecording{arg(0)}
	case "stops-recording":
		c = &StopRecording{arg(0)}
	case "recorder":
		c = &RecordReport{Call: arg(0), State: RecordState(arg(1)), Reason: opt["reason"]}
	case "shoots":
		c = &Snapshot{arg(0)}
	case "watches":
		c = &Watch{arg(0)}
	case "joins":
		c = &Join{arg(0)}
	case "leaves":
		c = &Leave{arg(0)}
	case "removes":
		c = &Remove{arg(0), arg(1)}
	case "says":
		c = &Say{Call: arg(0), ID: opt["id"], Body: strings.Join(args[1:], " ")}
	case "seen":
		c = &Seen{Call: arg(0), Delivered: uint64(num("delivered")), Read: uint64(num("read"))}
	case "tick":
		if d, err := time.ParseDuration(arg(0)); err == nil {
			for end := s.now.Add(d); s.now.Before(end); {
				s.now = s.now.Add(min(100*time.Millisecond, end.Sub(s.now)))
				_, _ = s.do(System(), &Tick{})
				s.print(&out)
			}
			return out.String()
		}
		c = &Tick{}
	case "node-down":
		c = &NodeDown{"one", "1"}
	case "node-up":
		c = &NodeUp{"one", "1"}
	default:
		return fmt.Sprintf("unknown verb %q\n", verb)
	}
	result, err := s.do(s.as(user), c)
	if err != nil {
		fmt.Fprintf(&out, "! %v\n", err)
	} else if result.Again {
		fmt.Fprintf(&out, "= again %s\n", strings.TrimSpace(result.Call))
	}
	s.print(&out)
	return out.String()
}

// print shows what was told, with the time since the beginning.
func (s *shop) print(out *bytes.Buffer) {
	at := s.now.Sub(zero)
	for _, n := range s.notices {
		fmt.Fprintf(out, "%6.1fs %s: %s", at.Seconds(), n.To, n.Kind)
		var m map[string]any
		b := n.Body
		b.Since, b.Until = nil, nil
		if b.Message != nil {
			fmt.Fprintf(out, " %d %s %q", b.Message.N, b.Message.From, b.Message.Body)
			b.Message = nil
		}
		_ = json.Unmarshal([]byte(mustJSON(b)), &m)
		keys := make([]string, 0, len(m))
		for k := range m {
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			if k != "stream" {
				fmt.Fprintf(out, " %s=%v", k, m[k])
			}
		}
		if g := n.Grant; g != nil {
			what := "play"
			if g.Push {
				what = "push"
			}
			fmt.Fprintf(out, " [%s %s epoch %d]", what, g.Stream, g.Epoch)
		}
		fmt.Fprintln(out)
	}
	for _, f := range s.floors {
		fmt.Fprintf(out, "%6.1fs relay: call %s epoch %d, members %v\n", at.Seconds(), f.Call, f.Epoch, f.Members)
	}
	s.notices, s.floors = nil, nil
}
