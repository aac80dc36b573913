package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"duet/client"
)

type pushOptions struct {
	inputs    []string
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

  ffmpeg -re -i talk.mp4 -c copy -f flv - | duet push --input - --url-file push.url

With several files, the same source at different bitrates, the stream changes between them as the network allows, at key frames, and
1006 says so. The files need one codec and key frames at the same times:

  for b in 300 800 2000; do
    ffmpeg -i talk.mp4 -c:v libx264 -b:v ${b}k -maxrate ${b}k -bufsize ${b}k -force_key_frames "expr:gte(t,n_forced*2)" -sc_threshold 0 \
      -c:a aac -f flv talk-$b.flv
  done
  duet push --input talk-300.flv --input talk-800.flv --input talk-2000.flv --url-file push.url`,
		Args: urlArg,
		RunE: func(cmd *cobra.Command, args []string) error { return push(cmd.Context(), s, args, &o) },
	}
	f := cmd.Flags()
	f.StringArrayVar(&o.inputs, "input", nil, "FLV file to send, or - for standard input; again for further renditions of the same source")
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
	switch {
	case len(o.inputs) == 0 || slices.Contains(o.inputs, ""):
		return withHint(misusef("nothing to send: --input is missing"), "--input FILE, or --input - for standard input")
	case len(o.inputs) > maxInputs:
		return misusef("--input is given %d times, %d renditions at most", len(o.inputs), maxInputs)
	}
	u, err := targetURL(args, o.urlFile)
	if err != nil {
		return err
	}
	rep := newReporter(s, o.json, false)
	began := time.Now()
	in, err := openInput(ctx, s, o)
	if err != nil {
		rep.finish(makeReport("push", time.Since(began), client.Stats{}, err))
		return err
	}
	defer in.close()
	p, err := client.DialPusher(ctx, client.PusherConfig{URL: u, Reconnect: o.reconnect, OnEvent: rep.as("")})
	if err != nil {
		rep.finish(makeReport("push", time.Since(began), client.Stats{}, err))
		return refusalHint(err, "push")
	}
	send, err := in.to(p)
	if err == nil {
		err = pump(ctx, send, p)
	}
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

// input is what push sends: one source, or several renditions of one.
type input interface {
	close()
	to(p *client.Pusher) (send func(context.Context) error, err error) // send sends one message when its time has come; io.EOF at the end
}

func openInput(ctx context.Context, s streams, o *pushOptions) (input, error) {
	if len(o.inputs) == 1 {
		return openSource(o.inputs[0], s.in, o.loop)
	}
	l, err := openLadder(ctx, o.inputs, o.loop)
	if err != nil {
		return nil, err
	}
	for i, r := range l.rungs {
		fmt.Fprintf(s.err, "rendition %d of %d: %s, video of %d kbit/s\n", i+1, len(l.rungs), r.path, r.info.bitrate/1000)
	}
	return l, nil
}

func (s *source) to(p *client.Pusher) (func(context.Context) error, error) {
	return func(ctx context.Context) error {
		m, err := s.next(ctx)
		if err != nil {
			return err
		}
		return p.Write(m)
	}, nil
}

func (l *ladderSource) to(p *client.Pusher) (func(context.Context) error, error) {
	r, err := client.NewRenditions(p, l.bitrates())
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		i, m, err := l.next(ctx)
		switch {
		case errors.Is(err, io.EOF) && i >= 0:
			return r.End(i)
		case err != nil:
			return err
		}
		return r.Write(i, m)
	}, nil
}

// pump sends everything that there is. An interruption is not an error.
func pump(ctx context.Context, send func(context.Context) error, p *client.Pusher) error {
	done := make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // a pipe's Read can't be interrupted
		for {
			if err := send(ctx); err != nil {
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
