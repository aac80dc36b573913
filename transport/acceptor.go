package transport

import (
	"bytes"
	"time"

	"duet/crypto"
	"duet/transport/wire"
)

// Request is what a client asks for, as the relay reads it in an INIT.
type Request struct {
	Role   wire.Role
	Stream string
	Token  string
	Budget time.Duration
	From   Path
}

// Admission is the relay's answer to a Request.
type Admission struct {
	Code      wire.CloseCode // CloseOK lets the client in
	Reason    string         // for a person
	SessionID uint64         // chosen by the relay, unique and not 0; its low byte names the owning loop

	// What the session shares with the others of the loop that owns it.
	Alloc  func() *Packet // default: packets that nobody takes back
	Policy Policy         // default: one of its own
}

// AcceptorConfig says how a relay takes handshakes in.
type AcceptorConfig struct {
	Key         *crypto.StaticKey
	Cookies     *crypto.CookieJar
	ResetSecret [32]byte
	Rand        interface{ Read([]byte) (int, error) }
	ClockOrigin time.Time
	Admit       func(now time.Time, r *Request) Admission // decides by token and limits; must change nothing

	IdleTimeout time.Duration // default DefaultIdleTimeout
	Rate        float64       // INITs a second that get public-key work without a cookie; default DefaultHandshakeRate
}

// Limits of a relay's handshakes.
const (
	DefaultHandshakeRate = 500             // about 5 % of a core
	cookieRateFactor     = 8               // with a valid cookie the budget is so much larger
	halfOpenLimit        = 4096            // at the limit an INIT is dropped
	halfOpenLifetime     = 3 * time.Second //
	halfOpenReplies      = 16              // ACCEPTs for the same INIT
)

// Acceptor is the relay's side of handshakes: it answers INITs, keeps half-open sessions, and hands out each one's Conn at
// once; the Conn says EventConfirmed when its client has proved itself. Until then nothing else may change on its account.
type Acceptor struct {
	cfg       AcceptorConfig
	half      map[halfKey]*halfOpen
	order     []*halfOpen // oldest first
	budget    float64
	cookied   float64
	refilled  time.Time
	addresses addressLimit
	assembly  map[halfKey]*fragments
	assembled []halfKey
	stats     AcceptorStats
}

type halfKey struct {
	client uint64
	from   Path
}

type halfOpen struct {
	key     halfKey
	message []byte // the INIT's Noise message, to know a repeat by
	reply   []byte
	replies int
	expires time.Time
}

// AcceptorStats counts what became of handshake datagrams.
type AcceptorStats struct {
	Inits, Accepted, Refused, Retries, Dropped, Repeated uint64
	HalfOpen                                             int
}

// Add adds what another acceptor counted.
func (s *AcceptorStats) Add(o *AcceptorStats) {
	s.Inits += o.Inits
	s.Accepted += o.Accepted
	s.Refused += o.Refused
	s.Retries += o.Retries
	s.Dropped += o.Dropped
	s.Repeated += o.Repeated
	s.HalfOpen += o.HalfOpen
}

// NewAcceptor returns an Acceptor. Key, Cookies, Rand and Admit are required.
func NewAcceptor(now time.Time, cfg AcceptorConfig) *Acceptor {
	if cfg.Rate <= 0 {
		cfg.Rate = DefaultHandshakeRate
	}
	if cfg.IdleTimeout <= 0 {
		cfg.IdleTimeout = DefaultIdleTimeout
	}
	return &Acceptor{
		cfg: cfg, half: make(map[halfKey]*halfOpen), assembly: make(map[halfKey]*fragments),
		budget: cfg.Rate, cookied: cfg.Rate * cookieRateFactor, refilled: now,
	}
}

// Stats returns the counters.
func (a *Acceptor) Stats() AcceptorStats {
	s := a.stats
	s.HalfOpen = len(a.half)
	return s
}

// Handle takes an INIT. It appends the answer, if there is one, to out; conn is set when a new half-open session began. The
// Conn vanishes by itself (EventClosed) if its client never proves itself.
func (a *Acceptor) Handle(now time.Time, from Path, b, out []byte) (reply []byte, conn *Conn, req Request) {
	a.stats.Inits++
	a.expire(now)
	var hdr wire.Handshake
	if wire.ParseHandshake(b, &hdr) != nil || hdr.Kind != wire.KindInit {
		a.stats.Dropped++
		return out, nil, req
	}
	key := halfKey{client: hdr.Client, from: from}
	if h := a.half[key]; h != nil {
		return a.repeat(h, &hdr, out), nil, req
	}
	cookie := hdr.Cookie != [wire.CookieSize]byte{}
	valid := cookie && a.cfg.Cookies.Valid(now, from.Addr, hdr.Client, hdr.Cookie)
	if valid && !a.addresses.spend(now, from.Addr.Addr()) {
		a.stats.Dropped++
		return out, nil, req
	}
	fragmented := hdr.Total > len(hdr.Fragment)
	if !a.spend(now, valid) || fragmented && !valid {
		if valid || len(a.half) >= halfOpenLimit {
			a.stats.Dropped++
			return out, nil, req
		}
		a.stats.Retries++
		return wire.AppendRetry(out, hdr.Client, a.cfg.Cookies.Make(now, from.Addr, hdr.Client)), nil, req
	}
	if cookie && !valid || len(a.half) >= halfOpenLimit {
		a.stats.Dropped++
		return out, nil, req
	}
	message := hdr.Fragment
	if fragmented {
		var whole bool
		if message, whole = a.assemble(key, &hdr); !whole {
			return out, nil, req
		}
	}
	return a.accept(now, key, &hdr, message, out)
}

// accept does the public-key work and answers.
func (a *Acceptor) accept(now time.Time, key halfKey, hdr *wire.Handshake, message, out []byte) ([]byte, *Conn, Request) {
	var req Request
	suite := crypto.Suite(hdr.Suite)
	if suite != crypto.SuiteAESGCM && suite != crypto.SuiteChaChaPoly {
		a.stats.Dropped++
		return out, nil, req
	}
	responder, err := crypto.NewResponder(suite, crypto.Prologue(nil, wire.Version, suite, hdr.Client), a.cfg.Key, a.cfg.Rand)
	if err != nil {
		a.stats.Dropped++
		return out, nil, req
	}
	plain, err := responder.Read(message)
	var p wire.InitPayload
	if err != nil || wire.ParseInitPayload(plain, &p) != nil {
		a.stats.Dropped++
		return out, nil, req
	}
	req = Request{Role: p.Role, Stream: string(p.Stream), Token: string(p.Token), Budget: p.Budget, From: key.from}
	adm := a.cfg.Admit(now, &req)
	answer := wire.AcceptPayload{Code: adm.Code, Reason: []byte(adm.Reason), IdleTimeout: a.cfg.IdleTimeout}
	if adm.Code == wire.CloseOK {
		answer.Session = adm.SessionID
		answer.Reset = crypto.ResetValue(a.cfg.ResetSecret, adm.SessionID)
	}
	noise, send, recv, err := responder.Message2(nil, wire.AppendAcceptPayload(nil, &answer))
	if err != nil {
		a.stats.Dropped++
		return out, nil, req
	}
	start := len(out)
	out = wire.AppendHandshake(out, &wire.Handshake{
		Kind: wire.KindAccept, Suite: hdr.Suite, Client: hdr.Client, Server: answer.Session, Total: len(noise), Fragment: noise,
	})
	h := &halfOpen{key: key, message: bytes.Clone(message), reply: bytes.Clone(out[start:]), replies: 1, expires: now.Add(halfOpenLifetime)}
	a.half[key] = h
	a.order = append(a.order, h)
	if adm.Code != wire.CloseOK {
		a.stats.Refused++
		return out, nil, req
	}
	a.stats.Accepted++
	return out, a.newConn(now, key, suite, &req, &adm, send, recv), req
}

func (a *Acceptor) newConn(now time.Time, key halfKey, suite crypto.Suite, req *Request, adm *Admission, send, recv crypto.Secret) *Conn {
	c := newConn(now, a.cfg.Rand, a.cfg.ClockOrigin)
	c.role, c.sender = req.Role, req.Role == wire.RolePlay
	c.state = stateHalfOpen
	c.suite = suite
	c.localID, c.remoteID = adm.SessionID, key.client
	c.path.active = key.from
	if adm.Alloc != nil {
		c.alloc = adm.Alloc
	}
	budget := req.Budget
	if budget <= 0 {
		budget = DefaultBudget
	}
	c.send.init(adm.Policy, budget, now)
	c.open(now, send, recv)
	c.idleAfter = halfOpenLifetime
	c.timer.set(timerIdle, now.Add(halfOpenLifetime))
	c.confirmIdle = a.cfg.IdleTimeout
	return c
}

// repeat answers an INIT that was answered before with the same bytes.
func (a *Acceptor) repeat(h *halfOpen, hdr *wire.Handshake, out []byte) []byte {
	if h.replies >= halfOpenReplies || hdr.Offset != 0 || !bytes.HasPrefix(h.message, hdr.Fragment) {
		a.stats.Dropped++
		return out
	}
	h.replies++
	a.stats.Repeated++
	return append(out, h.reply...)
}

// spend takes one unit of the budget for public-key work.
func (a *Acceptor) spend(now time.Time, cookie bool) bool {
	if d := now.Sub(a.refilled).Seconds(); d > 0 {
		a.budget = min(a.cfg.Rate, a.budget+d*a.cfg.Rate)
		a.cookied = min(a.cfg.Rate*cookieRateFactor, a.cookied+d*a.cfg.Rate*cookieRateFactor)
		a.refilled = now
	}
	b := &a.budget
	if cookie {
		b = &a.cookied
	}
	if *b < 1 {
		return false
	}
	*b--
	return true
}

// expire forgets half-open sessions whose time is over, confirmed or not: a repeat of their INIT would begin anew.
func (a *Acceptor) expire(now time.Time) {
	n := 0
	for n < len(a.order) && now.After(a.order[n].expires) {
		delete(a.half, a.order[n].key)
		n++
	}
	a.order = a.order[n:]
	if len(a.order) == 0 {
		a.order = nil
	}
}

// assemble collects a fragmented flight; only called with a valid cookie. At most halfOpenLimit are kept, the oldest goes.
func (a *Acceptor) assemble(key halfKey, hdr *wire.Handshake) ([]byte, bool) {
	f := a.assembly[key]
	if f == nil {
		if len(a.assembled) >= halfOpenLimit {
			delete(a.assembly, a.assembled[0])
			a.assembled = a.assembled[1:]
		}
		f = &fragments{}
		a.assembly[key] = f
		a.assembled = append(a.assembled, key)
	}
	message, whole := f.add(hdr)
	if whole {
		delete(a.assembly, key)
	}
	return message, whole
}
