package signaling

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"duet/signaling/desk"
)

// What the pages need to know beside the socket: where a caller may wait, what an agent's callers are, how a call was.

// lobbyView is what anybody may know who comes to the server.
type lobbyView struct {
	Queues []lobbyQueue `json:"queues"`
	Dev    bool         `json:"dev,omitempty"` // nobody is set up: all queues are open to everybody, and no password is needed
}

type lobbyQueue struct {
	ID      string `json:"id"`
	Name    string `json:"name,omitempty"`
	Closed  bool   `json:"closed,omitempty"`
	Agents  int    `json:"agents"`  // open desks that serve it
	Waiting int    `json:"waiting"` // callers in line
}

// getLobby lists the queues that are open to everybody; of others not even the names are told.
func getLobby(x *exchange) (any, error) {
	v := lobbyView{Queues: []lobbyQueue{}, Dev: x.cfg.Dev != nil && x.cfg.Dev()}
	x.cfg.Office.View(func(s *desk.State) {
		rooms := s.AllRooms()
		for _, q := range s.AllQueues() {
			if !q.Public && !v.Dev {
				continue
			}
			_, line := s.Queue(q.ID)
			one := lobbyQueue{ID: q.ID, Name: q.Name, Closed: q.Closed, Waiting: len(line.Calls)}
			for _, r := range rooms {
				if r.State != desk.RoomClosed && !r.Closing && serves(r, q) {
					one.Agents++
				}
			}
			v.Queues = append(v.Queues, one)
		}
	})
	return &v, nil
}

// serves reports whether a room's agent takes calls of a queue, as the desk sees it for callers who need no more than the queue does.
func serves(r *desk.Room, q *desk.Queue) bool {
	if len(r.Queues) > 0 && !slices.Contains(r.Queues, q.ID) {
		return false
	}
	return !slices.ContainsFunc(q.Skills, func(skill string) bool { return !slices.Contains(r.Skills, skill) })
}

// deskView is what an agent sees from the desk: the lines that it serves, and to whom a call can be passed on.
type deskView struct {
	Lines      []deskLine  `json:"lines"`
	Colleagues []colleague `json:"colleagues"`
}

type deskLine struct {
	Queue   string       `json:"queue"`
	Name    string       `json:"name,omitempty"`
	Serves  bool         `json:"serves"` // the agent takes its calls
	Waiting int          `json:"waiting"`
	Callers []deskCaller `json:"callers,omitempty"` // the first of a line that the agent serves, without those who call
}

// deskCaller has no ID of the call: whom the server offers it is the server's choice.
type deskCaller struct {
	Name     string    `json:"name,omitempty"`
	Position int       `json:"position"`
	Since    time.Time `json:"since"`
	Note     string    `json:"note,omitempty"`
	Ringing  bool      `json:"ringing,omitempty"` // somebody is being asked
}

type colleague struct {
	Agent string         `json:"agent"`
	Name  string         `json:"name,omitempty"`
	State desk.RoomState `json:"state"` // in the field's terms
}

// What a desk shows at most: a page is looked at, not searched.
const (
	maxDeskCallers    = 20
	maxDeskColleagues = 200
)

func getDesk(x *exchange) (any, error) {
	v := deskView{Lines: []deskLine{}, Colleagues: []colleague{}}
	x.cfg.Office.View(func(s *desk.State) {
		own := s.Room(x.actor.User)
		for _, q := range s.AllQueues() {
			_, line := s.Queue(q.ID)
			one := deskLine{Queue: q.ID, Name: q.Name, Serves: own != nil && serves(own, q), Waiting: len(line.Calls)}
			if one.Serves {
				one.Callers = firstCallers(s, q.ID)
			}
			v.Lines = append(v.Lines, one)
		}
		for _, r := range s.AllRooms() {
			if r.State != desk.RoomClosed && r.Agent != x.actor.User {
				v.Colleagues = append(v.Colleagues, colleague{r.Agent, r.Name, r.State.Field()})
			}
		}
	})
	// Who is free comes first, and is never cut off by those who are not.
	slices.SortStableFunc(v.Colleagues, func(a, b colleague) int { return cmp.Compare(rank(a.State), rank(b.State)) })
	v.Colleagues = v.Colleagues[:min(len(v.Colleagues), maxDeskColleagues)]
	return &v, nil
}

func rank(s desk.RoomState) int {
	if s == desk.RoomIdle {
		return 0
	}
	return 1
}

func firstCallers(s *desk.State, queue string) (list []deskCaller) {
	for _, p := range s.Places(queue, 1, maxDeskCallers) {
		c := s.Call(p.Call)
		list = append(list, deskCaller{c.Name, p.Position, c.Ticket.Since, c.Note, c.Ticket.Offer != ""})
	}
	return list
}

type ratingRequest struct {
	Stars int    `json:"stars"` // 1 to 5
	Text  string `json:"text,omitempty"`
}

const (
	mostStars     = 5
	maxRatingText = 1000 // bytes
)

var errRatingOfOthers = &desk.Error{Code: desk.Forbidden, Text: "only who called may say how the call was"}

// postRating keeps in the log how a call was for its caller; the last that was said counts. A call of somebody else and none at all look the same.
func postRating(x *exchange) (any, error) {
	var r ratingRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	var over *desk.Summary
	x.cfg.Office.View(func(s *desk.State) { over = s.Summary(x.id()) })
	switch {
	case over == nil || over.Caller != x.actor.User:
		return nil, errRatingOfOthers
	case r.Stars < 1 || r.Stars > mostStars || len(r.Text) > maxRatingText:
		return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("stars are 1 to %d, a text has at most %d bytes", mostStars, maxRatingText)}
	case !x.login.allow("rating " + x.actor.User): // lest somebody fill the log
		return nil, errTooMany
	}
	detail := fmt.Sprintf("%d/%d", r.Stars, mostStars)
	if r.Text != "" {
		detail += " " + r.Text
	}
	_, err := x.do(&desk.Audit{Action: "rating", Object: over.ID, Detail: detail})
	return nil, err
}
