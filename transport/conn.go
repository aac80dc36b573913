package transport

import (
	"encoding/binary"
	"errors"
	"io"
	"time"

	"duet/crypto"
	"duet/transport/wire"
)

// Defaults and limits of a session.
const (
	DefaultBudget           = time.Second            // how long after capture a frame is still wanted
	DefaultHandshakeTimeout = 3 * time.Second        // then a relay "is not there"
	DefaultIdleTimeout      = 10 * time.Second       // nothing authentic heard: the session is over
	pushPingInterval        = 250 * time.Millisecond // also the clock's sampling interval
	playPingInterval        = 300 * time.Millisecond // with every third report while all is well
	pingEarly               = 50 * time.Millisecond  // sooner, with a report that goes anyway
	playKeepAlive           = 100 * time.Millisecond // a player is never silent longer: a moved player is found at once
	relayPingInterval       = time.Second
	relayFirstPings         = 4 // sent at firstPingInterval, so that the clock is known early
	firstPingInterval       = 50 * time.Millisecond
	closeRepeats            = 3
	closeInterval           = 100 * time.Millisecond
	rekeyInterval           = time.Hour
	rekeyPackets            = crypto.MaxPacketsPerPhase / 4
)

// Errors that Conn's methods return for the caller to act on.
var (
	ErrClosed      = errors.New("transport: session is closed")
	ErrQueueFull   = errors.New("transport: send queue is full")
	ErrControlFull = errors.New("transport: control stream is full")
	ErrTooLong     = errors.New("transport: stream name or token is too long for the handshake")
)

// Config says how a client's session begins. The zero value of an optional field has the default named beside it.
type Config struct {
	Role   wire.Role
	Stream string           // "live/NAME", at most wire.MaxStreamName bytes
	Token  string           // at most wire.MaxToken bytes
	Server crypto.PublicKey // pinned: a relay without its private key can't answer
	Suite  crypto.Suite     // default SuiteAESGCM
	Path   Path             // where the relay is
	Rand   io.Reader        // required; keys, IDs and challenges come from here

	Budget           time.Duration // default DefaultBudget
	HandshakeTimeout time.Duration // default DefaultHandshakeTimeout
	ClockOrigin      time.Time     // zero of the session clock; default: now. One for all sessions of a process
	Alloc            func() *Packet
	Policy           Policy // default: a planner of the session's own
	Bitrate          BitrateLimits
}

type connState uint8

const (
	stateHandshake connState = iota // client: INIT sent
	stateHalfOpen                   // relay: ACCEPT sent, nothing opened yet
	stateOpen
	stateClosing // CLOSE sent, waiting for the answer
	stateClosed
)

// Conn is one end of a session. It is not safe for concurrent use; see the package comment for how to drive it.
type Conn struct {
	client      bool
	role        wire.Role
	sender      bool // we have the media
	state       connState
	now         time.Time // latest time seen; time never runs backwards in here
	origin      time.Time // zero of the session clock
	rand        io.Reader
	alloc       func() *Packet
	localID     uint64
	remoteID    uint64
	reset       [wire.ResetValueSize]byte
	idleAfter   time.Duration
	confirmIdle time.Duration // relay: idleAfter once confirmed
	sealer      *crypto.Sealer
	opener      *crypto.Opener
	phaseFrom   uint64    // first packet number sealed in the present key phase
	phaseAt     time.Time // when it began
	suite       crypto.Suite

	hs     *clientHandshake // client, until accepted
	path   pathState
	events eventQueue
	timer  timers
	stats  Stats

	lastHeard time.Time
	lastSent  time.Time
	lastPing  time.Time
	show      bool // a packet is wanted for nothing but its number: see timerTail
	shown     int  // of them, since the last media
	pong      pongState
	pings     int // sent so far
	closing   closeState

	control  controlStream
	clock    clockSync
	feedback feedbackState // what we received, for reports to the peer
	rtt      rttEstimator
	sent     sentLog
	loss     lossDetector
	cc       congestion
	pacer    pacer
	target   bitrateTarget
	meter    meter // of everything sent
	send     sendSide
	receive  receiveSide
}

// pongState is the answer owed to the newest PING.
type pongState struct {
	owed     bool
	echo     uint64
	received uint64
}

type closeState struct {
	code   wire.CloseCode
	reason string
	left   int // CLOSE packets still to send
	answer bool
}

// New begins a client's session: the first Poll gives the INIT.
func New(now time.Time, cfg Config) (*Conn, error) {
	if cfg.Suite == 0 {
		cfg.Suite = crypto.SuiteAESGCM
	}
	if cfg.Budget <= 0 {
		cfg.Budget = DefaultBudget
	}
	if cfg.HandshakeTimeout <= 0 {
		cfg.HandshakeTimeout = DefaultHandshakeTimeout
	}
	c := newConn(now, cfg.Rand, cfg.ClockOrigin)
	c.client, c.role, c.sender = true, cfg.Role, cfg.Role == wire.RolePush
	c.suite = cfg.Suite
	if cfg.Alloc != nil {
		c.alloc = cfg.Alloc
	}
	c.path.active = cfg.Path
	c.send.init(cfg.Policy, cfg.Budget, now)
	c.limitBitrate(cfg.Bitrate)
	hs, err := newClientHandshake(now, c, &cfg)
	if err != nil {
		return nil, err
	}
	c.hs = hs
	c.timer.set(timerHandshake, hs.resendAt)
	return c, nil
}

func newConn(now time.Time, rand io.Reader, origin time.Time) *Conn {
	if origin.IsZero() {
		origin = now
	}
	c := &Conn{now: now, origin: origin, rand: rand, alloc: newPacket, idleAfter: DefaultIdleTimeout, lastHeard: now, lastSent: now, phaseAt: now}
	c.limitBitrate(BitrateLimits{})
	c.pacer.init(now)
	c.receive.init()
	c.loss.init()
	return c
}

// randomID draws a session ID or similar, never 0.
func randomID(rand io.Reader) (uint64, error) {
	var b [8]byte
	for {
		if _, err := io.ReadFull(rand, b[:]); err != nil {
			return 0, err
		}
		if v := binary.BigEndian.Uint64(b[:]); v != 0 {
			return v, nil
		}
	}
}

// advance takes the caller's time. Time that runs backwards is ignored.
func (c *Conn) advance(now time.Time) time.Time {
	if now.After(c.now) {
		c.now = now
	}
	return c.now
}

// clockAt is the session clock in microseconds.
func (c *Conn) clockAt(now time.Time) uint64 { return uint64(now.Sub(c.origin) / time.Microsecond) }

// open begins the session proper once both keys are known.
func (c *Conn) open(now time.Time, send, recv crypto.Secret) {
	c.sealer = crypto.NewSealer(c.suite, send)
	c.opener = crypto.NewOpener(c.suite, recv)
	c.phaseAt = now
	c.lastHeard = now
}

// started sets the timers that run while a session is open.
func (c *Conn) started(now time.Time) {
	c.state = stateOpen
	c.timer.set(timerIdle, now.Add(c.idleAfter))
	c.timer.set(timerPing, now)
}

// LocalID is the session ID in the datagrams that come to us.
func (c *Conn) LocalID() uint64 { return c.localID }

// Role is the client's role in this session.
func (c *Conn) Role() wire.Role { return c.role }

// Open reports whether the session is established and not closing.
func (c *Conn) Open() bool { return c.state == stateOpen }

// Closed reports whether nothing more will come of this session.
func (c *Conn) Closed() bool { return c.state == stateClosed }

// LastHeard is when the last authentic datagram came.
func (c *Conn) LastHeard() time.Time { return c.lastHeard }

// ActivePath is where datagrams go now.
func (c *Conn) ActivePath() Path { return c.path.active }

// PollEvent returns the next event, false if there is none.
func (c *Conn) PollEvent() (Event, bool) { return c.events.pop() }

// Deadline is when HandleTimeout should be called next; zero: never.
func (c *Conn) Deadline() time.Time { return c.timer.earliest() }

// Close ends the session with a code and a reason for the peer's user. The CLOSE is sent until the peer answers, at most
// closeRepeats times; then EventClosed comes.
func (c *Conn) Close(now time.Time, code wire.CloseCode, reason string) {
	now = c.advance(now)
	switch c.state {
	case stateClosing, stateClosed:
		return
	case stateHandshake, stateHalfOpen:
		c.closed(code, reason, CauseLocal)
		return
	}
	c.state = stateClosing
	c.closing = closeState{code: code, reason: reason, left: closeRepeats}
	c.timer = timers{}
	c.timer.set(timerClose, now.Add(closeInterval))
	c.releaseMedia()
}

// closed is the end: it drops everything and tells the user.
func (c *Conn) closed(code wire.CloseCode, reason string, cause CloseCause) {
	if c.state == stateClosed {
		return
	}
	c.state = stateClosed
	c.timer = timers{}
	c.releaseMedia()
	c.events.push(Event{Kind: EventClosed, Code: code, Reason: reason, Cause: cause})
}

// releaseMedia gives every packet reference back.
func (c *Conn) releaseMedia() {
	c.send.releaseAll()
	c.receive.releaseAll()
}

// Abandon ends the session at once without a word to the peer: for a client whose other session has taken over.
func (c *Conn) Abandon() {
	c.state = stateClosed
	c.timer = timers{}
	c.releaseMedia()
}

// HandleTimeout does what is due. Calling it early or late does no harm.
func (c *Conn) HandleTimeout(now time.Time) {
	now = c.advance(now)
	for {
		id, ok := c.timer.due(now)
		if !ok {
			return
		}
		c.timer.clear(id)
		switch id {
		case timerHandshake:
			c.handshakeTimeout(now)
		case timerIdle:
			if idle := c.lastHeard.Add(c.idleAfter); now.Before(idle) {
				c.timer.set(timerIdle, idle)
			} else {
				c.closed(wire.CloseIdle, "nothing was heard from the peer", CauseTimeout)
			}
		case timerPing:
			c.pingDue(now)
		case timerFeedback:
			c.feedback.due = true
		case timerLoss:
			c.detectLosses(now)
		case timerProbe:
			c.probe(now)
		case timerExpire:
			c.expireBlocks(now)
		case timerPath:
			c.path.timeout()
		case timerClose:
			c.closeTimeout(now)
		case timerTail:
			c.showTail(now)
		case timerPacer: // Poll will look again
		}
	}
}

func (c *Conn) closeTimeout(now time.Time) {
	if c.closing.left == 0 {
		c.closed(c.closing.code, c.closing.reason, CauseLocal)
		return
	}
	c.closing.answer = true
	c.timer.set(timerClose, now.Add(closeInterval))
}

// pingDue asks for a PING when the clock wants a sample; on a player's side, when nothing else was sent for a while, for the report that would soon
// be due, or for a datagram with nothing in it; else it looks again later.
func (c *Conn) pingDue(now time.Time) {
	next := c.lastPing.Add(c.pingInterval())
	switch quiet := c.lastSent.Add(playKeepAlive); {
	case !now.Before(next):
		c.clock.ping = true
	case !c.keepsAlive() || now.Before(quiet):
		if c.keepsAlive() && quiet.Before(next) {
			next = quiet
		}
		c.timer.set(timerPing, next)
	case c.feedback.end > c.feedback.reported:
		c.feedback.due = true
	default:
		c.show = true
	}
}

// keepsAlive reports whether this is a player's side, whose silences are short.
func (c *Conn) keepsAlive() bool { return c.client && c.role == wire.RolePlay }

func (c *Conn) pingInterval() time.Duration {
	switch {
	case c.pings < relayFirstPings:
		return firstPingInterval
	case !c.client:
		return relayPingInterval
	case c.role == wire.RolePlay:
		return playPingInterval
	default:
		return pushPingInterval
	}
}
