package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
	party "duet/signaling/client"
)

// headless is a party without a screen: what it sends comes from a file, what it receives goes into one.
type headless struct {
	c        *party.Client
	name     string
	input    string // FLV file; "": the built-in clip
	loop     bool
	output   string        // FLV file, %c for the call's ID; "": nowhere
	maxDelay time.Duration // of frames
	say      []string      // once the call is connected
	tell     func(what string, e any)

	sent, got func(rtmpchunk.Message) // watch, if set

	mu      sync.Mutex // guards what follows
	call    string
	stop    context.CancelFunc // of the call's media
	media   sync.WaitGroup
	ctx     context.Context // of the call's media
	players map[string]context.CancelFunc
	pushing bool
}

// defaultMaxDelay is how long a frame is waited for in a call.
const defaultMaxDelay = 400 * time.Millisecond

// handle does what an event asks for; what is the caller's decision, such as accepting, is not done here.
func (h *headless) handle(ctx context.Context, e *party.Event) error {
	switch e.Type {
	case party.TypeState:
		for i := range e.Begin.URLs {
			if err := h.handle(ctx, &e.Begin.URLs[i]); err != nil {
				return err
			}
		}
	case "call.push":
		return h.push(ctx, e)
	case "call.play":
		return h.play(ctx, e)
	case "call.connected":
		for _, text := range h.say {
			if _, err := h.c.Say(ctx, e.Call, rand.Text(), text); err != nil {
				return err
			}
		}
	case "message":
		if e.Message.From != h.c.User() {
			return h.c.Seen(ctx, e.Call, e.Message.N, e.Message.N)
		}
	case "call.party-left":
		if e.User == h.c.User() {
			h.hangMedia()
		} else {
			h.stopPlaying(e.User)
		}
	case "call.ended":
		h.hangMedia()
	}
	return nil
}

// begin makes room for a call's media.
func (h *headless) begin(ctx context.Context, call string) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.call != call {
		h.call = call
		h.ctx, h.stop = context.WithCancel(context.WithoutCancel(ctx))
		h.players, h.pushing = make(map[string]context.CancelFunc), false
	}
	return h.ctx
}

// hangMedia ends all media and waits for it.
func (h *headless) hangMedia() {
	h.mu.Lock()
	stop := h.stop
	h.call, h.stop = "", nil
	h.mu.Unlock()
	if stop != nil {
		stop()
	}
	h.media.Wait()
}

func (h *headless) stopPlaying(user string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if stop := h.players[user]; stop != nil {
		stop()
		delete(h.players, user)
	}
}

// watch tells what a pusher or player tells, and keeps it in the server's log.
func (h *headless) watch(ctx context.Context, call, role string) func(client.Event) {
	return func(e client.Event) {
		h.tell(role, e)
		if e.Kind != client.KindState || ctx.Err() != nil {
			return
		}
		go func() { // an answer from the server must not hold up media
			one, cancel := context.WithTimeout(ctx, reportTime)
			defer cancel()
			_ = h.c.Report(one, call, e.Code, "") // for the log: the call goes on without
		}()
	}
}

const reportTime = 5 * time.Second

// push begins to push.
func (h *headless) push(ctx context.Context, e *party.Event) error {
	u, err := crypto.ParseURL(e.URL)
	if err != nil {
		return err
	}
	media := h.begin(ctx, e.Call)
	h.mu.Lock()
	already := h.pushing
	h.pushing = true
	h.mu.Unlock()
	if already {
		return nil
	}
	src := newSource("the built-in clip", clip, h.loop)
	if h.input != "" {
		if src, err = openSource(h.input, nil, h.loop); err != nil {
			return err
		}
	}
	h.media.Go(func() {
		defer src.close()
		p, err := client.DialPusher(media, client.PusherConfig{URL: u, OnEvent: h.watch(media, e.Call, "pusher")})
		if err != nil {
			h.failed(media, "pusher", err)
			return
		}
		err = pump(media, func(ctx context.Context) error {
			m, err := src.next(ctx)
			if errors.Is(err, io.EOF) { // there is no more to send; the call goes on
				<-ctx.Done()
				return ctx.Err()
			}
			if err == nil {
				if err = p.Write(m); err == nil && h.sent != nil {
					h.sent(m)
				}
			}
			return err
		}, p)
		h.failed(media, "pusher", err)
		last, cancel := context.WithTimeout(context.WithoutCancel(media), closePatience)
		defer cancel()
		_ = p.Close(last) // the call is over
	})
	return nil
}

// failed tells why media ended, if that was not meant.
func (h *headless) failed(media context.Context, role string, err error) {
	if err != nil && media.Err() == nil && !errors.Is(err, context.Canceled) && codeOf(err) != client.CodeClosed { // of an end the socket tells
		h.tell(role, err)
	}
}

// play begins to play a party.
func (h *headless) play(ctx context.Context, e *party.Event) error {
	u, err := crypto.ParseURL(e.URL)
	if err != nil {
		return err
	}
	media, stop := context.WithCancel(h.begin(ctx, e.Call))
	h.mu.Lock()
	if h.players[e.User] != nil {
		h.mu.Unlock()
		stop()
		return nil
	}
	h.players[e.User] = stop
	h.mu.Unlock()
	h.media.Go(func() {
		defer stop()
		p, err := client.DialPlayer(media, client.PlayerConfig{URL: u, MaxDelay: h.maxDelay, OnEvent: h.watch(media, e.Call, "player")})
		if err != nil {
			h.failed(media, "player", err)
			return
		}
		defer func() { _ = p.Close() }() // it never fails
		h.failed(media, "player", h.keep(media, p, e))
		h.tell("played", playedStats{e.User, p.Stats()})
	})
	return nil
}

// playedStats is told when playing a party is over.
type playedStats struct {
	user  string
	stats client.Stats
}

// keep writes what is played.
func (h *headless) keep(ctx context.Context, p *client.Player, e *party.Event) error {
	var out *sink
	if h.output != "" {
		path := strings.ReplaceAll(h.output, "%c", e.Call)
		if e.Step > 0 && e.Role == "supervisor" {
			path += "." + e.User
		}
		var err error
		if out, err = openSink(path, nil); err != nil {
			return err
		}
	}
	for {
		f, err := p.Read(ctx)
		if err != nil {
			if out != nil {
				err = joinErrors(err, out.close())
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if h.got != nil {
			h.got(f.Message)
		}
		if out != nil {
			if err := out.write(&f); err != nil {
				return joinErrors(err, out.close())
			}
		}
	}
}

// describe is an event as a line for people; "" for one that needs none.
func describe(e *party.Event) string {
	who := e.Name
	if who == "" {
		who = e.User
	}
	switch e.Type {
	case "queue.position":
		text := fmt.Sprintf("place %d of %d", e.Position, e.Of)
		if e.Estimate != nil {
			return text + fmt.Sprintf(", about %v to wait", time.Duration(*e.Estimate)*time.Second)
		}
		return text + ", nobody is there to answer yet"
	case "call.waiting":
		return "waiting in queue " + e.Queue
	case "call.moved":
		return "moved to queue " + e.Queue
	case "call.ringing":
		return who + " is being asked"
	case "call.offered":
		if e.Transfer {
			return "asked to take over the call of " + who + " from " + e.By
		}
		return "call from " + who
	case "call.offer-ended":
		return "the offer is over: " + e.Reason
	case "call.accepted":
		return who + " has accepted"
	case "call.push":
		return fmt.Sprintf("step %d: push URL", e.Step)
	case "call.play":
		return fmt.Sprintf("step %d: play URL of %s", e.Step, who)
	case "call.connected":
		return "connected"
	case "call.party-joined":
		return who + " has joined"
	case "call.party-left":
		return who + " has left: " + e.Reason
	case "call.link-lost":
		return "the network of " + who + " is lost"
	case "call.resumed":
		return "the network of " + who + " is back"
	case "call.transfer":
		return "transfer: " + e.State + " " + e.Reason
	case "call.ended":
		text := "ended: " + e.Reason
		if e.By != "" {
			text += " by " + e.By
		}
		return text
	case "message":
		return e.Message.From + " says: " + e.Message.Body
	case "message.read":
		return fmt.Sprintf("read up to %d by %s", e.Upto, e.User)
	case "room.state":
		return "room " + e.User + " is " + e.State
	}
	return ""
}
