package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"duet/client"
	party "duet/signaling/client"
)

// partyOptions are what `duet agent` and `duet call` have in common.
type partyOptions struct {
	server    string
	tokenFile string
	user      string
	password  string // file
	link      string
	name      string
	input     string
	output    string
	say       []string
	json      bool
}

func (o *partyOptions) flags(cmd *cobra.Command, who string) {
	f := cmd.Flags()
	f.StringVar(&o.server, "server", "http://"+defaultHTTP, "the server's URL")
	f.StringVar(&o.tokenFile, "token-file", "", "file with a user token, as a backend gets one at POST /v1/tokens; or DUET_TOKEN")
	f.StringVar(&o.user, "as", who, "user ID")
	f.StringVar(&o.password, "password-file", "", "file with the user's password")
	f.StringVar(&o.link, "link", "", "the secret of a one-time link (duet link)")
	f.StringVar(&o.name, "name", "", "name that the other side sees")
	f.StringVar(&o.input, "input", "", "FLV file to send, over and over (default: a built-in clip)")
	f.StringVar(&o.output, "output", "", "FLV file to write what is received to; %c in it stands for the call's ID")
	f.StringArrayVar(&o.say, "say", nil, "text to send once the call is connected; may be repeated")
	f.BoolVar(&o.json, "json", false, "tell events as JSON lines on standard output")
}

// tokens is how a party gets its tokens.
func (o *partyOptions) tokens(role string) (func(context.Context) (string, error), error) {
	given := os.Getenv("DUET_TOKEN")
	if o.tokenFile != "" {
		b, err := os.ReadFile(o.tokenFile)
		if err != nil {
			return nil, fmt.Errorf("--token-file: %w", err)
		}
		given = strings.TrimSpace(string(b))
	}
	if given != "" {
		return func(context.Context) (string, error) { return given, nil }, nil
	}
	ask := func(ctx context.Context) (party.Token, error) { return party.Dev(ctx, o.server, o.user, o.name, role) }
	switch {
	case o.link != "":
		var got party.Token
		return func(ctx context.Context) (string, error) { // a link is good once
			var err error
			if got.Token == "" {
				got, err = party.Redeem(ctx, o.server, o.link)
			}
			return got.Token, err
		}, nil
	case o.password != "":
		b, err := os.ReadFile(o.password)
		if err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
		ask = func(ctx context.Context) (party.Token, error) {
			return party.Login(ctx, o.server, o.user, strings.TrimRight(string(b), "\r\n"))
		}
	}
	return func(ctx context.Context) (string, error) {
		t, err := ask(ctx)
		return t.Token, err
	}, nil
}

// open connects, with hints for what usually is wrong.
func (o *partyOptions) open(ctx context.Context, role string) (*party.Client, error) {
	tokens, err := o.tokens(role)
	if err != nil {
		return nil, err
	}
	c, err := party.Dial(ctx, party.Config{URL: o.server, Token: tokens})
	switch {
	case err == nil:
		return c, nil
	case party.CodeOf(err) == "forbidden":
		return nil, withHint(err, "--password-file, --token-file or --link says who you are")
	case party.CodeOf(err) != "":
		return nil, err
	}
	return nil, withHint(err, "--server names the server; `duet serve` runs one at http://%s", defaultHTTP)
}

// teller prints events of a party and its media.
func (o *partyOptions) teller(s streams, me string) func(string, any) {
	rep := newReporter(streams{out: s.out, err: s.out}, o.json, false)
	return func(what string, v any) {
		switch v := v.(type) {
		case client.Event:
			if v.Kind == client.KindState {
				rep.event(me+" "+what, v)
			}
		case *party.Event:
			rep.signal(me, v)
		case error:
			rep.signal(me, &party.Event{Type: "error", Note: what + ": " + oneLine(v.Error())})
		}
	}
}

// signal reports an event of the socket.
func (r *reporter) signal(role string, e *party.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	at := time.Since(r.start).Seconds()
	if r.json {
		shown := *e
		if shown.URL != "" { // a secret
			shown.URL = "[redacted]"
		}
		r.encode(struct {
			What  string  `json:"event"`
			Party string  `json:"party,omitempty"`
			At    float64 `json:"at"` // seconds since the command began
			*party.Event
		}{"signal", role, at, &shown})
		return
	}
	text := describe(e)
	if e.Type == "error" {
		text = e.Note
	}
	if text == "" {
		return
	}
	r.clear()
	fmt.Fprintf(r.w, "%7.3f s  %-7s       %s\n", at, role, text)
}

type agentOptions struct {
	partyOptions
	queues []string
	accept bool
	calls  int
}

func newAgent(s streams) *cobra.Command {
	var o agentOptions
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Be an agent without a screen: open a room, take calls, send and receive files",
		Long: `Open a room at a server and take the calls that come, sending one FLV file and writing what is received to another. Without --auto-accept
calls ring until they go to somebody else. Ctrl-C closes the room; a call in it is hung up.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return agent(cmd.Context(), s, &o) },
	}
	o.flags(cmd, "agent")
	f := cmd.Flags()
	f.StringSliceVar(&o.queues, "queue", nil, "queues to serve (default: all); an agent who is set up serves those of the set-up")
	f.BoolVar(&o.accept, "auto-accept", false, "accept every call")
	f.IntVar(&o.calls, "calls", 0, "close the room after so many calls; 0: never")
	return cmd
}

func agent(ctx context.Context, s streams, o *agentOptions) error {
	c, err := o.open(ctx, "agent")
	if err != nil {
		return err
	}
	defer c.Close()
	tell := o.teller(s, "agent")
	h := &headless{c: c, name: "agent", input: o.input, loop: true, output: o.output, maxDelay: defaultMaxDelay, say: o.say, tell: tell}
	defer h.hangMedia()
	if err := c.OpenRoom(ctx, o.queues...); err != nil {
		return err
	}
	leave := func() error {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
		defer cancel()
		if h.call != "" {
			_ = c.HangUp(last, h.call) // it may be over
		}
		return c.CloseRoom(last)
	}
	for taken := 0; ; {
		e, err := c.Next(ctx)
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return leave()
			}
			return err
		}
		tell("", &e)
		if e.Type == "call.offered" && o.accept {
			if err := c.Accept(ctx, e.Call); err != nil && party.CodeOf(err) != "not-member" { // the caller may have gone
				return err
			}
		}
		if err := h.handle(ctx, &e); err != nil {
			return err
		}
		if e.Type != "call.ended" {
			continue
		}
		if taken++; taken == o.calls {
			return leave()
		}
		if err := c.Ready(ctx, e.Call, "", ""); err != nil && party.CodeOf(err) == "" {
			return err
		}
	}
}

type callOptions struct {
	partyOptions
	queue   string
	to      string
	note    string
	hangUp  time.Duration
	timeout time.Duration
}

func newCall(s streams) *cobra.Command {
	var o callOptions
	cmd := &cobra.Command{
		Use:   "call [--queue QUEUE | --to USER]",
		Short: "Make a call without a screen: wait in a queue or call a user, send and receive files",
		Long: `Wait in a queue for an agent, or call a user, sending one FLV file and writing what is received to another. The place in line is told while
waiting. Ctrl-C hangs up. Exits with 0 if the call took place and was hung up.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return call(cmd.Context(), s, &o) },
	}
	o.flags(cmd, "caller")
	f := cmd.Flags()
	f.StringVar(&o.queue, "queue", "", "queue to wait in (default "+firstQueue+", which a new server has)")
	f.StringVar(&o.to, "to", "", "user to call directly")
	f.StringVar(&o.note, "note", "", "what the call is about, for who answers")
	f.DurationVar(&o.hangUp, "hang-up-after", 0, "hang up when the call has been connected for so long; 0: the other side does")
	f.DurationVar(&o.timeout, "timeout", 0, "give up when the call is not connected by then; 0: never")
	return cmd
}

func call(ctx context.Context, s streams, o *callOptions) error {
	if o.to != "" && o.queue != "" {
		return misusef("whom to call: --queue or --to, one of both")
	}
	if o.to == "" && o.queue == "" {
		o.queue = firstQueue
	}
	c, err := o.open(ctx, "caller")
	if err != nil {
		return err
	}
	defer c.Close()
	tell := o.teller(s, "caller")
	h := &headless{c: c, name: "caller", input: o.input, loop: true, output: o.output, maxDelay: defaultMaxDelay, say: o.say, tell: tell}
	defer h.hangMedia()
	var id string
	if o.queue != "" {
		id, err = c.JoinQueue(ctx, o.queue, o.note)
	} else {
		id, err = c.Call(ctx, o.to, o.note)
	}
	switch {
	case party.CodeOf(err) == "not-found" && o.queue != "":
		return withHint(err, "duet queue add %s makes it", o.queue)
	case err != nil:
		return err
	}
	return follow(ctx, c, h, id, o, tell)
}

// follow goes through a call to its end.
func follow(ctx context.Context, c *party.Client, h *headless, id string, o *callOptions, tell func(string, any)) error {
	waiting, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := time.AfterFunc(cmp.Or(o.timeout, noTimeout), func() { cancel(errTimeout) })
	defer patience.Stop()
	connected := false
	for {
		e, err := c.Next(waiting)
		if cause := context.Cause(waiting); err != nil && cause != nil {
			last, stop := context.WithTimeout(context.WithoutCancel(ctx), closePatience)
			defer stop()
			err = c.HangUp(last, id)
			if errors.Is(cause, errTimeout) || !connected {
				return joinErrors(fmt.Errorf("the call was given up: %w", cause), err)
			}
			return err
		}
		if err != nil {
			return err
		}
		tell("", &e)
		if err := h.handle(ctx, &e); err != nil {
			return err
		}
		switch {
		case e.Call != id && e.Type != party.TypeState:
		case e.Type == "call.connected":
			connected = true
			patience.Stop()
			if o.hangUp > 0 {
				timer := time.AfterFunc(o.hangUp, func() { cancel(errHangUp) })
				defer timer.Stop()
			}
		case e.Type == "call.ended" && e.Reason == "hangup" && connected:
			return nil
		case e.Type == "call.ended":
			return fmt.Errorf("the call ended: %s", e.Reason)
		}
	}
}

// noTimeout is longer than anybody waits.
const noTimeout = 1000 * time.Hour

var (
	errTimeout = errors.New("nobody answered in time")
	errHangUp  = errors.New("hung up")
)
