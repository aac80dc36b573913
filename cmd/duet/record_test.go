package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Eyevinn/mp4ff/mp4"

	"duet/record"
	"duet/rtmpchunk"
	party "duet/signaling/client"
	"duet/signaling/desk"
)

// recorded is a server whose first queue has a policy, and an agent and a caller at it.
func recorded(t *testing.T, q desk.Queue, change func(*serverConfig)) (h *host, anna, carl *demoParty) {
	t.Helper()
	h = startServer(t, func(c *serverConfig) {
		c.http, c.rtmp = "127.0.0.1:0", ""
		if change != nil {
			change(c)
		}
	})
	server := "http://" + h.srv.httpLn.Addr().String()
	token, err := party.Dev(t.Context(), server, "root", "", "admin")
	if err != nil {
		t.Fatal(err)
	}
	if err := party.Ask(t.Context(), server, http.MethodPut, "/v1/queues/"+firstQueue, token.Token, q, nil); err != nil {
		t.Fatal(err)
	}
	d := &demoRun{server: server, rep: newReporter(streams{out: &output{}, err: &output{}}, false, false)}
	t.Cleanup(d.end)
	if anna, err = d.join(t.Context(), "anna", "agent"); err != nil {
		t.Fatal(err)
	}
	if carl, err = d.join(t.Context(), "carl", "caller"); err != nil {
		t.Fatal(err)
	}
	if err := anna.c.OpenRoom(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h, anna, carl
}

// bodies are the coded frames of a recording, by track's name.
func bodies(t *testing.T, name string) map[string][][]byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := mp4.DecodeFile(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string][][]byte)
	for _, s := range f.Segments {
		for _, fr := range s.Fragments {
			for _, traf := range fr.Moof.Trafs {
				i := traf.Tfhd.TrackID - 1
				name := f.Init.Moov.Traks[i].Mdia.Hdlr.Name
				for _, trun := range traf.Truns {
					trun.AddSampleDefaultValues(traf.Tfhd, f.Init.Moov.Mvex.Trexs[i])
					at := uint32(int64(fr.Moof.StartPos) + int64(trun.DataOffset) - int64(fr.Mdat.PayloadAbsoluteOffset()))
					for _, s := range trun.GetFullSamples(at, 0, fr.Mdat) {
						all[name] = append(all[name], s.Data)
					}
				}
			}
		}
	}
	return all
}

// A call that must be recorded, with consent: no URL before the answer, both sides of the media as they were sent, and what was said.
func TestRecorded(t *testing.T) {
	t.Parallel()
	h, anna, carl := recorded(t, desk.Queue{Record: desk.RecordMust, Consent: true, RetainDays: 30}, nil)
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
	for _, p := range []*demoParty{anna, carl} {
		if e := p.await(ctx, "record.state"); e.Record == nil || e.Record.State != string(desk.RecordAsked) {
			t.Fatalf("%s is told %+v", p.h.name, e.Record)
		}
	}
	if err := carl.c.Consent(ctx, call, true); err != nil {
		t.Fatal(err)
	}
	carl.await(ctx, "call.connected")
	if _, err := carl.c.Say(ctx, call, "1", "what was said"); err != nil {
		t.Fatal(err)
	}
	if err := anna.played(ctx); err != nil {
		t.Fatal(err)
	}
	if err := carl.played(ctx); err != nil {
		t.Fatal(err)
	}
	if err := anna.c.Snapshot(ctx, call); err != nil {
		t.Fatal(err)
	}
	if err := carl.c.HangUp(ctx, call); err != nil {
		t.Fatal(err)
	}
	head := carl.await(ctx, "record.head") // after the end
	var s *record.Summary
	waitFor(t, "the recording", func() bool {
		s, err = record.Find(filepath.Join(h.data, recordDir), call)
		return err == nil && s.State == record.Complete
	})
	key, err := openRecordKey(h.data, false)
	if err != nil {
		t.Fatal(err)
	}
	var witness record.Head
	if err := json.Unmarshal(head.Head, &witness); err != nil {
		t.Fatal(err)
	}
	report, err := record.Verify(s.Folder, record.VerifyOptions{Key: publicKey(key), Witnesses: []record.Head{witness}})
	if err != nil || report.Verdict != record.Genuine || report.Witnesses != 1 {
		t.Fatalf("%v: %+v", err, report)
	}
	if s.Consent != desk.ConsentAgreed || s.Reason != "hangup" || s.Retain.IsZero() || len(s.Parties) != 2 {
		t.Errorf("%+v", s)
	}
	name, _ := s.Media(1)
	have := bodies(t, name)
	var want [2][][]byte
	for r := rtmpchunk.NewReader(bytes.NewReader(clip)); ; {
		m, err := r.Read()
		if err != nil {
			break
		}
		info := rtmpchunk.Classify(m)
		if body, ok := rtmpchunk.Body(m); ok && info.Packet == rtmpchunk.PacketFrames {
			want[info.Kind] = append(want[info.Kind], body)
		}
	}
	for _, who := range []string{"anna (agent) ", "carl (caller) "} {
		for _, k := range []rtmpchunk.Kind{rtmpchunk.Audio, rtmpchunk.Video} {
			if got := have[who+k.String()]; len(got) < len(want[k]) || !slices.EqualFunc(got[:len(want[k])], want[k], bytes.HasSuffix) { // key frames have their parameter sets in front
				t.Errorf("%s%s: %d samples are recorded, %d were sent, or they are not the same", who, k, len(got), len(want[k]))
			}
		}
	}
	for name, text := range map[string]string{"log.jsonl": "what was said", "messages.vtt": "what was said", "snapshot-1.mp4": "moov"} {
		if b, err := os.ReadFile(filepath.Join(s.Folder, name)); err != nil || !strings.Contains(string(b), text) {
			t.Errorf("%s: %v: %.300s", name, err, b)
		}
	}
	if err := record.Delete(filepath.Join(h.data, recordDir), call, time.Now()); err == nil {
		t.Error("it was deleted before its time")
	}
}

// A call that must be recorded does not come about when it can't be; one that is always recorded goes on, and both are told.
func TestRecorderFails(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{desk.RecordMust, desk.RecordAlways} {
		h, anna, carl := recorded(t, desk.Queue{Record: policy}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		dir := filepath.Join(h.data, recordDir)
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir, nil, 0o600); err != nil { // nothing can be written there
			t.Fatal(err)
		}
		call, err := carl.c.JoinQueue(ctx, firstQueue, "")
		if err != nil {
			t.Fatal(err)
		}
		anna.await(ctx, "call.offered")
		if err := anna.c.Accept(ctx, call); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*demoParty{anna, carl} {
			for e := p.await(ctx, "record.state"); e.Record.State != string(desk.RecordFailed); e = p.await(ctx, "record.state") {
				continue
			}
		}
		if policy == desk.RecordMust {
			if e := carl.await(ctx, "call.ended"); e.Reason != string(desk.NotRecorded) {
				t.Errorf("it ended: %s", e.Reason)
			}
			continue
		}
		carl.await(ctx, "call.connected")
	}
}
