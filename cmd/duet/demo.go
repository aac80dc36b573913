package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	party "duet/signaling/client"
	"duet/signaling/desk"
)

// clip is 4 s of H.264 and AAC; scripts/make-clip.sh makes it.
//
//go:embed clip.flv
var clip []byte

const demoPatience = 30 * time.Second // for all of it

func newDemo(s streams) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run a whole help desk on this machine: two callers, an agent, a queue, and every frame checked",
		Long: `Run a server, an agent and two callers in one process, joined by real sockets on loopback. The agent opens a room; the first caller is put through
in the seven steps; both send a clip of 4 s, which is compared byte for byte, and a text; the second caller waits and is told the place in line; the
first hangs up; the second is put through; the agent closes the room. Both calls are recorded, and the recordings checked. Exits with 0 only if all of
it happened.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), s, data, asJSON) },
	}
	cmd.Flags().StringVar(&data, "data", "", "directory to keep the server's files in (default: a temporary one, of which the recordings are kept)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "report events and the result as JSON lines")
	return cmd
}

func demo(ctx context.Context, s streams, data string, asJSON bool) (err error) {
	ctx, cancel := context.WithTimeout(ctx, demoPatience)
	defer cancel()
	if data == "" {
		if data, err = os.MkdirTemp("", "duet-demo-"); err != nil {
			return err
		}
		defer func() { err = joinErrors(err, keepRecordings(data)) }()
	}
	cfg := serverConfig{data: data, udp: "127.0.0.1:0", http: "127.0.0.1:0"}
	cfg.calls.settings.Record = desk.RecordAlways
	srv, err := newServer(cfg)
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.serve(serving) }()
	defer stop()
	d := demoRun{server: "http://" + srv.httpLn.Addr().String(), rep: newReporter(streams{out: s.out, err: s.out}, asJSON, false)}
	err = d.run(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("the demo did not get to its end within %v: %s: %w", demoPatience, d.doing, err)
	}
	stop()
	if err = joinErrors(err, <-served); err == nil {
		err = d.verify(data)
	}
	if err == nil && !asJSON {
		d.table(s.out)
	}
	if err == nil && asJSON {
		d.tableJSON()
	}
	return err
}

// run tells the story.
func (d *demoRun) run(ctx context.Context) error {
	began := time.Now()
	defer d.end()
	anna, err := d.join(ctx, "anna", "agent")
	if err != nil {
		return err
	}
	if err := anna.c.OpenRoom(ctx); err != nil {
		return err
	}
	carl, err := d.join(ctx, "carl", "caller")
	if err != nil {
		return err
	}
	call, err := d.connect(ctx, anna, carl)
	if err != nil {
		return err
	}
	dora, err := d.wait(ctx)
	if err != nil {
		return err
	}
	if err := d.talk(ctx, anna, carl, call); err != nil {
		return err
	}
	d.doing = "the first caller hangs up"
	at := time.Now()
	if err := carl.c.HangUp(ctx, call); err != nil {
		return err
	}
	ended, err := anna.until(ctx, func(e *party.Event) bool { return e.Type == "call.ended" })
	if err != nil {
		return err
	}
	d.note("hang-up, to the other side", ended.at.Sub(at))
	if ended.Reason != "hangup" || ended.By != "carl" {
		return fmt.Errorf("the hang-up came as %s by %s", ended.Reason, ended.By)
	}
	if err := d.second(ctx, anna, dora); err != nil {
		return err
	}
	d.doing = "the agent closes the room"
	if err := anna.c.CloseRoom(ctx); err != nil {
		return err
	}
	if _, err := anna.until(ctx, func(e *party.Event) bool { return e.Type == "room.state" && e.State == "CLOSE" }); err != nil {
		return err
	}
	d.took = time.Since(began)
	return nil
}

// connect puts a caller through: the seven steps.
func (d *demoRun) connect(ctx context.Context, anna, caller *demoParty) (string, error) {
	d.doing = caller.h.name + " is put through"
	at := time.Now()
	call, err := caller.c.JoinQueue(ctx, firstQueue, "")
	if err != nil {
		return "", err
	}
	offered, err := anna.until(ctx, func(e *party.Event) bool { return e.Type == "call.offered" && e.Call == call })
	if err != nil {
		return "", err
	}
	d.note("request to the agent's ringing", offered.at.Sub(at))
	at = time.Now()
	if err := anna.c.Accept(ctx, call); err != nil {
		return "", err
	}
	return call, d.steps(ctx, anna, caller, call, at)
}

// steps waits for the seven steps, in which both sides show their events, and for both to be connected.
func (d *demoRun) steps(ctx context.Context, anna, caller *demoParty, call string, accepted time.Time) error {
	for _, s := range []struct {
		who  *demoParty
		kind string
		step int
		row  string
	}{
		{caller, "call.push", 1, "accept to step 1, the caller's push URL"},
		{anna, "call.play", 4, "accept to step 4, after the caller's 1002"},
		{anna, "call.push", 5, "accept to step 5, the agent's push URL"},
		{caller, "call.play", 7, "accept to step 7, after the agent's 1002"},
		{caller, "call.connected", 0, "accept to connected"},
		{anna, "call.connected", 0, ""},
	} {
		e, err := s.who.until(ctx, func(e *party.Event) bool { return e.Type == s.kind && e.Step == s.step && e.Call == call })
		if err != nil {
			return err
		}
		if s.row != "" {
			d.note(s.row, e.at.Sub(accepted))
		}
	}
	return nil
}

// wait has a second caller wait in line.
func (d *demoRun) wait(ctx context.Context) (*demoParty, error) {
	d.doing = "the second caller waits"
	dora, err := d.join(ctx, "dora", "caller")
	if err != nil {
		return nil, err
	}
	at := time.Now()
	if _, err := dora.c.JoinQueue(ctx, firstQueue, ""); err != nil {
		return nil, err
	}
	place, err := dora.until(ctx, func(e *party.Event) bool { return e.Type == "queue.position" })
	if err != nil {
		return nil, err
	}
	if place.Position != 1 || place.Estimate == nil {
		return nil, fmt.Errorf("the second caller was told place %d, estimate %v", place.Position, place.Estimate)
	}
	d.note("request to the place in line", place.at.Sub(at))
	return dora, nil
}

// talk lets both sides text, and waits until both have played all of the other's clip.
func (d *demoRun) talk(ctx context.Context, anna, carl *demoParty, call string) error {
	d.doing = "both sides text"
	for _, p := range []struct {
		from, to *demoParty
		text     string
	}{{carl, anna, "Hello, can you see me?"}, {anna, carl, "Yes, and hear you. How can I help?"}} {
		at := time.Now()
		if _, err := p.from.c.Say(ctx, call, p.text, p.text); err != nil {
			return err
		}
		e, err := p.to.until(ctx, func(e *party.Event) bool { return e.Type == "message" && e.Message.From == p.from.h.name })
		if err != nil {
			return err
		}
		if e.Message.Body != p.text {
			return fmt.Errorf("the text %q came as %q", p.text, e.Message.Body)
		}
		d.note("text, to "+p.to.h.name, e.at.Sub(at))
	}
	d.doing = "both sides play the other's clip"
	if err := anna.played(ctx); err != nil {
		return err
	}
	return carl.played(ctx)
}

// second puts the second caller through, who hangs up soon.
func (d *demoRun) second(ctx context.Context, anna, dora *demoParty) error {
	d.doing = "the second caller is put through"
	offered, err := anna.until(ctx, func(e *party.Event) bool { return e.Type == "call.offered" && e.User == "dora" })
	if err != nil {
		return err
	}
	at := time.Now()
	if err := anna.c.Accept(ctx, offered.Call); err != nil {
		return err
	}
	d.rows = append(d.rows, demoRow{}) // the second call's steps are told and not shown again
	n := len(d.rows)
	if err := d.steps(ctx, anna, dora, offered.Call, at); err != nil {
		return err
	}
	d.rows = append(d.rows[:n-1], demoRow{"second caller: accept to connected", d.rows[len(d.rows)-1].took})
	if err := anna.c.HangUp(ctx, offered.Call); err != nil {
		return err
	}
	_, err = dora.until(ctx, func(e *party.Event) bool { return e.Type == "call.ended" && e.By == "anna" })
	return err
}
