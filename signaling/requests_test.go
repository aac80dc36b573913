package signaling

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"

	"duet/signaling/desk"
)

// FuzzParse: whatever comes is refused with a code, or means the same when it is written again.
func FuzzParse(f *testing.F) {
	for _, kind := range slices.Sorted(maps.Keys(requests)) {
		f.Add([]byte(`{"id":1,"type":"` + kind + `","call":"c1","queue":"q","user":"u","mid":"m","body":"x","skills":["a"],"read":3,"code":1002,"more":{}}`))
	}
	for _, text := range []string{`{"type":"ping"}`, `{"id":1,"type":"hello"}`, `{"id":-0.5e7,"type":"x"}`, `{"id":1,"type":"queue.join","priority":"1"}`, `[`, ``} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, fields, err := parse(b)
		if r.ID != nil && !validRequestID(r.ID) {
			t.Errorf("the ID %q is sent back", r.ID)
		}
		var refused *desk.Error
		switch {
		case errors.As(err, &refused):
			if c := refused.Code; c != desk.Malformed && c != desk.Unknown && c != desk.Conflict {
				t.Errorf("refused with %s", c)
			}
			return
		case err != nil:
			t.Fatalf("the error %v has no code", err)
		case fields == nil:
			if r.Type != "ping" && r.Type != "pong" {
				t.Errorf("a %q has no fields", r.Type)
			}
			return
		}
		text := rewrite(t, r, fields)
		r2, fields2, err := parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if again := rewrite(t, r2, fields2); !bytes.Equal(text, again) {
			t.Errorf("%s became %s", text, again)
		}
	})
}

// rewrite writes a request as a client would.
func rewrite(t *testing.T, r request, fields any) []byte {
	t.Helper()
	b, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	m["id"], m["type"] = r.ID, r.Type
	if b, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	return b
}

// IDs of calls are valid, and no two are the same.
func TestNewCallIDs(t *testing.T) {
	have := make(map[string]bool)
	for range 1000 {
		id := newCallID()
		if !desk.ValidID(id) || len(id) != 16 || have[id] {
			t.Fatalf("%q is no new ID", id)
		}
		have[id] = true
	}
}
