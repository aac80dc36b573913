//go:build unix

package main

import (
	"os"
	"path/filepath"
	"testing"

	"duet/signaling/store/storetest"
)

// TestRolesApart has relay and signaling meet over NATS. Signaling goes away in the middle of a call: media does not notice, and the call goes on
// when it is back.
func TestRolesApart(t *testing.T) {
	t.Parallel()
	nats := storetest.NATS(t)
	port := freePort(t, "tcp")
	signalingData := t.TempDir()
	apart := func(role string) func(*serverConfig) {
		return func(c *serverConfig) {
			c.role, c.calls.nats = role, nats
			c.rtmp = ""
			if role == roleSignaling {
				c.data, c.http = signalingData, (&killable{http: port}).address()
			} else {
				c.http = ""
			}
		}
	}
	media := startServer(t, apart(roleRelay))
	for _, name := range []string{tokenFile} { // as docs/operating.md says
		b, err := os.ReadFile(filepath.Join(media.data, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(signalingData, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := startServer(t, apart(roleSignaling))
	s := killable{t: t, http: port}
	anna, carl := s.join("anna", "agent"), s.join("carl", "caller")
	ctx := t.Context()
	if err := anna.c.OpenRoom(ctx); err != nil {
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
	carl.await(ctx, "call.connected")
	first.stop()
	if err := anna.played(ctx); err != nil { // all of the clip, while nobody is there to signal
		t.Error(err)
	}
	startServer(t, apart(roleSignaling))
	if _, err := anna.c.Say(ctx, call, "1", "still here?"); err != nil {
		t.Fatal(err)
	}
	if m := carl.await(ctx, "message"); m.Message.Body != "still here?" {
		t.Errorf("got %+v", m.Message)
	}
	if err := carl.c.HangUp(ctx, call); err != nil {
		t.Fatal(err)
	}
	if e := anna.await(ctx, "call.ended"); e.Reason != "hangup" {
		t.Errorf("ended by %s", e.Reason)
	}
	waitFor(t, "the relay to put both out", func() bool {
		st, err := media.srv.relay.Stats(ctx)
		return err == nil && st.Sessions == 0
	})
}
