package signaling

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"duet/signaling/auth"
	"duet/signaling/desk"
)

// What an admin sets up.

type queueList struct {
	Queues []queueView `json:"queues"`
}

func (x *exchange) viewQueue(id string) (v queueView, ok bool) {
	x.cfg.Office.View(func(s *desk.State) {
		if q, l := s.Queue(id); q != nil {
			v, ok = queueView{*q, len(l.Calls), l.Served}, true
		}
	})
	return v, ok
}

func getQueues(x *exchange) (any, error) {
	list := queueList{Queues: []queueView{}}
	x.cfg.Office.View(func(s *desk.State) {
		for _, q := range s.AllQueues() {
			_, l := s.Queue(q.ID)
			list.Queues = append(list.Queues, queueView{*q, len(l.Calls), l.Served})
		}
	})
	return &list, nil
}

func getQueue(x *exchange) (any, error) {
	v, ok := x.viewQueue(x.id())
	if !ok {
		return nil, notFound("queue", x.id())
	}
	return &v, nil
}

func putQueue(x *exchange) (any, error) {
	var q desk.Queue
	if err := x.read(&q); err != nil {
		return nil, err
	}
	q.ID = x.id()
	if _, err := x.do(&desk.SetQueue{Queue: q}); err != nil {
		return nil, err
	}
	return getQueue(x)
}

func deleteQueue(x *exchange) (any, error) {
	_, err := x.do(&desk.DeleteQueue{ID: x.id()})
	return nil, err
}

// userView is a user without the password's hash.
type userView struct {
	ID       string      `json:"id"`
	Name     string      `json:"name,omitempty"`
	Roles    []desk.Role `json:"roles"`
	Disabled bool        `json:"disabled,omitempty"`
	Queues   []string    `json:"queues,omitempty"`
	Skills   []string    `json:"skills,omitempty"`
	Password bool        `json:"password"` // whether there is one
	Here     bool        `json:"here"`     // whether a socket is open
}

func viewUser(s *desk.State, u *desk.User) userView {
	return userView{u.ID, u.Name, u.Roles, u.Disabled, u.Queues, u.Skills, u.Hash != "", s.Here(u.ID)}
}

type userList struct {
	Users []userView `json:"users"`
}

func getUsers(x *exchange) (any, error) {
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	list := userList{Users: []userView{}}
	x.cfg.Office.View(func(s *desk.State) {
		for _, u := range cut(s.AllUsers(), after, limit) {
			list.Users = append(list.Users, viewUser(s, u))
		}
	})
	return &list, nil
}

func getUser(x *exchange) (any, error) {
	var v *userView
	x.cfg.Office.View(func(s *desk.State) {
		if u := s.User(x.id()); u != nil {
			one := viewUser(s, u)
			v = &one
		}
	})
	if v == nil {
		return nil, notFound("user", x.id())
	}
	return v, nil
}

type userRequest struct {
	Name     string      `json:"name,omitempty"`
	Roles    []desk.Role `json:"roles"`
	Queues   []string    `json:"queues,omitempty"`
	Skills   []string    `json:"skills,omitempty"`
	Password string      `json:"password,omitempty"` // none: as it was
}

func putUser(x *exchange) (any, error) {
	var r userRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	u := desk.User{ID: x.id(), Name: r.Name, Roles: r.Roles, Queues: r.Queues, Skills: r.Skills}
	if r.Password != "" {
		if len(r.Password) < auth.MinPassword || len(r.Password) > auth.MaxPassword {
			return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a password has %d to %d bytes", auth.MinPassword, auth.MaxPassword)}
		}
		if err := x.hashing(func() { u.Hash = auth.HashPassword(r.Password, x.cfg.Cost) }); err != nil {
			return nil, err
		}
	}
	x.cfg.Office.View(func(s *desk.State) { // who is kept out stays out
		old := s.User(u.ID)
		u.Disabled = old != nil && old.Disabled
	})
	if _, err := x.do(&desk.SetUser{User: u}); err != nil {
		return nil, err
	}
	return getUser(x)
}

func deleteUser(x *exchange) (any, error) {
	_, err := x.do(&desk.DeleteUser{ID: x.id()})
	return nil, err
}

func disableUser(x *exchange) (any, error) {
	_, err := x.do(&desk.DisableUser{ID: x.id()})
	return nil, err
}

func enableUser(x *exchange) (any, error) {
	_, err := x.do(&desk.DisableUser{ID: x.id(), Enable: true})
	return nil, err
}

type keyRequest struct {
	ID     string       `json:"id"`
	Name   string       `json:"name,omitempty"`
	Scopes []auth.Scope `json:"scopes"`
}

type keyView struct {
	ID     string    `json:"id"`
	Name   string    `json:"name,omitempty"`
	Scopes []string  `json:"scopes"`
	Made   time.Time `json:"made"`
	Key    string    `json:"key,omitempty"` // shown once, when it is made
}

type keyList struct {
	Keys []keyView `json:"keys"`
}

func getKeys(x *exchange) (any, error) {
	list := keyList{Keys: []keyView{}}
	x.cfg.Office.View(func(s *desk.State) {
		for _, k := range s.AllKeys() {
			list.Keys = append(list.Keys, keyView{ID: k.ID, Name: k.Name, Scopes: k.Scopes, Made: k.Made})
		}
	})
	return &list, nil
}

func postKey(x *exchange) (any, error) {
	var r keyRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	var scopes []string
	for _, s := range r.Scopes {
		if !slices.Contains(auth.Scopes(), s) {
			return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("%.20q is not a scope: it is tokens, urls, calls, audit or admin", s)}
		}
		scopes = append(scopes, string(s))
	}
	var there bool
	x.cfg.Office.View(func(s *desk.State) { there = s.Key(r.ID) != nil })
	switch {
	case there:
		return nil, &desk.Error{Code: desk.Conflict, Text: "there is a key of that ID: delete it first"}
	case len(scopes) == 0:
		return nil, &desk.Error{Code: desk.Malformed, Text: "a key has at least one of the scopes tokens, urls, calls, audit, admin"}
	}
	text, hash := auth.NewKey(r.ID)
	k := desk.Key{ID: r.ID, Name: r.Name, Hash: hash, Scopes: scopes}
	if _, err := x.do(&desk.SetKey{Key: k}); err != nil {
		return nil, err
	}
	return &keyView{ID: k.ID, Name: k.Name, Scopes: scopes, Made: time.Now().UTC().Truncate(time.Second), Key: text}, nil
}

func deleteKey(x *exchange) (any, error) {
	_, err := x.do(&desk.DeleteKey{ID: x.id()})
	return nil, err
}

type hookRequest struct {
	URL     string   `json:"url"`
	Kinds   []string `json:"kinds,omitempty"`
	Private bool     `json:"private,omitempty"`
	Secret  string   `json:"secret,omitempty"` // none: one is made
}

type hookView struct {
	ID      string   `json:"id"`
	URL     string   `json:"url"`
	Kinds   []string `json:"kinds,omitempty"`
	Private bool     `json:"private,omitempty"`
	Secret  string   `json:"secret,omitempty"` // shown once, when it is set
}

type hookList struct {
	Webhooks []hookView `json:"webhooks"`
}

// Lengths of a webhook's secret in bytes: 16 random ones nobody guesses.
const (
	minHookSecret = 16
	maxHookSecret = 256
)

func getHooks(x *exchange) (any, error) {
	list := hookList{Webhooks: []hookView{}}
	x.cfg.Office.View(func(s *desk.State) {
		for _, h := range s.AllHooks() {
			list.Webhooks = append(list.Webhooks, hookView{ID: h.ID, URL: h.URL, Kinds: h.Kinds, Private: h.Private})
		}
	})
	return &list, nil
}

func putHook(x *exchange) (any, error) {
	var r hookRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || !r.Private) || u.User != nil || u.Fragment != "" {
		return nil, &desk.Error{Code: desk.Malformed, Text: "a webhook's URL begins with https:// (http:// only with private: true) and has no user or fragment"}
	}
	if addr, err := netip.ParseAddr(u.Hostname()); err == nil {
		addr = addr.Unmap()
		if !r.Private && (addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast()) {
			return nil, &desk.Error{Code: desk.Malformed, Text: "that address is on a private network: allow it with private: true"}
		}
	}
	if r.Secret != "" && (len(r.Secret) < minHookSecret || len(r.Secret) > maxHookSecret) {
		return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a webhook's secret has %d to %d bytes; without one, one is made", minHookSecret, maxHookSecret)}
	}
	h := desk.Hook{ID: x.id(), URL: r.URL, Kinds: r.Kinds, Private: r.Private, Secret: r.Secret}
	v := hookView{ID: h.ID, URL: h.URL, Kinds: h.Kinds, Private: h.Private, Secret: r.Secret}
	if h.Secret == "" {
		x.cfg.Office.View(func(s *desk.State) {
			if old := s.Hook(h.ID); old != nil {
				h.Secret = old.Secret
			}
		})
	}
	if h.Secret == "" {
		h.Secret, _ = auth.NewSecret()
		v.Secret = h.Secret
	}
	_, err = x.do(&desk.SetHook{Hook: h})
	return &v, err
}

func deleteHook(x *exchange) (any, error) {
	_, err := x.do(&desk.DeleteHook{ID: x.id()})
	return nil, err
}

type replayRequest struct {
	From uint64 `json:"from"` // first entry of the log that is told again
}

func replayHook(x *exchange) (any, error) {
	var r replayRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	var there bool
	x.cfg.Office.View(func(s *desk.State) { there = s.Hook(x.id()) != nil })
	if !there || x.cfg.Replay == nil {
		return nil, notFound("webhook", x.id())
	}
	if r.From == 0 {
		return nil, &desk.Error{Code: desk.Malformed, Text: "from is the seq of an event, from 1"}
	}
	if err := x.cfg.Replay(x.ctx, x.id(), r.From); err != nil {
		return nil, &desk.Error{Code: desk.Unavailable, Text: "it could not be done now: try again in a moment"}
	}
	_, err := x.do(&desk.Audit{Action: "replay", Object: x.id(), Detail: fmt.Sprint(r.From)})
	return nil, err
}
