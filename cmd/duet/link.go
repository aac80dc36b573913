package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"duet/crypto"
	"duet/relay"
	"duet/signaling"
	"duet/signaling/desk"
	"duet/signaling/store"
)

// How signaling and relay meet: tokens that one mints and the other verifies, sessions that one sees and the other is told of, and floors.
// In one process these are calls; apart they go over NATS.

// mediaSide is the relay, seen from signaling.
type mediaSide interface {
	floor(f desk.Floor) // is brought to the relay, however long it takes; it must not block
	url(g desk.Grant) (string, error)
	run(ctx context.Context, w *mediaWatch)
	record(recordOrders)                                       // brings orders to the recorder
	carried(ctx context.Context) (*signaling.MediaView, error) // nil: this process has no relay
}

// grantURL makes a URL for a grant.
func grantURL(tokens *crypto.TokenKeys, host string, key crypto.PublicKey, g desk.Grant, valid time.Duration) (string, error) {
	action := crypto.ActionPlay
	if g.Push {
		action = crypto.ActionPush
	}
	token, err := tokens.Mint(crypto.Token{Action: action, Stream: g.Stream, Call: g.Call, Party: g.Party, Epoch: g.Epoch, Expiry: time.Now().Add(valid)})
	if err != nil {
		return "", err
	}
	return crypto.URL{Host: host, Stream: g.Stream, Key: key, Token: token}.String(), nil
}

// floors are to be brought to one relay: the newest of each call.
type floors struct {
	mu      sync.Mutex
	pending map[string]desk.Floor
	wake    chan struct{}
}

func newFloors() *floors {
	return &floors{pending: make(map[string]desk.Floor), wake: make(chan struct{}, 1)}
}

func (f *floors) add(d desk.Floor) {
	f.mu.Lock()
	if old, ok := f.pending[d.Call]; !ok || old.Epoch <= d.Epoch {
		f.pending[d.Call] = d
	}
	f.mu.Unlock()
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

func (f *floors) take() []desk.Floor {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]desk.Floor, 0, len(f.pending))
	for _, d := range f.pending {
		list = append(list, d)
	}
	clear(f.pending)
	return list
}

const (
	floorRetry   = 200 * time.Millisecond
	floorTimeout = 2 * time.Second
	floorAtOnce  = 64
)

// bring applies floors until ctx ends; what fails is tried again.
func (f *floors) bring(ctx context.Context, log *slog.Logger, apply func(context.Context, desk.Floor) error) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.wake:
		}
		list, failed := f.take(), false
		for len(list) > 0 {
			n := min(len(list), floorAtOnce)
			var wg sync.WaitGroup
			var mu sync.Mutex
			for _, d := range list[:n] {
				wg.Go(func() {
					one, cancel := context.WithTimeout(ctx, floorTimeout)
					defer cancel()
					if err := apply(one, d); err != nil {
						log.Warn("the relay can't be told who may no longer push and play; it is tried again", "call", d.Call, "error", err)
						f.add(d)
						mu.Lock()
						failed = true
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			list = list[n:]
		}
		if failed {
			select {
			case <-ctx.Done():
				return
			case <-time.After(floorRetry):
			}
		}
	}
}

// localMedia is a relay in this process.
type localMedia struct {
	relay   *relay.Server
	tokens  *crypto.TokenKeys
	key     crypto.PublicKey
	host    func() string // what clients are told
	valid   time.Duration
	log     *slog.Logger
	floors  *floors
	changed <-chan struct{} // the relay's sessions
	keeper  *keeper
}

func (l *localMedia) floor(f desk.Floor) { l.floors.add(f) }

func (l *localMedia) record(list recordOrders) { l.keeper.follow(list) }

// carried is what the relay counts.
func (l *localMedia) carried(ctx context.Context) (*signaling.MediaView, error) {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	st, err := l.relay.Stats(ctx)
	if err != nil {
		return nil, &desk.Error{Code: desk.Unavailable, Text: "the relay does not answer: try again in a moment"}
	}
	v := &signaling.MediaView{
		Sessions: st.Sessions, Streams: st.Streams, Players: st.Players, BytesIn: st.BytesIn, BytesOut: st.BytesOut, Packets: st.Sent.PacketsSent,
		Retransmits: st.Sent.Retransmits, Repairs: st.Sent.RepairsSent, CPU: processCPU("self").Seconds(),
	}
	for end, n := range st.Delay.Octaves() {
		v.Delay = append(v.Delay, signaling.MediaDelay{Milli: float64(end) / float64(time.Millisecond), Packets: n})
	}
	return v, nil
}

func (l *localMedia) url(g desk.Grant) (string, error) {
	return grantURL(l.tokens, l.host(), l.key, g, l.valid)
}

func (l *localMedia) run(ctx context.Context, w *mediaWatch) {
	var wg sync.WaitGroup
	wg.Go(func() { l.floors.bring(ctx, l.log, l.apply) })
	followSessions(ctx, l.relay, l.changed, func(list []mediaSession) { w.note("here", list) })
	wg.Wait()
}

func (l *localMedia) apply(ctx context.Context, f desk.Floor) error {
	return l.relay.Apply(ctx, relayFloor(f))
}

func relayFloor(f desk.Floor) relay.Floor {
	return relay.Floor{Call: f.Call, Epoch: f.Epoch, Members: f.Members, Expires: f.Expires}
}

// followSessions tells of a relay's sessions at every change and every second, until ctx ends.
func followSessions(ctx context.Context, r *relay.Server, changed <-chan struct{}, tell func([]mediaSession)) {
	tick := time.NewTicker(mediaEvery)
	defer tick.Stop()
	for {
		infos, err := r.Sessions(ctx)
		if err == nil {
			list := make([]mediaSession, 0, len(infos))
			for _, s := range infos {
				list = append(list, mediaSession{Call: s.Call, User: s.Party, Push: s.Push, Silent: s.Silent})
			}
			tell(list)
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}

// Apart: what goes over NATS.

const (
	subjectSessions = "relay.sessions" // a relay's relayReport
	subjectFloor    = "relay.floor."   // + the relay's name: a floor, answered with relayAnswer
	subjectWho      = "relay.who"      // asks all relays for a report
	subjectOrders   = "record.orders." // + the relay's name: recordOrders
	subjectRecorded = "record.status"  // a relay's recordStatus
)

type relayReport struct {
	Relay    string         `json:"relay"`
	Life     string         `json:"life"` // another at each start
	UDP      string         `json:"udp"`  // what clients are told
	Key      string         `json:"key"`
	Tokens   uint32         `json:"tokens"` // ID of its token key
	Sessions []mediaSession `json:"sessions,omitempty"`
}

type relayAnswer struct {
	Error string `json:"error,omitempty"`
}

// serveRelay is a relay's side: it tells of its sessions and takes floors, until ctx ends.
func serveRelay(ctx context.Context, st *store.Store, r *relay.Server, k *keeper, changed <-chan struct{}, me relayReport, log *slog.Logger) error {
	stop, err := st.Subscribe(subjectFloor+me.Relay, func(_ string, b []byte, reply func([]byte)) {
		var f desk.Floor
		var a relayAnswer
		err := json.Unmarshal(b, &f)
		if err == nil {
			one, cancel := context.WithTimeout(ctx, floorTimeout)
			defer cancel()
			err = r.Apply(one, relayFloor(f))
		}
		if err != nil {
			a.Error = err.Error()
		}
		text, _ := json.Marshal(a) // a string always can be
		reply(text)
	})
	if err != nil {
		return err
	}
	defer stop()
	orders, err := st.Subscribe(subjectOrders+me.Relay, func(_ string, b []byte, _ func([]byte)) {
		var list recordOrders
		if json.Unmarshal(b, &list) == nil {
			k.follow(list)
		}
	})
	if err != nil {
		return err
	}
	defer orders()
	asked := make(chan struct{}, 1)
	tellNow := func() {
		select {
		case asked <- struct{}{}:
		default:
		}
	}
	quiet, err := st.Subscribe(subjectWho, func(string, []byte, func([]byte)) { tellNow() })
	if err != nil {
		return err
	}
	defer quiet()
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-changed:
				tellNow()
			}
		}
	}()
	followSessions(ctx, r, asked, func(list []mediaSession) {
		me.Sessions = list
		b, err := json.Marshal(me)
		if err == nil {
			err = st.Publish(subjectSessions, b)
		}
		if err != nil {
			log.Warn("signaling can't be told of sessions", "error", err)
		}
	})
	return nil
}

// remoteMedia is one or more relays in other processes.
type remoteMedia struct {
	store  *store.Store
	tokens *crypto.TokenKeys
	keyID  uint32
	valid  time.Duration
	log    *slog.Logger
	all    func() []desk.Floor // that are in force
	heard  func(recordStatus)

	mu     sync.Mutex
	relays map[string]*remoteRelay
}

type remoteRelay struct {
	report relayReport
	at     time.Time
	floors *floors
	stop   context.CancelFunc
}

func (m *remoteMedia) floor(f desk.Floor) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.relays {
		r.floors.add(f)
	}
}

var errNoRelay = errors.New("no relay is there at present")

func (m *remoteMedia) url(g desk.Grant) (string, error) {
	text, err := m.tryURL(g)
	for end := time.Now().Add(relayPatience); errors.Is(err, errNoRelay) && time.Now().Before(end); {
		time.Sleep(relayPoll) // we have just started, or it has
		text, err = m.tryURL(g)
	}
	return text, err
}

const (
	relayPatience = 3 * time.Second
	relayPoll     = 20 * time.Millisecond
)

// best is the relay that calls meet at, "" if there is none; the lock is held.
func (m *remoteMedia) best() (best string) {
	for name, r := range m.relays { // all take the same one: a call's streams have to meet
		if time.Since(r.at) < mediaStale && (best == "" || name < best) {
			best = name
		}
	}
	return best
}

// record publishes orders; what is lost comes again in a second.
func (*remoteMedia) carried(context.Context) (*signaling.MediaView, error) { return nil, nil } //nolint:nilnil // as the interface says

func (m *remoteMedia) record(list recordOrders) {
	m.mu.Lock()
	best := m.best()
	m.mu.Unlock()
	if best == "" {
		return
	}
	b, err := json.Marshal(list)
	if err == nil {
		err = m.store.Publish(subjectOrders+best, b)
	}
	if err != nil {
		m.log.Warn("the recorder can't be told what to record; it is tried again", "error", err)
	}
}

func (m *remoteMedia) tryURL(g desk.Grant) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	best := m.best()
	if best == "" {
		return "", errNoRelay
	}
	r := m.relays[best].report
	key, err := crypto.ParsePublicKey(r.Key)
	if err != nil {
		return "", fmt.Errorf("relay %s: %w", best, err)
	}
	return grantURL(m.tokens, r.UDP, key, g, m.valid)
}

func (m *remoteMedia) run(ctx context.Context, w *mediaWatch) {
	stop, err := m.store.Subscribe(subjectSessions, func(_ string, b []byte, _ func([]byte)) {
		var r relayReport
		if json.Unmarshal(b, &r) != nil || r.Relay == "" {
			return
		}
		m.met(ctx, r)
		w.note(r.Relay, r.Sessions)
	})
	if err != nil {
		m.log.Error("relays can't be heard", "error", err)
		return
	}
	quiet, err := m.store.Subscribe(subjectRecorded, func(_ string, b []byte, _ func([]byte)) {
		var s recordStatus
		if json.Unmarshal(b, &s) == nil {
			m.heard(s)
		}
	})
	if err != nil {
		m.log.Error("recorders can't be heard", "error", err)
	} else {
		defer quiet()
	}
	if err := m.store.Publish(subjectWho, nil); err != nil {
		m.log.Warn("relays can't be asked; they tell of themselves every second", "error", err)
	}
	<-ctx.Done()
	stop()
}

// met notes what a relay tells. One that has just started is told of all floors.
func (m *remoteMedia) met(ctx context.Context, r relayReport) {
	m.mu.Lock()
	have := m.relays[r.Relay]
	if have != nil && have.report.Life == r.Life {
		have.report, have.at = r, time.Now()
		m.mu.Unlock()
		return
	}
	if have != nil {
		have.stop()
	}
	if r.Tokens != m.keyID {
		m.log.Error("a relay has another token key: it refuses all clients", "relay", r.Relay, "hint", "copy token.key from signaling's data directory into the relay's")
	}
	one, stop := context.WithCancel(ctx)
	now := &remoteRelay{report: r, at: time.Now(), floors: newFloors(), stop: stop}
	m.relays[r.Relay] = now
	m.mu.Unlock()
	for _, f := range m.all() { // what comes meanwhile is added by itself; the newer counts
		now.floors.add(f)
	}
	go now.floors.bring(one, m.log, func(ctx context.Context, f desk.Floor) error {
		b, err := json.Marshal(f)
		if err != nil {
			return err
		}
		reply, err := m.store.Request(ctx, subjectFloor+r.Relay, b)
		if err != nil {
			return err
		}
		var a relayAnswer
		if err := json.Unmarshal(reply, &a); err != nil {
			return err
		}
		if a.Error != "" {
			return errors.New(a.Error)
		}
		return nil
	})
}
