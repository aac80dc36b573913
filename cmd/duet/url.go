package main

import (
	"cmp"
	"fmt"
	"net"
	"time"

	"github.com/spf13/cobra"

	"duet/crypto"
)

// maxExpiry bounds how long a URL may be valid: long enough to reconnect, not longer.
const maxExpiry = 30 * 24 * time.Hour

type urlOptions struct {
	data    string
	host    string
	party   string
	expires time.Duration
}

func newURL(s streams) *cobra.Command {
	var o urlOptions
	cmd := &cobra.Command{
		Use:   "url push|play|rtmp-push|rtmp-play|flv live/STREAM",
		Short: "Make a URL that lets its holder push or play one stream",
		Long: `Make a URL that lets its holder do one thing with one stream:

  push       duet push          play       duet play
  rtmp-push  ffmpeg, OBS        rtmp-play  ffplay, VLC
  flv        HTTP-FLV players

A play URL cannot push. Who has the URL has the right, so hand it on like a password.`,
		Args: exactly(2, "an action and a stream"),
		RunE: func(_ *cobra.Command, args []string) error {
			action, err := crypto.ParseAction(args[0])
			if err != nil {
				return misuse{err}
			}
			sec, err := openSecrets(o.data, false)
			if err != nil {
				return err
			}
			text, err := makeURL(sec, action, args[1], &o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(s.out, text)
			return err
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.data, "data", defaultData, "the server's data directory")
	f.StringVar(&o.host, "host", "", "HOST[:PORT] that clients reach the server at (default: what `duet serve` told last)")
	f.StringVar(&o.party, "party", "", "name of the party: a newer push of the same party takes the stream over")
	f.DurationVar(&o.expires, "expires", 24*time.Hour, "how long the URL is valid")
	return cmd
}

// makeURL makes a URL of a server whose secrets and addresses are known.
func makeURL(sec *secrets, action crypto.Action, stream string, o *urlOptions) (string, error) {
	if err := crypto.ValidStream(stream); err != nil {
		return "", withHint(misuse{err}, "for example: duet url %s live/alice", action)
	}
	if o.expires <= 0 || o.expires > maxExpiry {
		return "", misusef("--expires must be more than 0 and at most %v, not %v", maxExpiry, o.expires)
	}
	scheme, host, err := hostFor(action, o)
	if err != nil {
		return "", err
	}
	token, err := sec.tokens.Mint(crypto.Token{Action: action, Expiry: time.Now().Add(o.expires), Stream: stream, Party: o.party})
	if err != nil {
		return "", misuse{err}
	}
	switch action {
	case crypto.ActionRTMPPush, crypto.ActionRTMPPlay:
		return scheme + "://" + host + "/" + stream + "?t=" + token, nil
	case crypto.ActionFLV:
		return scheme + "://" + host + "/" + stream + ".flv?t=" + token, nil
	default:
		u := crypto.URL{Host: host, Stream: stream, Key: sec.key.Public(), Token: token}
		return u.String(), nil
	}
}

// hostFor is the scheme and address that a URL names.
func hostFor(action crypto.Action, o *urlOptions) (scheme, host string, err error) {
	a, err := loadAddresses(o.data)
	if err != nil {
		return "", "", err
	}
	if a == nil {
		a = &addresses{UDP: defaultUDP, RTMP: defaultRTMP, HTTP: defaultHTTP}
	}
	var flag, usual string
	switch action {
	case crypto.ActionRTMPPush, crypto.ActionRTMPPlay:
		scheme, host, flag, usual = "rtmp", a.RTMP, "--rtmp", defaultRTMP
		if a.TLS != "" {
			scheme, host = "rtmps", a.TLS
		}
	case crypto.ActionFLV:
		scheme, host, flag, usual = "http", a.HTTP, "--http", defaultHTTP
	default:
		scheme, host, flag, usual = "duet", a.UDP, "--udp", defaultUDP
	}
	if o.host != "" {
		if host, err = givenHost(o.host, cmp.Or(host, usual)); err != nil {
			return "", "", err
		}
	}
	if host == "" {
		return "", "", withHint(fmt.Errorf("the server has no listener for %s URLs", action), "start `duet serve` with %s, or give --host", flag)
	}
	return scheme, host, nil
}

// givenHost is what --host says, with the port of known where it names none.
func givenHost(text, known string) (string, error) {
	host, port, err := splitAddress(text)
	if err != nil {
		return "", withHint(misusef("--host: %w", err), "for example: --host calls.example.org, or --host 203.0.113.7:7000")
	}
	if port == "" {
		if _, port, err = net.SplitHostPort(known); err != nil {
			return "", fmt.Errorf("the server's address %q: %w", known, err)
		}
	}
	return net.JoinHostPort(host, port), nil
}
