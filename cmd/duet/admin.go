package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"duet/signaling"
	"duet/signaling/auth"
	party "duet/signaling/client"
	"duet/signaling/desk"
	"duet/signaling/office"
	"duet/signaling/store"
)

// Whoever can read a data directory has its keys and may set up its server: `duet user`, `queue`, `key` and `link` speak to the server's HTTP
// interface as an admin; if the server does not run, over the log in the directory.

// adminUser is who the log says it was.
const adminUser = "local"

const adminTime = time.Minute

// asAdmin asks the server of a data directory for something.
func asAdmin(ctx context.Context, data, method, path string, request, reply any) error {
	ctx, cancel := context.WithTimeout(ctx, adminTime)
	defer cancel()
	if _, err := os.Stat(data); err != nil {
		if err := os.MkdirAll(data, 0o700); err != nil {
			return withHint(err, "--data names the server's data directory")
		}
	}
	tokens, err := openTokens(data)
	if err != nil {
		return err
	}
	now := time.Now()
	token, err := tokens.Sign(now, auth.Claims{User: adminUser, Roles: []desk.Role{desk.Admin}, Expires: now.Add(adminTime)})
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{Dir: filepath.Join(data, storeDir)})
	switch {
	case errors.Is(err, store.ErrInUse):
		a, err := loadAddresses(data)
		if err != nil {
			return err
		}
		if a == nil || a.HTTP == "" {
			return withHint(errors.New("a server uses the data directory and has no HTTP interface"), "start it with --http, or stop it while setting up")
		}
		return party.Ask(ctx, "http://"+a.HTTP, method, path, token, request, reply)
	case err != nil:
		return err
	}
	lib, err := openRecordings(data)
	if err != nil {
		return joinErrors(err, st.Close())
	}
	return joinErrors(askStopped(ctx, st, lib, tokens, method, path, token, request, reply), st.Close())
}

// askStopped serves the HTTP interface over a log that no server uses, for one request.
func askStopped(ctx context.Context, st *store.Store, lib signaling.Recordings, tokens *auth.Tokens, method, path, token string, request, reply any) error {
	o, err := office.Open(ctx, office.Config{Store: st, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	working, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- o.Run(working) }()
	srv := &http.Server{Handler: signaling.NewAPI(signaling.APIConfig{Office: o, Tokens: tokens, Recordings: lib}), ReadHeaderTimeout: httpHeaderTimeout}
	go func() { _ = srv.Serve(l) }() // until Close
	err = party.Ask(ctx, "http://"+l.Addr().String(), method, path, token, request, reply)
	stop()
	return joinErrors(err, joinErrors(srv.Close(), <-done))
}

// group is a command with commands below it.
func group(use, short string, below ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(below...)
	return cmd
}

// admin makes a command that asks for something about one name.
func admin(use, short string, data *string, run func(ctx context.Context, name string) error) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: exactly(1, "one name"), RunE: func(cmd *cobra.Command, args []string) error {
		if !desk.ValidID(args[0]) {
			return misusef("%q is no name: it has 1 to %d letters, digits, dots, underscores and hyphens, and begins with a letter or digit", args[0], desk.MaxID)
		}
		return run(cmd.Context(), args[0])
	}}
	cmd.Flags().StringVar(data, "data", defaultData, "the server's data directory")
	return cmd
}

func newUser(s streams) *cobra.Command {
	var data, name, passwordFile string
	var roles, queues, skills []string
	add := admin("add NAME", "Make a user, or change one", &data, func(ctx context.Context, id string) error {
		password, err := readPassword(s, passwordFile)
		if err != nil {
			return err
		}
		body := map[string]any{"name": name, "roles": roles, "queues": queues, "skills": skills, "password": password}
		if err := asAdmin(ctx, data, http.MethodPut, "/v1/users/"+id, body, nil); err != nil {
			return err
		}
		_, err = fmt.Fprintf(s.out, "%s is %s\n", id, strings.Join(roles, ", "))
		return err
	})
	f := add.Flags()
	f.StringVar(&name, "name", "", "name that others see")
	f.StringSliceVar(&roles, "role", []string{"agent"}, "caller, agent, supervisor, auditor or admin; may be repeated")
	f.StringSliceVar(&queues, "queue", nil, "queues that an agent serves (default: all)")
	f.StringSliceVar(&skills, "skill", nil, "skills that an agent has")
	f.StringVar(&passwordFile, "password-file", "", "file with the password (default: asked for on a terminal)")
	list := &cobra.Command{Use: "list", Short: "List users", Args: exactly(0, "no arguments"), RunE: func(cmd *cobra.Command, _ []string) error {
		var r struct {
			Users []struct {
				ID, Name              string
				Roles, Queues, Skills []string
				Disabled, Password    bool
			}
		}
		if err := asAdmin(cmd.Context(), data, http.MethodGet, "/v1/users?limit=1000", nil, &r); err != nil {
			return err
		}
		for _, u := range r.Users {
			state := ""
			if u.Disabled {
				state = "  disabled"
			}
			fmt.Fprintf(s.out, "%-20s  %-20s  %s%s\n", u.ID, strings.Join(u.Roles, ","), u.Name, state)
		}
		return nil
	}}
	list.Flags().StringVar(&data, "data", defaultData, "the server's data directory")
	return group("user", "Who may sign in", add, list,
		admin("disable NAME", "Keep a user out; sockets close", &data, func(ctx context.Context, id string) error {
			return asAdmin(ctx, data, http.MethodPost, "/v1/users/"+id+"/disable", nil, nil)
		}),
		admin("enable NAME", "Let a user in again", &data, func(ctx context.Context, id string) error {
			return asAdmin(ctx, data, http.MethodPost, "/v1/users/"+id+"/enable", nil, nil)
		}),
		admin("remove NAME", "Delete a user", &data, func(ctx context.Context, id string) error {
			return asAdmin(ctx, data, http.MethodDelete, "/v1/users/"+id, nil, nil)
		}))
}

// readPassword asks twice on a terminal.
func readPassword(s streams, file string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--password-file: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	in, ok := s.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) { // #nosec G115 -- file descriptors are small
		return "", withHint(misusef("there is no password, and no terminal to ask on"), "--password-file FILE")
	}
	ask := func(what string) (string, error) {
		fmt.Fprint(s.err, what)
		b, err := term.ReadPassword(int(in.Fd())) // #nosec G115 -- as above
		fmt.Fprintln(s.err)
		return string(b), err
	}
	first, err := ask("Password: ")
	if err != nil {
		return "", err
	}
	second, err := ask("Again: ")
	if err == nil && first != second {
		err = errors.New("the two passwords are not the same")
	}
	return first, err
}

func newQueue(s streams) *cobra.Command {
	var data string
	q := desk.Queue{}
	var ring, wrapUp, grace, after time.Duration
	add := admin("add NAME", "Make a queue, or change one", &data, func(ctx context.Context, id string) error {
		q.Ring, q.WrapUp, q.Grace, q.OverflowAfter = desk.Duration(ring), desk.Duration(wrapUp), desk.Duration(grace), desk.Duration(after)
		return asAdmin(ctx, data, http.MethodPut, "/v1/queues/"+id, q, nil)
	})
	f := add.Flags()
	f.StringVar(&q.Name, "name", "", "name that callers see")
	f.StringSliceVar(&q.Skills, "skill", nil, "skills that an agent needs")
	f.IntVar(&q.Capacity, "capacity", 0, "how many may wait (default 1000)")
	f.StringVar(&q.Overflow, "overflow", "", "queue for callers that find this one full")
	f.DurationVar(&after, "overflow-after", 0, "and for those who have waited for so long")
	f.DurationVar(&ring, "ring", 0, "how long a call rings at an agent (default 20s)")
	f.DurationVar(&wrapUp, "wrap-up", 0, "an agent's time after a call")
	f.DurationVar(&grace, "grace", 0, "how long the place of a caller without connection is kept (default 20s)")
	f.StringVar(&q.Record, "record", "", "whether calls are recorded: never, on-request, always or must (default: as serve --record says)")
	f.BoolVar(&q.Consent, "consent", false, "callers are asked before they are recorded")
	f.IntVar(&q.RetainDays, "retain-days", 0, "recordings can't be deleted for so long")
	f.BoolVar(&q.Public, "public", false, "anybody may wait here, without a link or token")
	list := &cobra.Command{Use: "list", Short: "List queues", Args: exactly(0, "no arguments"), RunE: func(cmd *cobra.Command, _ []string) error {
		var r struct {
			Queues []struct {
				ID, Name        string
				Waiting, Served int
			}
		}
		if err := asAdmin(cmd.Context(), data, http.MethodGet, "/v1/queues", nil, &r); err != nil {
			return err
		}
		for _, q := range r.Queues {
			fmt.Fprintf(s.out, "%-20s  %d waiting, %d served  %s\n", q.ID, q.Waiting, q.Served, q.Name)
		}
		return nil
	}}
	list.Flags().StringVar(&data, "data", defaultData, "the server's data directory")
	return group("queue", "Where callers wait", add, list, admin("remove NAME", "Delete a queue in which nobody waits", &data, func(ctx context.Context, id string) error {
		return asAdmin(ctx, data, http.MethodDelete, "/v1/queues/"+id, nil, nil)
	}))
}

func newKey(s streams) *cobra.Command {
	var data, name string
	var scopes []string
	add := admin("add NAME", "Make an API key for a backend; it is shown once", &data, func(ctx context.Context, id string) error {
		var r struct{ Key string }
		if err := asAdmin(ctx, data, http.MethodPost, "/v1/keys", map[string]any{"id": id, "name": name, "scopes": scopes}, &r); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.out, r.Key)
		return err
	})
	add.Flags().StringVar(&name, "name", "", "what it is for")
	add.Flags().StringSliceVar(&scopes, "scope", []string{"tokens"}, "tokens, urls, calls, audit or admin; may be repeated")
	return group("key", "API keys of backends", add, admin("remove NAME", "Delete an API key", &data, func(ctx context.Context, id string) error {
		return asAdmin(ctx, data, http.MethodDelete, "/v1/keys/"+id, nil, nil)
	}))
}

func newLink(s streams) *cobra.Command {
	var data, name, queue string
	var ttl time.Duration
	add := func(role, short string) *cobra.Command {
		cmd := admin(role+" USER", short, &data, func(ctx context.Context, user string) error {
			var r struct{ Secret, Path string }
			kind := role
			if role == "call" {
				kind = "caller"
			}
			body := map[string]any{"user": user, "name": name, "role": kind, "queue": queue, "ttl": ttl.String()}
			if err := asAdmin(ctx, data, http.MethodPost, "/v1/links", body, &r); err != nil {
				return err
			}
			_, err := fmt.Fprintln(s.out, r.Secret)
			return err
		})
		f := cmd.Flags()
		f.StringVar(&name, "name", "", "name that the other side sees")
		f.StringVar(&queue, "queue", "", "queue that it leads to")
		f.DurationVar(&ttl, "ttl", 24*time.Hour, "how long it is good, once")
		return cmd
	}
	return group("link", "One-time links that let one person in", add("agent", "Let an agent in"), add("call", "Let a caller in"))
}
