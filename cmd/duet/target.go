package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"duet/crypto"
)

// envURL is the variable that push and play take their URL from. An argument shows in the list of processes.
const envURL = "DUET_URL"

// targetURL finds the URL: the argument, --url-file, or DUET_URL.
func targetURL(args []string, file string) (crypto.URL, error) {
	var text string
	switch {
	case len(args) > 0 && file != "":
		return crypto.URL{}, misusef("the URL is given twice: as an argument and with --url-file")
	case len(args) > 0:
		text = args[0]
	case file != "":
		b, err := os.ReadFile(file)
		if err != nil {
			return crypto.URL{}, fmt.Errorf("--url-file: %w", err)
		}
		text = strings.TrimSpace(string(b))
	default:
		text = os.Getenv(envURL)
	}
	if text == "" {
		return crypto.URL{}, withHint(misusef("no URL: give it as an argument, in %s, or with --url-file", envURL), "`duet url push live/NAME` makes one on the server")
	}
	u, err := crypto.ParseURL(text)
	if err == nil {
		return u, nil
	}
	err = misuse{err}
	for _, scheme := range []string{"rtmp://", "rtmps://", "http://", "https://"} {
		if strings.HasPrefix(text, scheme) {
			return u, withHint(err, "%s… URLs are for ffmpeg, OBS and players; `duet url push|play live/NAME` makes a duet:// URL", scheme)
		}
	}
	if !strings.Contains(text, "#") {
		return u, withHint(err, "put the URL in quotes: a shell takes # for a comment")
	}
	return u, err
}

// urlArg allows one argument at most.
func urlArg(cmd *cobra.Command, args []string) error {
	if len(args) <= 1 {
		return nil
	}
	return withHint(misusef("%s takes one URL, not %d arguments", cmd.CommandPath(), len(args)), "usage: %s", cmd.UseLine())
}

// refusalHint adds what to do about a URL that the relay refused.
func refusalHint(err error, verb string) error {
	for known, hint := range map[error]string{
		crypto.ErrTokenExpired: "`duet url` on the server makes a new URL; --expires says how long it is valid",
		crypto.ErrTokenAction:  "this needs a URL made with `duet url " + verb + "`",
		crypto.ErrTokenStream:  "a URL is valid for its own stream only",
		crypto.ErrTokenForged:  "the URL was changed, or made by another server or with other keys (--data)",
	} {
		if strings.Contains(err.Error(), known.Error()) {
			return withHint(err, "%s", hint)
		}
	}
	return err
}

// joinErrors is errors.Join on one line.
func joinErrors(first, second error) error {
	switch {
	case first == nil:
		return second
	case second == nil || errors.Is(first, second):
		return first
	}
	return fmt.Errorf("%w; also: %w", first, second)
}
