package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"duet/client"
	"duet/crypto"
	"duet/rtmpchunk"
)

// clip is 4 s of H.264 and AAC; scripts/make-clip.sh makes it.
//
//go:embed clip.flv
var clip []byte

const (
	demoStream   = "live/demo"
	demoMaxDelay = time.Second
	demoPatience = 30 * time.Second // for all of it
)

func newDemo(s streams) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Run server, pusher and player on this machine and check every frame",
		Long: `Run a server, a pusher and a player in one process, joined by real sockets on loopback. A clip of 4 s is pushed, played, and
compared byte for byte. Exits with 0 only if every frame arrived intact.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error { return demo(cmd.Context(), s, data, asJSON) },
	}
	cmd.Flags().StringVar(&data, "data", "", "directory to keep the server's files in (default: a temporary one, removed at the end)")
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
		defer func() { err = joinErrors(err, os.RemoveAll(data)) }()
	}
	srv, err := newServer(serverConfig{data: data, udp: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	serving, stop := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- srv.serve(serving) }()
	defer func() {
		stop()
		err = joinErrors(err, <-served)
	}()
	d := demoRun{srv: srv, data: data, rep: newReporter(streams{out: s.out, err: s.out}, asJSON, false)}
	if err := d.run(ctx); err != nil {
		return err
	}
	if asJSON {
		d.rep.finish(makeReport("push", d.took, d.pushed, nil))
		d.rep.finish(makeReport("play", d.took, d.played, d.verdict()))
	} else {
		d.table(s.out)
	}
	return d.verdict()
}

// demoRun is a demonstration while it runs.
type demoRun struct {
	srv  *server
	data string
	rep  *reporter

	sent, got      []rtmpchunk.Message
	pushed, played client.Stats
	first          time.Duration // from the player's first datagram after the push began to the first frame
	took           time.Duration
}

func (d *demoRun) run(ctx context.Context) error {
	began := time.Now()
	play, push, err := d.urls()
	if err != nil {
		return err
	}
	waiting := make(chan struct{}, 1)
	player, err := client.DialPlayer(ctx, client.PlayerConfig{URL: play, MaxDelay: demoMaxDelay, OnEvent: func(e client.Event) {
		d.rep.event("player", e)
		if e.Code == client.CodeLoading {
			select {
			case waiting <- struct{}{}:
			default:
			}
		}
	}})
	if err != nil {
		return err
	}
	defer func() { _ = player.Close() }() // it never fails
	select {                              // the player is there before the pusher, so that it misses nothing
	case <-waiting:
	case <-ctx.Done():
		return fmt.Errorf("the player was not let in: %w", ctx.Err())
	}
	pusher, err := client.DialPusher(ctx, client.PusherConfig{URL: push, OnEvent: d.rep.as("pusher")})
	if err != nil {
		return err
	}
	src := newSource("the demo's clip", bytes.NewReader(clip))
	sent := make(chan error, 1)
	go func() { sent <- d.push(ctx, src, pusher) }()
	if err := d.play(ctx, player); err != nil {
		return err
	}
	if err := <-sent; err != nil {
		return err
	}
	d.pushed, d.played, d.took = pusher.Stats(), player.Stats(), time.Since(began)
	return nil
}

func (d *demoRun) urls() (play, push crypto.URL, err error) {
	o := urlOptions{data: d.data, expires: time.Hour, party: "demo"}
	texts := [2]string{}
	for i, a := range []crypto.Action{crypto.ActionPlay, crypto.ActionPush} {
		if texts[i], err = makeURL(d.srv.secrets, a, demoStream, &o); err != nil {
			return play, push, err
		}
	}
	if play, err = crypto.ParseURL(texts[0]); err != nil {
		return play, push, err
	}
	push, err = crypto.ParseURL(texts[1])
	return play, push, err
}

// push sends the clip at its own pace.
func (d *demoRun) push(ctx context.Context, src *source, p *client.Pusher) error {
	for {
		m, err := src.next(ctx)
		if errors.Is(err, io.EOF) {
			return p.Close(ctx)
		}
		if err != nil {
			return err
		}
		d.sent = append(d.sent, m)
		if err := p.Write(m); err != nil {
			return err
		}
	}
}

// play takes everything up to the stream's end.
func (d *demoRun) play(ctx context.Context, p *client.Player) error {
	for {
		f, err := p.Read(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if f.Media && d.first == 0 && !f.Captured.IsZero() {
			d.first = f.Released.Sub(f.Captured)
		}
		d.got = append(d.got, f.Message)
	}
}

// verdict compares what was received with what was sent.
func (d *demoRun) verdict() error {
	if len(d.got) != len(d.sent) {
		return fmt.Errorf("%d messages were sent and %d received", len(d.sent), len(d.got))
	}
	for i, m := range d.sent {
		if g := d.got[i]; g.Type != m.Type || g.Timestamp != m.Timestamp || !bytes.Equal(g.Payload, m.Payload) {
			return fmt.Errorf("message %d of %d (%d bytes at %d ms) is not what was sent", i+1, len(d.sent), len(m.Payload), m.Timestamp)
		}
	}
	return nil
}

func (d *demoRun) table(w io.Writer) {
	a, b := &d.pushed, &d.played
	verdict := "every message arrived, byte for byte"
	if err := d.verdict(); err != nil {
		verdict = "FAILED: " + err.Error()
	}
	fmt.Fprintln(w)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-22s "+format+"\n", append([]any{name}, args...)...)
	}
	row("result", "%s", verdict)
	row("frames sent", "%d video, %d audio, %d configurations and data", a.VideoFrames, a.AudioFrames, a.Records)
	row("frames received", "%d video, %d audio, %d configurations and data", b.VideoFrames, b.AudioFrames, b.Records)
	row("first frame", "%.1f ms from capture to release", ms(d.first))
	row("delay", "p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms", ms(b.Delay.P50), ms(b.Delay.P95), ms(b.Delay.P99), ms(b.Delay.Max))
	row("media", "%s in messages", size(a.MediaBytes))
	row("pusher's UDP", "%s out, %s in", size(a.BytesSent), size(a.BytesReceived))
	row("player's UDP", "%s in, %s out", size(b.BytesReceived), size(b.BytesSent))
	row("loss", "%.1f %% to the relay, %.1f %% to the player", a.Loss, b.Loss)
	row("repairs", "%d resent, %d parity sent, %d rebuilt by the player", a.Retransmits, a.RepairsSent, b.PacketsRepaired)
	row("round trip", "%.2f ms to the pusher, %.2f ms to the player", ms(a.RTT), ms(b.RTT))
	row("took", "%.1f s", d.took.Seconds())
}
