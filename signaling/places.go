package signaling

import (
	"context"
	"sync"
	"time"

	"duet/signaling/desk"
	"duet/signaling/office"
)

// Callers are told their place in line: the first placesAtOnce at every change, the others at most every placesEvery.
const (
	placesAtOnce = 20
	placesEvery  = 2 * time.Second
	placesPause  = 20 * time.Millisecond // at least, between two looks
	estimateStep = 5 * time.Second       // an estimate that changed by less is no news
)

// placeView is queue.position.
type placeView struct {
	Type     string `json:"type"`
	Call     string `json:"call"`
	Queue    string `json:"queue"`
	Position int    `json:"position"`
	Of       int    `json:"of"`
	Agents   int    `json:"agents"`
	Estimate *int   `json:"estimate,omitempty"` // seconds
}

func viewPlace(p *desk.Place) *placeView {
	v := &placeView{Type: "queue.position", Call: p.Call, Queue: p.Queue, Position: p.Position, Of: p.Of, Agents: p.Agents}
	if p.Known {
		seconds := int(p.Estimate.Round(estimateStep).Seconds())
		v.Estimate = &seconds
	}
	return v
}

// same reports whether a caller would see no difference. How many wait behind is of interest to the first, and would be news to all with every caller that comes.
func (v *placeView) same(w *placeView) bool {
	if v == nil || w == nil {
		return v == w
	}
	if v.Call != w.Call || v.Queue != w.Queue || v.Position != w.Position || v.Of != w.Of && v.Position <= placesAtOnce {
		return false
	}
	if v.Estimate == nil || w.Estimate == nil {
		return v.Estimate == w.Estimate
	}
	return *v.Estimate == *w.Estimate
}

// places tells all callers in line where they are. One goroutine does it for all.
type places struct {
	office *office.Office

	mu    sync.Mutex
	users map[string]map[*socket]*placeView // what each was told last
}

func newPlaces(o *office.Office) *places {
	return &places{office: o, users: make(map[string]map[*socket]*placeView)}
}

func (p *places) enter(k *socket) {
	user := k.actor().User
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[user] == nil {
		p.users[user] = make(map[*socket]*placeView)
	}
	p.users[user][k] = nil
}

func (p *places) leave(k *socket) {
	user := k.actor().User
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.users[user], k)
	if len(p.users[user]) == 0 {
		delete(p.users, user)
	}
}

// forget what a socket was told: its call has left the line.
func (p *places) forget(k *socket) {
	user := k.actor().User
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.users[user] != nil {
		p.users[user][k] = nil
	}
}

func (p *places) run(ctx context.Context) {
	changes, stop := p.office.Changes()
	defer stop()
	tick := time.NewTicker(placesEvery)
	defer tick.Stop()
	for {
		most := placesAtOnce
		select {
		case <-ctx.Done():
			return
		case <-changes:
		case <-tick.C:
			most = desk.MaxCalls
		}
		p.look(most)
		select {
		case <-ctx.Done():
			return
		case <-time.After(placesPause):
		}
	}
}

// look tells the first of every line what has changed for them.
func (p *places) look(most int) {
	var lists [][]desk.Place
	p.office.View(func(s *desk.State) {
		for _, q := range s.AllQueues() {
			if list := s.Places(q.ID, 1, most); len(list) > 0 {
				lists = append(lists, list)
			}
		}
	})
	type news struct {
		k *socket
		v *placeView
	}
	var all []news
	p.mu.Lock()
	for _, list := range lists {
		for i := range list {
			sockets := p.users[list[i].Caller]
			if len(sockets) == 0 {
				continue
			}
			v := viewPlace(&list[i])
			for k, last := range sockets {
				if !v.same(last) {
					sockets[k] = v
					all = append(all, news{k, v})
				}
			}
		}
	}
	p.mu.Unlock()
	for _, n := range all {
		n.k.position(n.v)
	}
}

// now tells a caller's sockets the place at once: they have just come, or are in another line.
func (p *places) now(k *socket) {
	var v *placeView
	user := k.actor().User
	p.office.View(func(s *desk.State) {
		for _, c := range s.CallsOf(user) {
			if place, ok := s.PlaceOf(c.ID); ok && c.Caller == user {
				v = viewPlace(&place)
			}
		}
	})
	if v == nil {
		return
	}
	p.mu.Lock()
	told := v.same(p.users[user][k])
	if p.users[user] != nil {
		p.users[user][k] = v
	}
	p.mu.Unlock()
	if !told {
		k.position(v)
	}
}

// position tells a caller's place. A socket that does not take it is dead, and must not hold up the others.
func (k *socket) position(v *placeView) {
	select {
	case k.news <- v:
	default: // it has not taken the one before: the newest is told when it does
		select {
		case <-k.news:
		default:
		}
		select {
		case k.news <- v:
		default:
		}
	}
}

// tellPlace hands out places.
func (k *socket) tellPlace() {
	for {
		select {
		case <-k.ctx.Done():
			return
		case v := <-k.news:
			if k.write(v) != nil {
				return
			}
		}
	}
}
