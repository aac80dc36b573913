package main

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"duet/record"
	"duet/signaling"
	party "duet/signaling/client"
	"duet/signaling/desk"
)

// An auditor lists, checks, plays and takes recordings over HTTP, nobody else does, and the log has it all.
func TestRecordingsOverHTTP(t *testing.T) {
	t.Parallel()
	h, anna, carl := recorded(t, desk.Queue{Record: desk.RecordAlways, RetainDays: 1}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	call, err := carl.c.JoinQueue(ctx, firstQueue, "")
	if err != nil {
		t.Fatal(err)
	}
	anna.await(ctx, "call.offered")
	if err := anna.c.Accept(ctx, call); err != nil {
		t.Fatal(err)
	}
	carl.await(ctx, "call.connected")
	pause(ctx, time.Second)
	if err := carl.c.HangUp(ctx, call); err != nil {
		t.Fatal(err)
	}
	server := "http://" + h.srv.httpLn.Addr().String()
	waitFor(t, "the recording", func() bool {
		r, err := record.Find(filepath.Join(h.data, recordDir), call)
		return err == nil && r.State == record.Complete
	})
	token := func(role string) string {
		tok, err := party.Dev(ctx, server, role, "", role)
		if err != nil {
			t.Fatal(err)
		}
		return tok.Token
	}
	auditor, admin := token("auditor"), token("admin")
	path := "/v1/recordings/" + call
	for _, role := range []string{"caller", "agent", "supervisor"} {
		for _, p := range []string{"/v1/recordings", path, path + "/verify", path + "/export", "/v1/record-key"} {
			if err := party.Ask(ctx, server, http.MethodGet, p, token(role), nil, nil); party.CodeOf(err) != "forbidden" {
				t.Errorf("GET %s by a %s: %v", p, role, err)
			}
		}
	}
	var list struct{ Recordings []signaling.RecordingView }
	if err := party.Ask(ctx, server, http.MethodGet, "/v1/recordings", auditor, nil, &list); err != nil || len(list.Recordings) != 1 || list.Recordings[0].Call != call || len(list.Recordings[0].Parties) != 2 {
		t.Fatalf("%v: %+v", err, list)
	}
	var report record.Report
	if err := party.Ask(ctx, server, http.MethodGet, path+"/verify", auditor, nil, &report); err != nil || report.Verdict != record.Genuine {
		t.Errorf("%v: %+v", err, report)
	}
	var ticket struct{ URL string }
	if err := party.Ask(ctx, server, http.MethodPost, path+"/ticket", auditor, nil, &ticket); err != nil {
		t.Fatal(err)
	}
	get := func(url, token, ranges string) (int, []byte) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server+url, nil)
		if err != nil {
			t.Fatal(err)
		}
		if token != "" {
			req.Header.Set("Authorization", "Bearer "+token)
		}
		if ranges != "" {
			req.Header.Set("Range", ranges)
		}
		r, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Body.Close() }()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Fatal(err)
		}
		return r.StatusCode, b
	}
	media, err := os.ReadFile(filepath.Join(h.data, recordDir, call, "media.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	if code, b := get(ticket.URL, "", "bytes=1000-1999"); code != http.StatusPartialContent || !bytes.Equal(b, media[1000:2000]) {
		t.Errorf("a range: %d, %d bytes", code, len(b))
	}
	for _, url := range []string{path + "/media", path + "/media?ticket=x.y", strings.Replace(ticket.URL, call, "other", 1), ticket.URL[:len(ticket.URL)-1]} {
		if code, _ := get(url, "", ""); code != http.StatusUnauthorized && code != http.StatusTooManyRequests {
			t.Errorf("%s: %d", url, code)
		}
	}
	code, b := get(path+"/export", auditor, "")
	z, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if code != http.StatusOK || err != nil {
		t.Fatalf("export: %d, %v", code, err)
	}
	out := t.TempDir()
	if err := os.CopyFS(out, z); err != nil {
		t.Fatal(err)
	}
	key, err := record.ParseKey(report.Key)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := record.Verify(filepath.Join(out, call), record.VerifyOptions{Key: key}); err != nil || r.Verdict != record.Genuine {
		t.Errorf("what was exported: %v, %+v", err, r)
	}
	for _, step := range []struct{ method, path, token, code string }{
		{http.MethodDelete, path, auditor, "forbidden"},
		{http.MethodDelete, path, admin, "conflict"}, // before its time
		{http.MethodPut, path + "/hold", admin, ""},
		{http.MethodDelete, path + "/hold", admin, ""},
		{http.MethodDelete, "/v1/recordings/nosuchcall", admin, "not-found"},
		{http.MethodPost, "/v1/recordings/..%2f..%2fetc/ticket", auditor, "not-found"},
	} {
		if err := party.Ask(ctx, server, step.method, step.path, step.token, map[string]string{"reason": "case 1"}, nil); party.CodeOf(err) != step.code || (err == nil) != (step.code == "") {
			t.Errorf("%s %s: %v, want %q", step.method, step.path, err, step.code)
		}
	}
	_, text := get("/v1/audit?limit=1000", auditor, "")
	for _, want := range []string{"recording.view", "recording.export", "recording.delete", "recording.hold", "recording.release"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the log does not have %s", want)
		}
	}
}
