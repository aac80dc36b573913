package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"duet/client"
)

type playOptions struct {
	output    string
	urlFile   string
	json      bool
	maxDelay  time.Duration
	smooth    bool
	wait      time.Duration
	reconnect time.Duration
}

// Bounds of --max-delay.
const (
	minMaxDelay = 10 * time.Millisecond
	maxMaxDelay = time.Minute
)

func newPlay(s streams) *cobra.Command {
	var o playOptions
	cmd := &cobra.Command{
		Use:   "play [URL] --output FILE|-",
		Short: "Receive a stream into an FLV file or pipe",
		Long: `Receive a stream as FLV. Each message is written as soon as it is released, so that a player behind a pipe is as close to
the pusher as can be:

  duet play --output - --url-file play.url | ffplay -fflags nobuffer -`,
		Args: urlArg,
		RunE: func(cmd *cobra.Command, args []string) error { return play(cmd.Context(), s, args, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.output, "output", "", "FLV file to write, or - for standard output")
	f.BoolVar(&o.smooth, "smooth", false, "write frames evenly, at a delay that adapts to the network, for a program that shows them as they come")
	f.DurationVar(&o.maxDelay, "max-delay", 400*time.Millisecond, "how long after its capture a frame is waited for; one not whole by then is skipped")
	f.DurationVar(&o.wait, "wait", client.DefaultWait, "how long to wait for a pusher")
	f.DurationVar(&o.reconnect, "reconnect", client.DefaultReconnect, "how long to try after the network was lost")
	addClientFlags(cmd, &o.urlFile, &o.json)
	return cmd
}

func play(ctx context.Context, s streams, args []string, o *playOptions) error {
	if o.output == "" {
		return withHint(misusef("nowhere to write: --output is missing"), "--output FILE, or --output - for standard output")
	}
	if o.maxDelay < minMaxDelay || o.maxDelay > maxMaxDelay {
		return misusef("--max-delay must be from %v to %v, not %v", minMaxDelay, maxMaxDelay, o.maxDelay)
	}
	u, err := targetURL(args, o.urlFile)
	if err != nil {
		return err
	}
	rep := newReporter(s, o.json, o.output == "-")
	began := time.Now()
	p, err := client.DialPlayer(ctx, client.PlayerConfig{
		URL: u, Reconnect: o.reconnect, MaxDelay: o.maxDelay, Smooth: o.smooth, Wait: o.wait, OnEvent: rep.as(""),
	})
	if err != nil {
		rep.finish(makeReport("play", time.Since(began), client.Stats{}, err))
		return refusalHint(err, "play")
	}
	out, err := openSink(o.output, s.out) // after the relay has let us in: a refusal leaves an older file alone
	if err == nil {
		err = keepClip(ctx, p, out)
		err = joinErrors(err, out.close())
	}
	_ = p.Close()
	rep.finish(makeReport("play", time.Since(began), p.Stats(), err))
	return err
}

// keepClip writes everything that the player releases. An interruption is not an error.
func keepClip(ctx context.Context, p *client.Player, out *sink) error {
	for {
		f, err := p.Read(ctx)
		if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := out.write(&f); err != nil {
			return err
		}
	}
}
