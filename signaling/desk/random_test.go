package desk

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "run the random test with this seed only")

// TestRandom lets callers, agents and supervisors do whatever comes to their minds. What must always be so is checked after every command, as is
// that a command can be taken back and that another server gets the same state from the log.
func TestRandom(t *testing.T) {
	from, to := uint64(1), uint64(10)
	if *seedFlag != 0 {
		from, to = *seedFlag, *seedFlag
	}
	for seed := from; seed <= to; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			defer func() {
				if t.Failed() {
					t.Logf("go test ./signaling/desk -run TestRandom -seed=%d", seed)
				}
			}()
			random(t, seed)
		})
	}
}

func random(t *testing.T, seed uint64) {
	s := newShop(t)
	r := rand.New(rand.NewPCG(seed, 1))
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	s.roles["boss"], s.roles["sue"] = []Role{Admin}, []Role{Supervisor}
	agents, callers := []string{"anna", "bert", "cleo"}, []string{"u", "v", "w", "x", "y", "z"}
	everybody := append([]string{"sue", "boss"}, append(agents, callers...)...)
	for _, a := range agents {
		s.roles[a] = []Role{Agent}
	}
	for _, c := range callers {
		s.roles[c] = []Role{Caller}
	}
	s.say("boss queue one record=must")
	s.say("boss queue two record=always consent=true wrapup=3s capacity=3 overflow=one after=20s skills=loans")
	for range 1500 {
		call := fmt.Sprintf("c%d", max(1, s.nextID-r.IntN(6)))
		user := everybody[r.IntN(len(everybody))]
		agent, caller := agents[r.IntN(len(agents))], callers[r.IntN(len(callers))]
		var line string
		switch r.IntN(27) {
		case 0, 1:
			line = user + " connects"
		case 2:
			line = user + " disconnects"
		case 3, 4:
			line = agent + " open skills=" + pick("", "loans")
		case 5:
			line = pick(agent, "sue") + " close " + pick("", agent)
		case 6, 7, 8:
			line = fmt.Sprintf("%s asks %s priority=%d", caller, pick("one", "two"), r.IntN(3))
		case 9:
			line = user + " dials " + pick(everybody...)
		case 10, 11, 12:
			line = agent + " accepts " + call
		case 13:
			line = pick(agent, caller) + pick(" declines ", " hangs-up ") + call
		case 14, 15, 16:
			line = pick(agent, caller) + " media " + call + pick("", " push", " push play", " push play")
		case 17:
			line = agent + " transfers " + call + pick(" queue=one", " queue=two", " agent="+pick(agents...))
		case 18:
			line = pick("sue", agent) + pick(" watches ", " joins ", " leaves ", " keeps ", " ready ", " ends ") + call
		case 19:
			line = user + " says " + call + " id=" + pick("1", "2", "3") + " text"
		case 20:
			line = user + " seen " + call + " read=1"
		case 21:
			line = "clock tick " + pick("200ms", "2s", "25s")
		case 22:
			line = pick("sue", agent) + " removes " + call + " " + pick(everybody...)
		case 23:
			if r.IntN(20) == 0 {
				s.say("system node-down")
				s.say("system node-up")
			}
			line = "boss disable " + pick("nobody", "u")
		case 24, 25:
			line = pick("system recorder "+call+pick(" recording", " recording", " failed"), caller+" consents "+call+pick(" yes", " yes", " no"))
		case 26:
			line = agent + pick(" records ", " stops-recording ", " shoots ") + call
		}
		s.say(line)
		if s.now = s.now.Add(time.Duration(r.IntN(500)) * time.Millisecond); r.IntN(100) == 0 {
			s.reload()
		}
	}
	for _, u := range everybody { // all leave: nothing is left of them
		s.say(u + " disconnects")
	}
	s.say("clock tick 3m")
	st := s.state
	if n := st.Calls.len() + st.Members.len() + st.Present.len(); n > 0 {
		t.Errorf("all have left, and there are calls %s, members %s, present %s", mustJSON(st.Calls), mustJSON(st.Members), mustJSON(st.Present))
	}
	for _, room := range st.AllRooms() {
		if room.State != RoomClosed {
			t.Errorf("all have left, and room %s is %s", room.Agent, room.State)
		}
	}
	if again := s.replay(); mustJSON(again) != mustJSON(st) {
		t.Error("the log gives another state than the one that wrote it")
	}
	if len(st.EndedAt) < 20 {
		t.Errorf("only %d calls: the test has become too tame", len(st.EndedAt))
	}
}

// reload goes on with the state from a snapshot.
func (s *shop) reload() {
	b, err := json.Marshal(s.state.Freeze())
	if err != nil {
		s.t.Fatal(err)
	}
	loaded, ok := Load(b, Settings{})
	if !ok || mustJSON(loaded) != mustJSON(s.state) {
		s.t.Fatal("a snapshot gives another state")
	}
	s.state = loaded
}

// replay makes the state out of the log.
func (s *shop) replay() *State {
	st := New(Settings{})
	for i, b := range s.log {
		e, err := ParseEntry(b)
		if err != nil {
			s.t.Fatal(err)
		}
		st.Apply(e)
		st.Commit(uint64(i + 1))
	}
	return st
}

func TestSnapshotOfAnotherVersion(t *testing.T) {
	b := strings.Replace(mustJSON(New(Settings{})), `"version":1`, `"version":2`, 1)
	if _, ok := Load([]byte(b), Settings{}); ok {
		t.Error("a snapshot of another version was taken")
	}
}

func TestEntriesOfLaterServers(t *testing.T) {
	for _, b := range []string{`{"v":2,"events":[]}`, `{"v":1,"events":[{"k":"later"}]}`, `{"v":1,"events":[{"k":"call.asked","d":7}]}`, `{`} {
		if _, err := ParseEntry([]byte(b)); err == nil {
			t.Errorf("%s was understood", b)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	s := newShop(f)
	s.roles["boss"] = []Role{Admin}
	s.say("boss queue one")
	for _, b := range s.log {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEntry(b)
		if err != nil {
			return
		}
		again, err := e.Encode()
		if err != nil {
			t.Fatal(err)
		}
		e2, err := ParseEntry(again)
		if err != nil {
			t.Fatalf("what was written can't be read: %v", err)
		}
		third, _ := e2.Encode()
		if string(third) != string(again) {
			t.Fatalf("%s\n%s", again, third)
		}
	})
}
