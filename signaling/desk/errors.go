package desk

import "fmt"

// Code is why a command was refused: stable, for programs.
type Code string

// The codes. docs/signaling.md lists them with what to do.
const (
	Malformed   Code = "malformed"    // a field is missing, too long, or not of its kind
	Forbidden   Code = "forbidden"    // the role does not allow it
	NotFound    Code = "not-found"    // no such queue, user, room, …
	NotMember   Code = "not-member"   // of the call; also where there is no such call: nobody learns which calls there are
	Conflict    Code = "conflict"     // not in this state
	Full        Code = "full"         // the queue is
	Closed      Code = "closed"       // the queue is, or nobody serves it
	Busy        Code = "busy"         // the one who is called
	Unreachable Code = "unreachable"  // the one who is called is not there
	Limit       Code = "limit"        // a named limit was reached
	TooLarge    Code = "too-large"    // a message
	Disabled    Code = "disabled"     // the user is
	Expired     Code = "expired"      // the link is, or was used
	Unavailable Code = "unavailable"  // the server cannot keep anything at present: try again
	Unknown     Code = "unknown-type" // of a message on the socket
	Denied      Code = "unauthorized" // no token, or one that is not valid
)

// Error is a refusal. Text is for a person and says what to do; it holds no secret.
type Error struct {
	Code Code
	Text string
}

// Error returns code and text.
func (e *Error) Error() string { return string(e.Code) + ": " + e.Text }

func refuse(code Code, format string, args ...any) error {
	return &Error{code, fmt.Sprintf(format, args...)}
}
