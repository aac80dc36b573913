package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"duet/client"
)

// Exit codes.
const (
	exitDone   = 0
	exitFailed = 1
	exitMisuse = 2
)

// streams are where a command reads and writes.
type streams struct {
	in  io.Reader
	out io.Writer // results
	err io.Writer // everything else
}

// misuse is an error of the caller: exit code 2.
type misuse struct{ error }

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (h hinted) Unwrap() error { return h.error }
func (m misuse) Unwrap() error { return m.error }

func withHint(err error, format string, args ...any) error {
	return hinted{err, fmt.Sprintf(format, args...)}
}

func misusef(format string, args ...any) error { return misuse{fmt.Errorf(format, args...)} }

// run is the whole program; it returns the exit code. It ends cleanly when ctx does.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	s := streams{in: in, out: out, err: errOut}
	root := newRoot(s)
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(errOut, "duet: error: %s\n", oneLine(err.Error()))
	var h hinted
	if errors.As(err, &h) {
		fmt.Fprintf(errOut, "duet: hint: %s\n", h.hint)
	}
	var m misuse
	if errors.As(err, &m) || strings.HasPrefix(err.Error(), "unknown command") {
		return exitMisuse
	}
	return exitFailed
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:           "duet",
		Short:         "Self-hosted two-party video calls: relay, pusher and player in one binary",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return withHint(misuse{err}, "%s --help lists the options", cmd.CommandPath())
	})
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newServe(s), newURL(s), newAgent(s), newCall(s), newUser(s), newQueue(s), newLink(s), newKey(s), newAudit(s), newRecord(s), newPush(s), newPlay(s), newDemo(s), newBench(s), newVersion(s))
	return root
}

// exactly is cobra.ExactArgs as a misuse with a sentence.
func exactly(n int, what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == n {
			return nil
		}
		return withHint(misusef("%s takes %s, not %d arguments", cmd.CommandPath(), what, len(args)), "usage: %s", cmd.UseLine())
	}
}

// oneLine keeps an error to a line of its own.
func oneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// isTerminal reports whether somebody may be looking.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) // #nosec G115 -- file descriptors are small
}

// codeOf is the field's code in an error, 0 if there is none.
func codeOf(err error) int {
	var ce *client.CodeError
	if errors.As(err, &ce) {
		return ce.Code
	}
	return 0
}
