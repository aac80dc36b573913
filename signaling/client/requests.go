package client

import (
	"context"
	"encoding/json"
	"fmt"
)

// result is what most requests are answered with.
type result struct {
	Call    string `json:"call"`
	Message uint64 `json:"message"`
}

func (c *Client) do(ctx context.Context, kind string, fields map[string]any) (r result, err error) {
	ok, err := c.Do(ctx, kind, fields)
	if err != nil || len(ok) == 0 {
		return r, err
	}
	if err := json.Unmarshal(ok, &r); err != nil {
		return r, fmt.Errorf("client: %w", err)
	}
	return r, nil
}

// JoinQueue asks for a call with an agent of a queue and returns the call's ID.
func (c *Client) JoinQueue(ctx context.Context, queue, note string) (string, error) {
	r, err := c.do(ctx, "queue.join", map[string]any{"queue": queue, "note": note})
	return r.Call, err
}

// Call calls a user directly and returns the call's ID.
func (c *Client) Call(ctx context.Context, user, note string) (string, error) {
	r, err := c.do(ctx, "call.dial", map[string]any{"user": user, "note": note})
	return r.Call, err
}

// OpenRoom opens the agent's room.
func (c *Client) OpenRoom(ctx context.Context, queues ...string) error {
	_, err := c.do(ctx, "room.open", map[string]any{"queues": queues})
	return err
}

// CloseRoom closes it, after the call that is in it.
func (c *Client) CloseRoom(ctx context.Context) error {
	_, err := c.do(ctx, "room.close", nil)
	return err
}

// Ready ends the time after a call.
func (c *Client) Ready(ctx context.Context, call, disposition, note string) error {
	_, err := c.do(ctx, "room.ready", map[string]any{"call": call, "disposition": disposition, "note": note})
	return err
}

// Accept takes a call that is offered.
func (c *Client) Accept(ctx context.Context, call string) error {
	return c.about(ctx, "call.accept", call)
}

// Decline refuses it.
func (c *Client) Decline(ctx context.Context, call string) error {
	return c.about(ctx, "call.decline", call)
}

// HangUp ends a call.
func (c *Client) HangUp(ctx context.Context, call string) error {
	return c.about(ctx, "call.hangup", call)
}

// Watch lets a supervisor see and hear a call without being seen.
func (c *Client) Watch(ctx context.Context, call string) error {
	return c.about(ctx, "call.watch", call)
}

// Join becomes a party that all see.
func (c *Client) Join(ctx context.Context, call string) error { return c.about(ctx, "call.join", call) }

// Leave leaves a call that goes on.
func (c *Client) Leave(ctx context.Context, call string) error {
	return c.about(ctx, "call.leave", call)
}

func (c *Client) about(ctx context.Context, kind, call string) error {
	_, err := c.do(ctx, kind, map[string]any{"call": call})
	return err
}

// End ends a call of others: a supervisor's.
func (c *Client) End(ctx context.Context, call, reason string) error {
	_, err := c.do(ctx, "call.end", map[string]any{"call": call, "reason": reason})
	return err
}

// TransferToAgent and TransferToQueue pass a call on.
func (c *Client) TransferToAgent(ctx context.Context, call, agent, note string) error {
	_, err := c.do(ctx, "call.transfer", map[string]any{"call": call, "agent": agent, "note": note})
	return err
}

// TransferToQueue passes a call on to whoever of a queue is free first.
func (c *Client) TransferToQueue(ctx context.Context, call, queue, note string) error {
	_, err := c.do(ctx, "call.transfer", map[string]any{"call": call, "queue": queue, "note": note})
	return err
}

// Say sends a text with an ID of the sender's own, and returns its number in the call. It may be repeated with the same ID.
func (c *Client) Say(ctx context.Context, call, id, text string) (uint64, error) {
	r, err := c.do(ctx, "message.send", map[string]any{"call": call, "mid": id, "body": text})
	return r.Message, err
}

// Consent answers whether the call may be recorded: the caller's.
func (c *Client) Consent(ctx context.Context, call string, agree bool) error {
	_, err := c.do(ctx, "record.consent", map[string]any{"call": call, "agree": agree})
	return err
}

// StartRecording begins a recording that is made on request.
func (c *Client) StartRecording(ctx context.Context, call string) error {
	return c.about(ctx, "record.start", call)
}

// StopRecording ends one.
func (c *Client) StopRecording(ctx context.Context, call string) error {
	return c.about(ctx, "record.stop", call)
}

// Snapshot keeps a picture of each party in the recording.
func (c *Client) Snapshot(ctx context.Context, call string) error {
	return c.about(ctx, "record.snapshot", call)
}

// Seen tells how far messages have come and been read.
func (c *Client) Seen(ctx context.Context, call string, delivered, read uint64) error {
	_, err := c.do(ctx, "message.seen", map[string]any{"call": call, "delivered": delivered, "read": read})
	return err
}

// Report keeps an event code of a pusher or player in the server's log.
func (c *Client) Report(ctx context.Context, call string, code int, text string) error {
	_, err := c.do(ctx, "report", map[string]any{"call": call, "code": code, "text": text})
	return err
}

// Messages lists what was said in a call after message number after.
func (c *Client) Messages(ctx context.Context, call string, after uint64) ([]Message, error) {
	ok, err := c.Do(ctx, "message.list", map[string]any{"call": call, "after": after})
	if err != nil {
		return nil, err
	}
	var r struct {
		Messages []Message `json:"messages"`
	}
	if err := json.Unmarshal(ok, &r); err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return r.Messages, nil
}
