package signaling

import (
	"slices"

	"duet/signaling/desk"
)

// stateOf is what a user is told who begins, or who has been away for too long.
type stateOf struct {
	Room  *roomView   `json:"room,omitempty"`
	Calls []*callView `json:"calls"`
	URLs  []*event    `json:"urls"`
	Place *placeView  `json:"place,omitempty"`

	grants []desk.Notice
}

type roomView struct {
	desk.Room
	Field desk.RoomState `json:"field"`
}

func viewRoom(r *desk.Room) *roomView {
	if r == nil {
		return nil
	}
	return &roomView{*r, r.State.Field()}
}

// callView is a call as a party or a supervisor sees it: without URLs, and without those who watch.
type callView struct {
	ID       string         `json:"id"`
	Kind     string         `json:"kind"`
	Queue    string         `json:"queue,omitempty"`
	Caller   string         `json:"caller"`
	Name     string         `json:"name,omitempty"`
	Note     string         `json:"note,omitempty"`
	State    desk.CallState `json:"state"`
	Created  string         `json:"created"`
	Offered  string         `json:"offered,omitempty"` // who is being asked
	Transfer bool           `json:"transfer,omitempty"`
	Parties  []partyView    `json:"parties"`
	Messages []desk.Message `json:"messages,omitempty"`

	Record desk.Recording `json:"record"`
}

type partyView struct {
	User      string    `json:"user"`
	Name      string    `json:"name,omitempty"`
	Role      desk.Role `json:"role"`
	Hidden    bool      `json:"hidden,omitempty"`
	Pushing   bool      `json:"pushing"`
	Playing   bool      `json:"playing"`
	Lost      bool      `json:"lost,omitempty"`
	Delivered uint64    `json:"delivered"`
	Read      uint64    `json:"read"`
}

const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// viewCall shows a call. messages: with what was said; hidden: with those who watch.
func viewCall(c *desk.Call, messages, hidden bool) *callView {
	v := &callView{
		ID: c.ID, Kind: c.Kind, Queue: c.Queue, Caller: c.Caller, Name: c.Name, Note: c.Note, State: c.State, Created: c.Created.Format(timeFormat), Parties: []partyView{},
		Record: c.Record,
	}
	if t := c.Ticket; t != nil {
		v.Offered, v.Transfer = t.Offer, t.Transfer != ""
	}
	for i := range c.Parties {
		p := &c.Parties[i]
		if !p.Hidden || hidden {
			v.Parties = append(v.Parties, partyView{p.User, p.Name, p.Role, p.Hidden, p.Pushing, p.Playing, !p.Lost.IsZero(), p.Delivered, p.Read})
		}
	}
	if messages {
		v.Messages = c.MessagesAfter(0)
	}
	return v
}

// stateFor is what a user is told at the beginning.
func stateFor(s *desk.State, who desk.Actor) *stateOf {
	v := &stateOf{Room: viewRoom(s.Room(who.User)), Calls: []*callView{}, URLs: []*event{}, grants: s.Grants(who.User)}
	for _, c := range s.CallsOf(who.User) {
		p := c.Party(who.User)
		v.Calls = append(v.Calls, viewCall(c, p != nil && !p.Hidden, p != nil && p.Hidden))
		if place, ok := s.PlaceOf(c.ID); ok && c.Caller == who.User {
			v.Place = viewPlace(&place)
		}
	}
	return v
}

// withURLs adds the URLs.
func (v *stateOf) withURLs(mint func(desk.Grant) (string, error)) (*stateOf, error) {
	for i := range v.grants {
		n := &v.grants[i]
		url, err := mint(*n.Grant)
		if err != nil {
			return v, err
		}
		v.URLs = append(v.URLs, &event{Type: n.Kind, Body: n.Body, URL: url})
	}
	return v, nil
}

// member finds a call that the user is in. There is no other answer for a call that does not exist.
func (k *socket) member(id string) (c *desk.Call, err error) {
	user := k.actor().User
	k.all.cfg.Office.View(func(s *desk.State) { c = s.Call(id) })
	if c == nil || c.Party(user) == nil {
		return nil, &desk.Error{Code: desk.NotMember, Text: "you are not in that call"}
	}
	return c, nil
}

func (k *socket) urls(r *urlsRequest) (any, error) {
	if _, err := k.member(r.Call); err != nil {
		return nil, err
	}
	var v stateOf
	user := k.actor().User
	k.all.cfg.Office.View(func(s *desk.State) { v.grants = s.Grants(user) })
	v.grants = slices.DeleteFunc(v.grants, func(n desk.Notice) bool { return n.Body.Call != r.Call })
	v.URLs = []*event{}
	if _, err := v.withURLs(k.all.cfg.URLs); err != nil {
		return nil, &desk.Error{Code: desk.Unavailable, Text: "there is no relay at present: try again in a moment"}
	}
	return map[string]any{"urls": v.URLs}, nil
}

func (k *socket) messages(r *messagesRequest) (any, error) {
	c, err := k.member(r.Call)
	if err != nil {
		return nil, err
	}
	list := c.MessagesAfter(r.After)
	if list == nil || c.Party(k.actor().User).Hidden {
		list = []desk.Message{}
	}
	return map[string]any{"messages": list}, nil
}

// oversees refuses who is no supervisor.
func (k *socket) oversees() error {
	if !k.actor().Has(desk.Supervisor) {
		return &desk.Error{Code: desk.Forbidden, Text: "only a supervisor sees what is not their own"}
	}
	return nil
}

func (k *socket) rooms() (any, error) {
	if err := k.oversees(); err != nil {
		return nil, err
	}
	list := []*roomView{}
	k.all.cfg.Office.View(func(s *desk.State) {
		for _, r := range s.AllRooms() {
			list = append(list, viewRoom(r))
		}
	})
	return map[string]any{"rooms": list}, nil
}

type queueView struct {
	desk.Queue
	Waiting int `json:"waiting"`
	Served  int `json:"served"`
}

func (k *socket) queues() (any, error) {
	if err := k.oversees(); err != nil {
		return nil, err
	}
	list := []queueView{}
	k.all.cfg.Office.View(func(s *desk.State) {
		for _, q := range s.AllQueues() {
			_, l := s.Queue(q.ID)
			list = append(list, queueView{*q, len(l.Calls), l.Served})
		}
	})
	return map[string]any{"queues": list}, nil
}

func (k *socket) list() (any, error) {
	if err := k.oversees(); err != nil {
		return nil, err
	}
	list := []*callView{}
	k.all.cfg.Office.View(func(s *desk.State) {
		for _, c := range s.AllCalls() {
			list = append(list, viewCall(c, false, true))
		}
	})
	return map[string]any{"calls": list}, nil
}
