package laws

import (
	"encoding/json"
	"fmt"

	"duet/signaling/desk"
)

// Checker goes through the log and holds it to laws: an agent has at most one caller, a call is offered to one agent at a time and accepted once, who
// asked first is offered first if there, and every entry goes on from the one before. It belongs to one goroutine.
type Checker struct {
	Line   []string          // calls that are in line, by order of asking
	Served map[string]int    // how often, by call
	Gone   map[string]string // how calls ended that nobody had accepted, by call

	fault   func(format string, args ...any)
	prev    string
	with    map[string]string            // call that an agent is in
	offer   map[string]string            // agent that a call is offered to
	caller  map[string]string            // of a call
	conns   map[string]map[string]string // node by connection, by user
	refused map[[2]string]bool           // call and agent of an offer that came to nothing
}

// NewChecker returns one that begins with the log's first entry. fault is told whatever breaks a law.
func NewChecker(fault func(format string, args ...any)) *Checker {
	return &Checker{
		fault: fault, with: make(map[string]string), offer: make(map[string]string), caller: make(map[string]string), conns: make(map[string]map[string]string),
		refused: make(map[[2]string]bool), Served: make(map[string]int),
		Gone: make(map[string]string),
	}
}

// Entry takes the next entry of the log. An error means that it can't be read.
func (c *Checker) Entry(seq uint64, data []byte) error {
	parsed, err := desk.ParseEntry(data)
	if err != nil {
		return err
	}
	if parsed.Prev != c.prev {
		c.fault("entry %d does not go on from the one before", seq)
	}
	c.prev = desk.Hash(data)
	for _, r := range parsed.Records {
		var d struct{ Call, Caller, Agent, User, Conn, Node, ID, Reason string }
		if err := json.Unmarshal(r.Data, &d); err != nil {
			return fmt.Errorf("entry %d: %w", seq, err)
		}
		switch r.Kind {
		case "user.connected":
			if c.conns[d.User] == nil {
				c.conns[d.User] = make(map[string]string)
			}
			c.conns[d.User][d.Conn] = d.Node
		case "user.disconnected":
			delete(c.conns[d.User], d.Conn)
		case "node.up", "node.down":
			for _, have := range c.conns {
				for conn, node := range have {
					if node == d.ID {
						delete(have, conn)
					}
				}
			}
		case "call.asked":
			c.Line = append(c.Line, d.Call)
			c.caller[d.Call] = d.Caller
		case "call.offered":
			c.offered(seq, d.Call, d.Agent)
		case "call.offer-ended":
			c.refused[[2]string{d.Call, d.Agent}] = true
			delete(c.with, d.Agent)
			delete(c.offer, d.Call)
		case "call.accepted":
			if c.offer[d.Call] != d.Agent {
				c.fault("entry %d: %s accepts what is offered to %q", seq, d.Agent, c.offer[d.Call])
			}
			if c.Served[d.Call]++; c.Served[d.Call] > 1 {
				c.fault("entry %d: %s is served twice", seq, d.Call)
			}
			c.leave(d.Call)
		case "call.ended":
			if c.Served[d.Call] == 0 {
				c.Gone[d.Call] = d.Reason
			}
			delete(c.with, c.offer[d.Call])
			delete(c.offer, d.Call)
			c.leave(d.Call)
		}
	}
	return nil
}

// offered holds an offer to: one agent a call, one call an agent, and who asked first comes first, if there.
func (c *Checker) offered(seq uint64, call, agent string) {
	if other := c.offer[call]; other != "" {
		c.fault("entry %d: %s is offered to %s and %s", seq, call, other, agent)
	}
	if c.with[agent] != "" {
		c.fault("entry %d: %s is offered %s in the middle of %s", seq, agent, call, c.with[agent])
	}
	for _, before := range c.Line {
		if before == call {
			break
		}
		if c.offer[before] == "" && len(c.conns[c.caller[before]]) > 0 && !c.refused[[2]string{before, agent}] {
			c.fault("entry %d: %s is offered %s, and %s has waited for longer", seq, agent, call, before)
		}
	}
	c.offer[call], c.with[agent] = agent, call
}

func (c *Checker) leave(call string) {
	for i, have := range c.Line {
		if have == call {
			c.Line = append(c.Line[:i:i], c.Line[i+1:]...)
			return
		}
	}
}
