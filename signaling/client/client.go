package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// Config says whose socket it is. URL and Token are required.
type Config struct {
	URL   string                                    // of the server: http://HOST:PORT or https://HOST
	Token func(ctx context.Context) (string, error) // asked for a user token at every connection, and before the last one expires
	HTTP  *http.Client                              // default http.DefaultClient
}

const (
	subprotocol  = "duet.v1"
	maxFrame     = 16 << 20 // a state may hold many messages
	firstPause   = 100 * time.Millisecond
	longestPause = 2 * time.Second
	connectTime  = 10 * time.Second
	writeTime    = 10 * time.Second
	pingEvery    = 20 * time.Second
	deadAfter    = 3 * pingEvery
	renewBefore  = time.Minute // or half of what is left
	maxEvents    = 65_536      // that wait to be taken
	maxPending   = 128         // requests without an answer: a new socket is asked all of them at once
)

// Errors.
var (
	ErrClosed = errors.New("client: closed")
	// ErrLimit: too many events wait to be taken, or requests for an answer.
	ErrLimit = errors.New("client: too much is waiting")
)

// Error is a refusal by the server.
type Error struct {
	Code   string `json:"code"` // stable: docs/signaling.md
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
}

// Error returns what the server said.
func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Title
}

// CodeOf is the code of a refusal, "" for another error.
func CodeOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// Event is something that the server tells. Which fields are set depends on Type.
type Event struct {
	Seq      uint64          `json:"seq"`
	Type     string          `json:"type"`
	Call     string          `json:"call"`
	Kind     string          `json:"kind"`
	Queue    string          `json:"queue"`
	User     string          `json:"user"`
	Name     string          `json:"name"`
	Role     string          `json:"role"`
	Step     int             `json:"step"`
	State    string          `json:"state"`
	Reason   string          `json:"reason"`
	By       string          `json:"by"`
	Note     string          `json:"note"`
	Until    *time.Time      `json:"until"`
	Since    *time.Time      `json:"since"`
	Transfer bool            `json:"transfer"`
	Message  *Message        `json:"message"`
	Upto     uint64          `json:"upto"`
	Stream   string          `json:"stream"`
	URL      string          `json:"url"`
	Position int             `json:"position"`
	Of       int             `json:"of"`
	Agents   int             `json:"agents"`
	Estimate *int            `json:"estimate"` // seconds
	Record   *Recording      `json:"record"`
	Head     json.RawMessage `json:"head"` // of the recording: to be kept as a witness

	Begin *State `json:"-"` // of TypeState
}

// TypeState is an event of the client's own: the server no longer has all events since the last one, and Begin takes the place of all that was
// known.
const TypeState = "state"

// Message is a text or custom message of a call.
type Message struct {
	N    uint64    `json:"n"`
	From string    `json:"from"`
	ID   string    `json:"id"`
	Cmd  string    `json:"cmd"`
	Body string    `json:"body"`
	Time time.Time `json:"time"`
}

// State is what there is when a client begins.
type State struct {
	Room  *Room   `json:"room"`
	Calls []Call  `json:"calls"`
	URLs  []Event `json:"urls"`
	Place *Event  `json:"place"`
}

// Room is an agent's.
type Room struct {
	State string `json:"state"`
	Call  string `json:"call"`
}

// Call is a live call.
type Call struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind"`
	Queue    string    `json:"queue"`
	Caller   string    `json:"caller"`
	Name     string    `json:"name"`
	State    string    `json:"state"`
	Offered  string    `json:"offered"`
	Parties  []Party   `json:"parties"`
	Record   Recording `json:"record"`
	Messages []Message `json:"messages"`
}

// Recording is what becomes of a call's recording.
type Recording struct {
	Policy  string `json:"policy"`
	State   string `json:"state"` // "", asked, starting, recording, refused, failed
	Consent string `json:"consent"`
	Reason  string `json:"reason"`
}

// Party is a user in a call.
type Party struct {
	User string `json:"user"`
	Name string `json:"name"`
	Role string `json:"role"`
}

// Client is a party's socket, over reconnections. Its methods may be called from any goroutine.
type Client struct {
	cfg    Config
	url    string
	ctx    context.Context
	stop   context.CancelCauseFunc
	done   chan struct{}
	signal chan struct{} // a token: an event, or the end

	mu      sync.Mutex // guards what follows
	conn    *websocket.Conn
	user    string
	seq     uint64
	nextID  uint64
	pending map[uint64]*request
	order   []uint64 // of pending, as asked
	events  []Event
	heard   time.Time
	wrote   time.Time
	expires time.Time

	writing sync.Mutex
}

type request struct {
	text  []byte
	reply chan answer
}

type answer struct {
	ok  json.RawMessage
	err error
}

// Dial connects and says hello. A refusal of the token is an error; when the server can't be reached it is too: what is tried again is only a
// socket that once was open.
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	base, ok := strings.CutPrefix(strings.TrimRight(cfg.URL, "/"), "http")
	if !ok {
		return nil, fmt.Errorf("client: %q is no server's URL: it begins with http:// or https://", cfg.URL)
	}
	if cfg.HTTP == nil {
		cfg.HTTP = http.DefaultClient
	}
	c := &Client{cfg: cfg, url: "ws" + base + "/v1/socket", done: make(chan struct{}), signal: make(chan struct{}, 1), pending: make(map[uint64]*request)}
	c.ctx, c.stop = context.WithCancelCause(context.Background())
	conn, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	go c.run(conn)
	return c, nil
}

// User is who the server says the client is.
func (c *Client) User() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.user
}

// Close ends it. Requests and Next fail with ErrClosed.
func (c *Client) Close() {
	c.stop(ErrClosed)
	<-c.done
}

// Next waits for an event. After the end it returns why: ErrClosed, or what the server said.
func (c *Client) Next(ctx context.Context) (Event, error) {
	for {
		c.mu.Lock()
		if len(c.events) > 0 {
			e := c.events[0]
			c.events = c.events[1:]
			c.mu.Unlock()
			return e, nil
		}
		c.mu.Unlock()
		select {
		case <-c.signal:
		case <-c.ctx.Done():
			return Event{}, context.Cause(c.ctx)
		case <-ctx.Done():
			return Event{}, ctx.Err()
		}
	}
}

// Do asks the server for something and waits for the answer, over reconnections. A refusal is an *Error.
func (c *Client) Do(ctx context.Context, kind string, fields map[string]any) (json.RawMessage, error) {
	c.mu.Lock()
	if len(c.pending) >= maxPending {
		c.mu.Unlock()
		return nil, ErrLimit
	}
	c.nextID++
	id := c.nextID
	m := map[string]any{"id": id, "type": kind}
	for k, v := range fields {
		m[k] = v
	}
	text, err := json.Marshal(m)
	if err != nil {
		c.mu.Unlock()
		return nil, fmt.Errorf("client: %w", err)
	}
	r := &request{text, make(chan answer, 1)}
	c.pending[id] = r
	c.order = append(c.order, id)
	conn := c.conn
	c.mu.Unlock()
	defer c.forget(id)
	if conn != nil {
		_ = c.write(conn, text) // lost, it is asked again with the next socket
	}
	select {
	case a := <-r.reply:
		return a.ok, a.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-c.ctx.Done():
		return nil, context.Cause(c.ctx)
	}
}

func (c *Client) forget(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.pending, id)
	for len(c.order) > 0 && c.pending[c.order[0]] == nil {
		c.order = c.order[1:]
	}
}
