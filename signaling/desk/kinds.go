package desk

// kinds makes an empty event of each kind that a log may hold.
var kinds = byKind(
	make1[userSet], make1[userGone], make1[userEnabled], make1[queueSet], make1[queueGone], make1[keySet], make1[keyGone], make1[hookSet], make1[hookGone],
	make1[linkAdded], make1[linkUsed], make1[sessionSet], make1[sessionGone], make1[audited], make1[nodeUp], make1[nodeDown], make1[connected],
	make1[disconnected], make1[recordSet], make1[consented], make1[recordShot], make1[recordSeen], make1[roomOpened], make1[roomClosing], make1[roomClosed], make1[roomReady], make1[disposed], make1[asked], make1[dialed],
	make1[movedQueue], make1[offered], make1[offerEnded], make1[accepted], make1[joined], make1[removed], make1[mediaSeen], make1[callConnected],
	make1[linkLost], make1[linkResumed], make1[ended], make1[transferBegun], make1[transferEnded], make1[said], make1[seen], make1[swept],
)

func make1[E any, P interface {
	*E
	event
}]() event {
	return P(new(E))
}

func byKind(makers ...func() event) map[string]func() event {
	m := make(map[string]func() event, len(makers))
	for _, f := range makers {
		m[f().kind()] = f
	}
	return m
}

// newEvent returns an empty event of a kind, nil for one that is not known.
func newEvent(kind string) event {
	if f := kinds[kind]; f != nil {
		return f()
	}
	return nil
}
