package relay

// Memory is what a relay holds in one respect, and the limit that is named for it.
type Memory struct {
	What        string
	Used, Limit int
}

// Memories appends, for every stream, what its cache holds and, for every session, what waits to be sent, with their limits.
func (l *Loop) Memories(m []Memory) []Memory {
	for _, st := range l.streams {
		c := &st.cache
		m = append(m,
			Memory{"bytes in a stream's cache", c.bytes, maxCacheBytes},
			Memory{"records in a stream's cache", len(c.records), maxCacheRecords},
			Memory{"SKIPs in a stream's cache", len(c.skips), maxCacheSkips},
			Memory{"packets before their START", len(st.early), maxEarly},
			Memory{"players of a stream", len(st.players), l.cfg.MaxPlayers})
	}
	for _, s := range l.sessions {
		m = append(m, Memory{"bytes in a session's queue", s.conn.QueuedBytes(), maxPlayerQueue + maxCacheBytes})
	}
	return append(m,
		Memory{"sessions", len(l.sessions), l.cfg.MaxSessions},
		Memory{"streams", len(l.streams), l.cfg.MaxStreams},
		Memory{"replies", len(l.replies), maxReplies})
}

// Cached is what a stream's cache holds now.
func (l *Loop) Cached(stream string) (packets, bytes int) {
	if st := l.streams[stream]; st != nil {
		return len(st.cache.packets), st.cache.bytes
	}
	return 0, 0
}
