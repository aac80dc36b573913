package transport

import "time"

// timerID names a timer. The earliest of them is the connection's deadline.
type timerID uint8

const (
	timerHandshake timerID = iota // INIT again, or give up
	timerIdle                     // nothing heard
	timerPing                     // clock sample and keep-alive
	timerFeedback                 // a report is owed
	timerLoss                     // a packet may now be called lost
	timerProbe                    // no report came: ask for one
	timerTail                     // nothing followed the last media: show what of it was lost
	timerPacer                    // the pacer lets the next packet go
	timerExpire                   // the oldest block's deadline
	timerPath                     // challenge again, or give the new path up
	timerClose                    // CLOSE again, or done
	timerCount
)

// timers holds one instant a name; the zero time is "not set".
type timers struct {
	at [timerCount]time.Time
}

func (t *timers) set(id timerID, at time.Time) { t.at[id] = at }

func (t *timers) clear(id timerID) { t.at[id] = time.Time{} }

// setEarlier sets a timer unless it is set to an earlier instant.
func (t *timers) setEarlier(id timerID, at time.Time) {
	if t.at[id].IsZero() || at.Before(t.at[id]) {
		t.at[id] = at
	}
}

func (t *timers) earliest() time.Time {
	var first time.Time
	for _, at := range t.at {
		if !at.IsZero() && (first.IsZero() || at.Before(first)) {
			first = at
		}
	}
	return first
}

// due returns a timer whose instant has come.
func (t *timers) due(now time.Time) (timerID, bool) {
	for id, at := range t.at {
		if !at.IsZero() && !at.After(now) {
			return timerID(id), true
		}
	}
	return 0, false
}
