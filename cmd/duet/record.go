package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"duet/record"
)

func newRecord(s streams) *cobra.Command {
	return group("record", "List, check, open, export and delete recordings of calls",
		recordList(s), recordShow(s), recordVerify(s), recordOpen(s), recordExport(s), recordDelete(s), recordHold(s), recordKey(s))
}

func dataFlag(cmd *cobra.Command, data *string) {
	cmd.Flags().StringVar(data, "data", defaultData, "the server's data directory")
}

func recordList(s streams) *cobra.Command {
	var data string
	var asJSON bool
	cmd := &cobra.Command{Use: "list", Short: "List recordings, the newest first", Args: exactly(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
		list, err := record.List(filepath.Join(data, recordDir))
		if err != nil {
			return err
		}
		if asJSON {
			e := json.NewEncoder(s.out)
			for i := range list {
				if err := e.Encode(&list[i]); err != nil {
					return err
				}
			}
			return nil
		}
		w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "CALL\tBEGAN\tLENGTH\tQUEUE\tPARTIES\tSIZE\tSTATE")
		for i := range list {
			r := &list[i]
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", r.Call, r.Began, time.Duration(r.Milli)*time.Millisecond, r.Queue, usersOf(r), size(uint64(max(r.Size, 0))), stateOf(r))
		}
		return w.Flush()
	}}
	dataFlag(cmd, &data)
	cmd.Flags().BoolVar(&asJSON, "json", false, "as JSON lines")
	return cmd
}

func usersOf(r *record.Summary) string {
	var names []string
	for _, p := range r.Parties {
		names = append(names, p.User)
	}
	return strings.Join(names, ", ")
}

func stateOf(r *record.Summary) string {
	text := string(r.State)
	if r.Sealed {
		text += ", sealed"
	}
	if r.Hold != nil {
		text += ", held"
	} else if time.Now().Before(r.Retain) {
		text += ", kept until " + r.Retain.Format(time.DateOnly)
	}
	return text
}

func recordShow(s streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "show CALL", Short: "Show a recording as JSON", Args: exactly(1, "one call"), RunE: func(_ *cobra.Command, args []string) error {
		r, err := record.Find(filepath.Join(data, recordDir), args[0])
		if err != nil {
			return withHint(err, "duet record list shows which there are")
		}
		e := json.NewEncoder(s.out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
		fmt.Fprintf(s.err, "files: %s\n", r.Folder)
		return nil
	}}
	dataFlag(cmd, &data)
	return cmd
}

func recordVerify(s streams) *cobra.Command {
	var pub string
	var witnesses []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify DIR|FILE",
		Short: "Check that nothing in a recording was changed",
		Long: `Check a recording: its folder, or a file in it. Exits with 0 only if every byte is as the holder of the key recorded it and the end is signed.
Only the public key is needed, as duet record key prints it; without it the best answer is "consistent, signer unknown". A head that was given out while the call was
recorded (event record.head on the socket, webhook and log) is a witness: even the holder of the key can't have rewritten what came before it.`,
		Args: exactly(1, "the recording's folder or a file in it"),
		RunE: func(_ *cobra.Command, args []string) error {
			o := record.VerifyOptions{}
			if pub != "" {
				key, err := readKey(pub)
				if err != nil {
					return misuse{err}
				}
				o.Key = key
			}
			for _, name := range witnesses {
				h, err := readWitness(name)
				if err != nil {
					return misuse{err}
				}
				o.Witnesses = append(o.Witnesses, h...)
			}
			return verifyFolder(s, args[0], o, asJSON)
		},
	}
	f := cmd.Flags()
	f.StringVar(&pub, "pub", "", "the public key, or a file with it")
	f.StringArrayVar(&witnesses, "witness", nil, "file with heads that were given out, as JSON; may be repeated")
	f.BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// readKey takes a key, or a file with one.
func readKey(text string) (ed25519.PublicKey, error) {
	if b, err := os.ReadFile(filepath.Clean(text)); err == nil {
		text = string(b)
	}
	return record.ParseKey(text)
}

// readWitness reads heads: one after the other, as they are or as part of an event.
func readWitness(name string) (list []record.Head, err error) {
	f, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, err
	}
	defer func() { err = joinErrors(err, f.Close()) }()
	for d := json.NewDecoder(f); ; {
		var v struct {
			record.Head
			Inner *record.Head                 `json:"head"`
			Data  *struct{ Head *record.Head } `json:"data"`
		}
		if err := d.Decode(&v); errors.Is(err, io.EOF) {
			if len(list) == 0 {
				return nil, fmt.Errorf("%s has no head of a recording", name)
			}
			return list, nil
		} else if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		switch {
		case v.Recording != "":
			list = append(list, v.Head)
		case v.Inner != nil:
			list = append(list, *v.Inner)
		case v.Data != nil && v.Data.Head != nil:
			list = append(list, *v.Data.Head)
		}
	}
}

// errVerdict makes the program exit with 1 after a report that says why.
var errVerdict = errors.New("the recording is not genuine")

func verifyFolder(s streams, name string, o record.VerifyOptions, asJSON bool) error {
	info, err := os.Stat(name)
	if err != nil {
		return withHint(err, "name the folder of a recording: DATA/%s/CALL", recordDir)
	}
	if !info.IsDir() {
		name = filepath.Dir(name)
	}
	if abs, err := filepath.Abs(name); err == nil {
		name = abs
	}
	r, err := record.Verify(name, o)
	if err != nil {
		return err
	}
	if asJSON {
		if err := json.NewEncoder(s.out).Encode(r); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(s.out, "%s\n", r.Verdict)
		for i := range r.Findings {
			f := &r.Findings[i]
			mark := "!"
			if f.Warning {
				mark = "-"
			}
			fmt.Fprintf(s.out, "%s %s\n", mark, f.String())
		}
		for _, p := range r.Parts {
			fmt.Fprintf(s.out, "recording %s, %s to %s, %v\n", p.Recording, p.Began, p.Ended, p.Length)
		}
		fmt.Fprintf(s.out, "%d fragments, %d signatures, %d witnesses; key %s\n", r.Fragments, r.Heads, r.Witnesses, r.Key)
	}
	switch r.Verdict {
	case record.Genuine:
		return nil
	case record.Unknown:
		return withHint(fmt.Errorf("%w: %s", errVerdict, r.Verdict), "--pub names the key that it has to be signed with: duet record key --data DIR prints the server's")
	}
	return fmt.Errorf("%w: %s", errVerdict, r.Verdict)
}

func recordOpen(s streams) *cobra.Command {
	var identity, out string
	cmd := &cobra.Command{
		Use:   "open DIR",
		Short: "Open a sealed recording with an identity",
		Long:  "Write the files of a sealed recording in the clear, into another folder. The identity is what age-keygen made, the file with AGE-SECRET-KEY-1….",
		Args:  exactly(1, "the recording's folder"),
		RunE: func(_ *cobra.Command, args []string) (err error) {
			if identity == "" || out == "" {
				return withHint(misusef("--identity and --out are needed"), "for example: duet record open DIR --identity key.txt --out ./open")
			}
			f, err := os.Open(filepath.Clean(identity))
			if err != nil {
				return err
			}
			defer func() { err = joinErrors(err, f.Close()) }()
			ids, err := age.ParseIdentities(f)
			if err != nil {
				return fmt.Errorf("%s: %w", identity, err)
			}
			names, err := record.OpenSealed(args[0], out, ids)
			for _, name := range names {
				fmt.Fprintln(s.out, filepath.Join(out, name))
			}
			return err
		},
	}
	cmd.Flags().StringVar(&identity, "identity", "", "file with the identity that it was sealed to")
	cmd.Flags().StringVar(&out, "out", "", "folder to write to")
	return cmd
}

func recordExport(s streams) *cobra.Command {
	var data, out string
	var beside bool
	cmd := &cobra.Command{
		Use:   "export CALL",
		Short: "Write a recording with all that is needed to check it as a ZIP, or as one picture",
		Args:  exactly(1, "one call"),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := record.Find(filepath.Join(data, recordDir), args[0])
			if err != nil {
				return withHint(err, "duet record list shows which there are")
			}
			if out == "" {
				if out = r.Call + ".zip"; beside {
					out = r.Call + ".mp4"
				}
			}
			if err := asAdmin(cmd.Context(), data, http.MethodPost, "/v1/recordings/"+r.Call+"/exported", nil, nil); err != nil {
				return fmt.Errorf("that it is exported can't be kept in the log: %w", err)
			}
			if beside {
				err = sideBySide(cmd.Context(), s, r, out)
			} else {
				err = exportZIP(r, out)
			}
			if err == nil {
				fmt.Fprintln(s.out, out)
			}
			return err
		},
	}
	dataFlag(cmd, &data)
	cmd.Flags().StringVar(&out, "out", "", "file to write (default: CALL.zip, or CALL.mp4)")
	cmd.Flags().BoolVar(&beside, "side-by-side", false, "one picture of both parties with the sound of both; needs ffmpeg")
	return cmd
}

func exportZIP(r *record.Summary, out string) (err error) {
	f, err := os.OpenFile(filepath.Clean(out), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = joinErrors(err, f.Close()) }()
	return zipFolder(f, r.Folder, r.Call)
}

// sideBySide has ffmpeg put both parties into one picture.
func sideBySide(ctx context.Context, s streams, r *record.Summary, out string) error {
	if r.Sealed {
		return withHint(errors.New("the recording is sealed"), "duet record open writes it in the clear; ffmpeg can take it from there")
	}
	ffmpeg, err := exec.LookPath("ffmpeg")
	if err != nil {
		return withHint(errors.New("ffmpeg is not installed, which makes the picture"), "apt install ffmpeg, or see ffmpeg.org; without --side-by-side nothing else is needed")
	}
	video, audio := 0, 0
	for _, t := range r.Tracks {
		if strings.Contains(t.Detail, "×") {
			video++
		} else {
			audio++
		}
	}
	if video == 0 || audio == 0 || r.Parts > 1 {
		return errors.New("this recording has several parts, or no picture, or no sound: use media.mp4 itself")
	}
	var graph strings.Builder
	for i := range video {
		fmt.Fprintf(&graph, "[0:v:%d]scale=-2:360,setsar=1[v%d];", i, i)
	}
	for i := range video {
		fmt.Fprintf(&graph, "[v%d]", i)
	}
	if video > 1 {
		fmt.Fprintf(&graph, "hstack=inputs=%d[v];", video)
	} else {
		graph.WriteString("null[v];")
	}
	for i := range audio {
		fmt.Fprintf(&graph, "[0:a:%d]", i)
	}
	fmt.Fprintf(&graph, "amix=inputs=%d[a]", audio)
	name, _ := r.Media(1)
	cmd := exec.CommandContext(ctx, ffmpeg, "-v", "error", "-n", "-i", name, "-filter_complex", graph.String(), "-map", "[v]", "-map", "[a]", "-c:v", "libx264", "-c:a", "aac", out) //nolint:gosec // our own arguments
	cmd.Stderr = s.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("ffmpeg: %w", err)
	}
	return nil
}

func recordDelete(s streams) *cobra.Command {
	var data string
	return admin("delete CALL", "Delete a recording, if its time is over; the log keeps that, and that it was refused", &data, func(ctx context.Context, call string) error {
		if err := asAdmin(ctx, data, http.MethodDelete, "/v1/recordings/"+call, nil, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.out, "%s is deleted\n", call)
		return err
	})
}

func recordHold(s streams) *cobra.Command {
	var data, reason string
	var release bool
	cmd := admin("hold CALL", "Keep a recording whatever its time, for a reason", &data, func(ctx context.Context, call string) error {
		if release == (reason != "") {
			return withHint(misusef("give --reason, or --release"), `for example: duet record hold %s --reason "case 4711"`, call)
		}
		method, what := http.MethodPut, "held"
		if release {
			method, what = http.MethodDelete, "not held any more"
		}
		if err := asAdmin(ctx, data, method, "/v1/recordings/"+call+"/hold", map[string]string{"reason": reason}, nil); err != nil {
			return err
		}
		_, err := fmt.Fprintf(s.out, "%s is %s\n", call, what)
		return err
	})
	cmd.Flags().StringVar(&reason, "reason", "", "why, for the log")
	cmd.Flags().BoolVar(&release, "release", false, "end the hold")
	return cmd
}

func recordKey(s streams) *cobra.Command {
	var data string
	cmd := &cobra.Command{Use: "key", Short: "Print the public key that recordings of a server are checked with", Args: exactly(0, "no arguments"), RunE: func(*cobra.Command, []string) error {
		key, err := openRecordKey(data, false)
		if errors.Is(err, os.ErrNotExist) {
			return withHint(fmt.Errorf("%s has no key of recordings", data), "a server makes one on its first start; --data names its directory")
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(s.out, record.FormatKey(publicKey(key)))
		return err
	}}
	dataFlag(cmd, &data)
	return cmd
}
