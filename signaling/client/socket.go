package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/coder/websocket"
)

// Codes with which the server ends a socket for good.
const (
	closeDenied   = 4401
	closeDisabled = 4403
	closeTooMany  = 4409
)

// fatal is an end after which there is no use in coming again.
func fatal(err error) error {
	var text string
	switch websocket.CloseStatus(err) {
	case closeDenied:
		text = "the server does not take the token: it is too old, or another server's"
	case closeDisabled:
		text = "the user is disabled"
	case closeTooMany:
		text = "the user has too many sockets open"
	default:
		return nil
	}
	return &Error{Code: "unauthorized", Status: 401, Detail: text}
}

// connect opens a socket and says hello. What was asked and not answered is asked again.
func (c *Client) connect(ctx context.Context) (*websocket.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return nil, err
	}
	conn, _, err := websocket.Dial(ctx, c.url, &websocket.DialOptions{Subprotocols: []string{subprotocol}, HTTPClient: c.cfg.HTTP}) //nolint:bodyclose // it is the socket
	if err != nil {
		return nil, fmt.Errorf("client: no socket: %w", err)
	}
	conn.SetReadLimit(maxFrame)
	c.mu.Lock()
	hello, err := json.Marshal(map[string]any{"id": 0, "type": "hello", "token": token, "after": c.seq})
	c.mu.Unlock()
	if err == nil {
		err = conn.Write(ctx, websocket.MessageText, hello)
	}
	var b []byte
	if err == nil {
		_, b, err = conn.Read(ctx)
	}
	var h struct {
		OK *struct {
			User    string    `json:"user"`
			Seq     uint64    `json:"seq"`
			Resumed bool      `json:"resumed"`
			Expires time.Time `json:"expires"`
			State   *State    `json:"state"`
		} `json:"ok"`
		Error *Error `json:"error"`
	}
	if err == nil {
		err = json.Unmarshal(b, &h)
	}
	switch {
	case err != nil:
		_ = conn.CloseNow()
		if end := fatal(err); end != nil {
			return nil, end
		}
		return nil, fmt.Errorf("client: no answer to hello: %w", err)
	case h.OK == nil:
		_ = conn.CloseNow()
		if h.Error != nil {
			return nil, h.Error
		}
		return nil, errors.New("client: the server does not speak this protocol")
	}
	c.mu.Lock()
	c.user, c.expires, c.heard, c.wrote = h.OK.User, h.OK.Expires, time.Now(), time.Now()
	if !h.OK.Resumed {
		c.seq = h.OK.Seq
		if h.OK.State != nil {
			c.events = append(c.events, Event{Type: TypeState, Seq: h.OK.Seq, Begin: h.OK.State})
		}
	}
	c.conn = conn
	var again [][]byte
	for _, id := range c.order {
		if r := c.pending[id]; r != nil {
			again = append(again, r.text)
		}
	}
	c.mu.Unlock()
	c.wake()
	for _, text := range again {
		if err := c.write(conn, text); err != nil {
			break // the next socket has another try
		}
	}
	return conn, nil
}

// run keeps a socket open until the end.
func (c *Client) run(conn *websocket.Conn) {
	defer close(c.done)
	for {
		err := c.serve(conn)
		c.mu.Lock()
		c.conn = nil
		c.mu.Unlock()
		if end := fatal(err); end != nil && websocket.CloseStatus(err) != closeDenied { // a token that has run out may have a newer one
			c.stop(end)
		}
		pause := firstPause
		for c.ctx.Err() == nil {
			if conn, err = c.connect(c.ctx); err == nil {
				break
			}
			var refused *Error
			if errors.As(err, &refused) && refused.Status < 500 && refused.Status != 429 {
				c.stop(err)
				break
			}
			select {
			case <-time.After(pause):
			case <-c.ctx.Done():
			}
			pause = min(2*pause, longestPause)
		}
		if c.ctx.Err() != nil {
			c.wake()
			return
		}
	}
}

// serve reads until the socket is lost.
func (c *Client) serve(conn *websocket.Conn) error {
	ended := make(chan struct{})
	defer close(ended)
	go c.clock(conn, ended)
	release := context.AfterFunc(c.ctx, func() { _ = conn.Close(websocket.StatusNormalClosure, "") })
	defer release()
	defer func() { _ = conn.CloseNow() }()
	for {
		_, b, err := conn.Read(context.Background()) // ends with the connection
		if err != nil {
			return err
		}
		if err := c.take(conn, b); err != nil {
			return err
		}
	}
}

// take puts a message where it belongs.
func (c *Client) take(conn *websocket.Conn, b []byte) error {
	var m struct {
		Reply *uint64         `json:"reply"`
		OK    json.RawMessage `json:"ok"`
		Error *Error          `json:"error"`
		Event
	}
	if err := json.Unmarshal(b, &m); err != nil {
		return fmt.Errorf("client: the server said what can't be read: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.heard = time.Now()
	switch {
	case m.Reply != nil:
		if r := c.pending[*m.Reply]; r != nil {
			a := answer{ok: m.OK}
			if m.Error != nil {
				a.err = m.Error
			}
			select {
			case r.reply <- a:
			default: // answered before
			}
		}
	case m.Type == "ping":
		go func() { _ = c.write(conn, []byte(`{"type":"pong"}`)) }() // with the socket
	case m.Type == "pong":
	case m.Seq > 0 && m.Seq <= c.seq: // had it
	case len(c.events) >= maxEvents:
		return ErrLimit
	default:
		if m.Seq > 0 {
			c.seq = m.Seq
		}
		c.events = append(c.events, m.Event)
		c.wake()
	}
	return nil
}

func (c *Client) wake() {
	select {
	case c.signal <- struct{}{}:
	default:
	}
}

func (c *Client) write(conn *websocket.Conn, text []byte) error {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	c.writing.Lock()
	defer c.writing.Unlock()
	err := conn.Write(ctx, websocket.MessageText, text)
	c.mu.Lock()
	c.wrote = time.Now()
	c.mu.Unlock()
	return err
}

// clock pings, takes a silent socket for dead, and renews the token.
func (c *Client) clock(conn *websocket.Conn, ended chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	began := time.Now()
	for {
		select {
		case <-ended:
			return
		case now := <-tick.C:
			c.mu.Lock()
			heard, wrote, expires := c.heard, c.wrote, c.expires
			c.mu.Unlock()
			left := expires.Sub(began)
			switch {
			case now.Sub(heard) > deadAfter:
				_ = conn.CloseNow()
				return
			case now.Sub(wrote) > pingEvery:
				_ = c.write(conn, []byte(`{"type":"ping"}`)) // the reader sees it if this fails
			}
			if expires.Sub(now) < min(renewBefore, left/2) {
				began = now
				go c.renew()
			}
		}
	}
}

// renew brings a newer token.
func (c *Client) renew() {
	ctx, cancel := context.WithTimeout(c.ctx, connectTime)
	defer cancel()
	token, err := c.cfg.Token(ctx)
	if err != nil {
		return // it is tried again, and at the next socket
	}
	ok, err := c.Do(ctx, "renew", map[string]any{"token": token})
	var r struct {
		Expires time.Time `json:"expires"`
	}
	if err == nil && json.Unmarshal(ok, &r) == nil {
		c.mu.Lock()
		c.expires = r.Expires
		c.mu.Unlock()
	}
}
