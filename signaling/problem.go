package signaling

import (
	"encoding/json"
	"errors"
	"net/http"

	"duet/signaling/desk"
)

// problem is an error as RFC 9457 has it, with a code for programs.
type problem struct {
	Code   desk.Code `json:"code"`
	Status int       `json:"status"`
	Title  string    `json:"title"`
	Detail string    `json:"detail,omitempty"`
}

// codes are all that a problem may have.
func codes() []desk.Code {
	return []desk.Code{
		desk.Malformed, desk.Unknown, desk.Denied, desk.Forbidden, desk.Disabled, desk.NotFound, desk.NotMember, desk.Conflict, desk.Full, desk.Closed,
		desk.Busy, desk.Unreachable, desk.Expired, desk.TooLarge, desk.Limit, desk.Unavailable,
	}
}

// statusOf is the HTTP status of a code.
func statusOf(c desk.Code) int {
	switch c {
	case desk.Malformed, desk.Unknown:
		return http.StatusBadRequest
	case desk.Denied:
		return http.StatusUnauthorized
	case desk.Forbidden, desk.Disabled:
		return http.StatusForbidden
	case desk.NotFound, desk.NotMember:
		return http.StatusNotFound
	case desk.Conflict, desk.Full, desk.Closed, desk.Busy, desk.Unreachable:
		return http.StatusConflict
	case desk.Expired:
		return http.StatusGone
	case desk.TooLarge:
		return http.StatusRequestEntityTooLarge
	case desk.Limit:
		return http.StatusTooManyRequests
	case desk.Unavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusInternalServerError
}

// problemOf makes a problem of an error; of one that is not a refusal it tells nothing.
func problemOf(err error) *problem {
	var refused *desk.Error
	if !errors.As(err, &refused) {
		refused = &desk.Error{Code: desk.Unavailable, Text: "the server could not do it in time: try again in a moment"}
	}
	status := statusOf(refused.Code)
	return &problem{Code: refused.Code, Status: status, Title: http.StatusText(status), Detail: refused.Text}
}

func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // who does not read it is gone
}
