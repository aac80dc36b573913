package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"duet/signaling/desk"
	"duet/signaling/store"
)

func newAudit(s streams) *cobra.Command {
	var cfg callsConfig
	var data, head, user, kind, call string
	var asJSON bool
	verify := &cobra.Command{
		Use:   "verify",
		Short: "Check that the log is whole and that nothing in it was changed",
		Long: `Check every entry of the log: each holds the hash of the one before. What was cut off at the end can't be seen in the log itself: --head compares it
with a head that was noted earlier, as this command prints it. The server must not be running, unless the log is at --nats.`,
		Args: exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return readLog(cmd.Context(), cfg, data, func(ctx context.Context, st *store.Store) error { return verifyLog(ctx, s, st, head) })
		},
	}
	verify.Flags().StringVar(&head, "head", "", "SEQ:HASH that has to be in the log")
	list := &cobra.Command{
		Use:   "list",
		Short: "Tell who did what",
		Args:  exactly(0, "no arguments"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			show := func(r *desk.Record, text string) bool {
				return (user == "" || r.By == user) && (kind == "" || strings.HasPrefix(r.Kind, kind)) && (call == "" || strings.Contains(text, `"`+call+`"`))
			}
			return readLog(cmd.Context(), cfg, data, func(ctx context.Context, st *store.Store) error { return listLog(ctx, s, st, asJSON, show) })
		},
	}
	f := list.Flags()
	f.StringVar(&user, "user", "", "by this user only")
	f.StringVar(&kind, "kind", "", "of this kind only, such as call or call.ended")
	f.StringVar(&call, "call", "", "of this call only")
	f.BoolVar(&asJSON, "json", false, "as JSON lines")
	for _, c := range []*cobra.Command{verify, list} {
		c.Flags().StringVar(&data, "data", defaultData, "the server's data directory")
		c.Flags().StringVar(&cfg.nats, "nats", "", "URL of the NATS server that keeps the log")
		c.Flags().StringVar(&cfg.natsCreds, "nats-creds", "", "credentials file for --nats")
	}
	return group("audit", "Read and check the log of who did what", verify, list)
}

// readLog opens the log for reading.
func readLog(ctx context.Context, cfg callsConfig, data string, f func(context.Context, *store.Store) error) error {
	st, err := openStore(ctx, cfg, data, nil)
	if err != nil {
		return err
	}
	return joinErrors(f(ctx, st), st.Close())
}

// verifyLog checks the chain of hashes.
func verifyLog(ctx context.Context, s streams, st *store.Store, head string) error {
	wantSeq, wantHash, err := parseHead(head)
	if err != nil {
		return err
	}
	last, err := st.Last(ctx)
	if err != nil {
		return err
	}
	if last == 0 {
		return errors.New("the log is empty")
	}
	var prev string
	var first, latest time.Time
	found := wantSeq == 0
	err = st.Read(ctx, 1, last, func(e store.Entry) error {
		parsed, err := desk.ParseEntry(e.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		if parsed.Prev != prev {
			return fmt.Errorf("entry %d of %s does not go on from entry %d: one of the two was changed", e.Seq, parsed.Time.Format(time.RFC3339), e.Seq-1)
		}
		if parsed.Time.Before(latest) {
			return fmt.Errorf("entry %d is of %s, before the entry before it", e.Seq, parsed.Time.Format(time.RFC3339))
		}
		if e.Seq == 1 {
			first = parsed.Time
		}
		latest, prev = parsed.Time, desk.Hash(e.Data)
		if e.Seq == wantSeq {
			if prev != wantHash {
				return fmt.Errorf("entry %d is not the one that was noted: it or one before it was changed", e.Seq)
			}
			found = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("the log ends at entry %d, before the head that was noted: its end was cut off", last)
	}
	_, err = fmt.Fprintf(s.out, "%d entries from %s to %s, each goes on from the one before\nhead %d:%s\n",
		last, first.Format(time.RFC3339), latest.Format(time.RFC3339), last, prev)
	return err
}

func parseHead(text string) (seq uint64, hash string, err error) {
	if text == "" {
		return 0, "", nil
	}
	number, hash, ok := strings.Cut(text, ":")
	if seq, err = strconv.ParseUint(number, 10, 64); err != nil || !ok || seq == 0 {
		return 0, "", misusef("--head is SEQ:HASH, as `duet audit verify` prints it")
	}
	return seq, hash, nil
}

// listLog prints events, a line each.
func listLog(ctx context.Context, s streams, st *store.Store, asJSON bool, show func(*desk.Record, string) bool) error {
	last, err := st.Last(ctx)
	if err != nil || last == 0 {
		return err
	}
	return st.Read(ctx, 1, last, func(e store.Entry) error {
		parsed, err := desk.ParseEntry(e.Data)
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		for i := range parsed.Records {
			r := &parsed.Records[i]
			b, err := json.Marshal(r.Redacted())
			if err != nil {
				return err
			}
			text := string(b)
			if !show(r, text) {
				continue
			}
			if asJSON {
				line, err := json.Marshal(map[string]any{"seq": e.Seq, "time": parsed.Time, "server": parsed.Node, "kind": r.Kind, "by": r.By, "data": json.RawMessage(text)})
				if err != nil {
					return err
				}
				text = string(line)
			} else {
				text = fmt.Sprintf("%s  %-18s  %-16s  %s", parsed.Time.Format("2006-01-02 15:04:05.000"), r.Kind, r.By, text)
			}
			if _, err := fmt.Fprintln(s.out, text); err != nil {
				return err
			}
		}
		return nil
	})
}
