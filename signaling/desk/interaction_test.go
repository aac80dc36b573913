package desk

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestInteraction runs the transcripts in testdata/interaction: what they print is what callers, agents and supervisors are told.
func TestInteraction(t *testing.T) {
	datadriven.Walk(t, "testdata/interaction", func(t *testing.T, path string) {
		s := newShop(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			s.t = t
			var out bytes.Buffer
			switch d.Cmd {
			case "do":
				for line := range strings.Lines(d.Input) {
					out.WriteString(s.say(strings.TrimSpace(line)))
				}
			case "line":
				for _, p := range s.state.Places(d.CmdArgs[0].Key, 1, 100) {
					fmt.Fprintf(&out, "%d of %d: %s (%s)", p.Position, p.Of, p.Caller, p.Call)
					if p.Known {
						fmt.Fprintf(&out, " in about %v", p.Estimate)
					}
					fmt.Fprintln(&out)
				}
			case "rooms":
				for _, r := range s.state.AllRooms() {
					fmt.Fprintf(&out, "%s %s %s\n", r.Agent, r.State, r.Call)
				}
			case "ended":
				for _, c := range s.state.AllEnded() {
					fmt.Fprintf(&out, "%s %s by %q, agents %v\n", c.ID, c.Reason, c.By, c.Agents)
				}
			default:
				t.Fatalf("unknown command %q", d.Cmd)
			}
			return out.String()
		})
	})
}
