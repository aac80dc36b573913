package laws

import (
	"fmt"
	"strings"
	"testing"

	"duet/signaling/desk"
)

// Every law can be broken: each log here has one fault.
func TestLaws(t *testing.T) {
	const asked = `{"k":"user.connected","d":{"user":"u","conn":"1","node":"n"}}|{"k":"call.asked","d":{"call":"a","caller":"u"}}|{"k":"call.asked","d":{"call":"b","caller":"v"}}`
	const offered = `|{"k":"call.offered","d":{"call":"a","agent":"x"}}`
	const accepted = `|{"k":"call.accepted","d":{"call":"a","agent":"x"}}`
	for log, want := range map[string]string{
		asked + offered + accepted + `|{"k":"call.ended","d":{"call":"a"}}|{"k":"call.offered","d":{"call":"b","agent":"x"}}`: "",
		asked + `|{"k":"call.offered","d":{"call":"b","agent":"x"}}`:                                                          "has waited for longer",
		asked + `|{"k":"user.disconnected","d":{"user":"u","conn":"1"}}|{"k":"call.offered","d":{"call":"b","agent":"x"}}`:    "",
		asked + `|{"k":"node.down","d":{"id":"n"}}|{"k":"call.offered","d":{"call":"b","agent":"x"}}`:                         "",
		asked + offered + `|{"k":"call.offered","d":{"call":"a","agent":"y"}}`:                                                "is offered to",
		asked + offered + `|{"k":"call.offered","d":{"call":"b","agent":"x"}}`:                                                "in the middle of",
		asked + accepted:                      "accepts what is offered to",
		asked + offered + accepted + accepted: "served twice",
		"gap":                                 "does not go on",
	} {
		var found []string
		c := NewChecker(func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) })
		prev := ""
		if log == "gap" {
			log, prev = asked, "0000"
		}
		for i, record := range strings.Split(log, "|") {
			entry := fmt.Sprintf(`{"v":1,"t":"2026-01-01T00:00:00Z","prev":%q,"events":[%s]}`, prev, record)
			if err := c.Entry(uint64(i+1), []byte(entry)); err != nil {
				t.Fatal(err)
			}
			prev = desk.Hash([]byte(entry))
		}
		if all := strings.Join(found, "\n"); (want == "") != (all == "") || !strings.Contains(all, want) {
			t.Errorf("%s\nfound %q, want %q", log, all, want)
		}
	}
	if err := NewChecker(t.Errorf).Entry(1, []byte("{")); err == nil {
		t.Error("half an entry is read")
	}
}
