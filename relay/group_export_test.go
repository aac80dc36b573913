package relay

// Unsteered makes a relay's sockets get datagrams by address, as where the system takes no program.
func Unsteered(c *Config) { c.unsteered = true }

// Home is the index of the loop that owns a stream.
func (l *Loop) Home(stream string) int { return l.group.home(stream).index }

// Sum is the sum of two loops' counters.
func Sum(a, b Stats) Stats {
	a.add(&b)
	return a
}
