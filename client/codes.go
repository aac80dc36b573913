package client

import (
	"errors"
	"fmt"
	"time"
)

// Codes of events and errors. The numbers are those that pushers and players in the field report.
const (
	CodePushConnected    = 1001 // the relay has let the pusher in, or is heard again after 1102
	CodePushBegins       = 1002 // the stream is the pusher's: media may flow
	CodeSizeAdapted      = 1005 // pictures of another size go out: another rendition
	CodeBitrateAdapted   = 1006 // the encoder is asked for another bitrate, or another rendition goes out
	CodeUplinkTooSmall   = 1101 // media has been backing up for half a second
	CodePushReconnecting = 1102
	CodePushGaveUp       = -1307

	CodePlayConnected    = 2001 // the relay has let the player in, or is heard again after 2103
	CodePulling          = 2002 // the stream is live
	CodeFirstKeyFrame    = 2003 // of a run of the pusher
	CodePlaying          = 2004 // a frame was released: the first, or the first after 2007, 2103 or 2105
	CodeEnded            = 2006 // the pusher has ended the stream and everything before was released
	CodeLoading          = 2007 // there is no pusher at present
	CodePlayReconnecting = 2103
	CodeStall            = 2105 // nothing was released for half a second
	CodeFramesSkipped    = 2107 // frames were given up
	CodePlayGaveUp       = -2301

	CodeLookup     = 3001 // the relay's name could not be looked up
	CodeConnection = 3002 // no socket, no way to the relay, or the relay is at a limit
	CodeHandshake  = 3003 // no answer to the handshake
	CodeClosed     = 3004 // the relay closed on purpose: final
	CodeIO         = 3005 // reading or writing failed, or the peer broke the protocol
)

var codeTexts = map[int]string{
	CodePushConnected:    "connected",
	CodePushBegins:       "push begins",
	CodeSizeAdapted:      "resolution adapted",
	CodeBitrateAdapted:   "bitrate adapted",
	CodeUplinkTooSmall:   "uplink too small",
	CodePushReconnecting: "network lost, reconnecting",
	CodePushGaveUp:       "network lost, all reconnects failed",
	CodePlayConnected:    "connected",
	CodePulling:          "pulling starts",
	CodeFirstKeyFrame:    "first key frame received",
	CodePlaying:          "playback begins",
	CodeEnded:            "playback ended",
	CodeLoading:          "loading",
	CodePlayReconnecting: "network lost, reconnecting",
	CodeStall:            "stall",
	CodeFramesSkipped:    "frames skipped",
	CodePlayGaveUp:       "network lost, all reconnects failed",
	CodeLookup:           "name look-up failed",
	CodeConnection:       "connection failed",
	CodeHandshake:        "handshake failed",
	CodeClosed:           "closed by the relay",
	CodeIO:               "read or write failed",
}

// CodeText returns a code's meaning in a few words, "unknown code" for one that this package never reports.
func CodeText(code int) string {
	if s, ok := codeTexts[code]; ok {
		return s
	}
	return "unknown code"
}

// CodeError is an error with one of the codes above. Text says what happened and what to do; it holds no secret.
type CodeError struct {
	Code int
	Text string
	Err  error // the cause, may be nil
}

// Error returns the code, its meaning and the text.
func (e *CodeError) Error() string {
	s := fmt.Sprintf("%d %s", e.Code, CodeText(e.Code))
	if e.Text != "" {
		s += ": " + e.Text
	}
	return s
}

// Unwrap returns the cause.
func (e *CodeError) Unwrap() error { return e.Err }

// Errors that a caller may want to tell apart.
var (
	// ErrClosed is returned by methods after Close.
	ErrClosed = errors.New("client: closed")
	// ErrReplaced is the cause of the 3004 that a pusher ends with when a newer session of the same party has taken over.
	ErrReplaced = errors.New("client: replaced by a newer session of the same party")
)

// EventKind says what an event tells.
type EventKind string

// The kinds. Their values are the names that reports in JSON use.
const (
	KindState     EventKind = "state"     // something happened: Code and Text
	KindNetStatus EventKind = "netstatus" // once a second: Info
)

// Event is what a Pusher or Player tells while it runs.
type Event struct {
	Kind EventKind
	Time time.Time
	Code int        // of a state
	Text string     // of a state, for a person; never empty
	Info *NetStatus // of a netstatus; the receiver may keep it
}
