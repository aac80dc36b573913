package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"

	"duet/client"
)

type pushOptions struct {
	input     string
	urlFile   string
	loop      bool
	json      bool
	reconnect time.Duration
}

func newPush(s streams) *cobra.Command {
	var o pushOptions
	cmd := &cobra.Command{
		Use:   "push [URL] --input FILE|-",
		Short: "Send an FLV file or pipe as a stream",
		Long: `Send an FLV as a stream. A file is paced by its timestamps; a pipe is sent as it is read:

  ffmpeg -re -i talk.mp4 -c copy -f flv - | duet push --input - --url-file push.url`,
		Args: urlArg,
		RunE: func(cmd *cobra.Command, args []string) error { return push(cmd.Context(), s, args, &o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.input, "input", "", "FLV file to send, or - for standard input")
	f.BoolVar(&o.loop, "loop", false, "send the file again and again")
	f.DurationVar(&o.reconnect, "reconnect", client.DefaultReconnect, "how long to try after the network was lost")
	addClientFlags(cmd, &o.urlFile, &o.json)
	return cmd
}

// addClientFlags adds what push and play have in common.
func addClientFlags(cmd *cobra.Command, urlFile *string, asJSON *bool) {
	cmd.Flags().StringVar(urlFile, "url-file", "", "file that holds the URL (an argument shows in the list of processes)")
	cmd.Flags().BoolVar(asJSON, "json", false, "report events and the result as JSON lines on standard output")
}

// closePatience is how long an interrupted push waits for what it has sent to arrive.
const closePatience = 3 * time.Second

func push(ctx context.Context, s streams, args []string, o *pushOptions) error {
	if o.input == "" {
		return withHint(misusef("nothing to send: --input is missing"), "--input FILE, or --input - for standard input")
	}
	u, err := targetURL(args, o.urlFile)
	if err != nil {
		return err
	}
	rep := newReporter(s, o.json, false)
	began := time.Now()
	src, err := openSource(o.input, s.in, o.loop)
	if err != nil {
		rep.finish(makeReport("push", time.Since(began), client.Stats{}, err))
		return err
	}
	defer src.close()
	p, err := client.DialPusher(ctx, client.PusherConfig{URL: u, Reconnect: o.reconnect, OnEvent: rep.as("")})
	if err != nil {
		rep.finish(makeReport("push", time.Since(began), client.Stats{}, err))
		return refusalHint(err, "push")
	}
	err = pump(ctx, src, p)
	patience, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	if ctx.Err() != nil {
		time.AfterFunc(closePatience, cancel)
	}
	if cerr := p.Close(patience); !errors.Is(cerr, context.Canceled) {
		err = joinErrors(err, cerr)
	}
	rep.finish(makeReport("push", time.Since(began), p.Stats(), err))
	return err
}

// pump sends everything that the source has. An interruption is not an error.
func pump(ctx context.Context, src *source, p *client.Pusher) error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a pipe's Read can't be interrupted
		for {
			m, err := src.next(ctx)
			if err == nil {
				err = p.Write(m)
			}
			if err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		if errors.Is(err, io.EOF) || errors.Is(err, context.Canceled) || errors.Is(err, client.ErrClosed) {
			return nil
		}
		return err
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		return nil
	}
}
