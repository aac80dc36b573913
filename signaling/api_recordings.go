package signaling

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"duet/signaling/desk"
)

// Recordings is the library of recordings as the HTTP interface needs it. Errors that its callers should see are *desk.Error.
type Recordings interface {
	List() ([]RecordingView, error)
	Find(call string) (*RecordingView, error)
	// Verify checks a recording; the report is JSON.
	Verify(ctx context.Context, call string) (json.RawMessage, error)
	// Open opens the media of a part, 1 for the first; with a user's ID, those of that party alone.
	Open(call string, part int, party string) (io.ReadSeekCloser, time.Time, error)
	// Export writes all files of a recording as a ZIP.
	Export(w io.Writer, call string) error
	Delete(call string) error
	// Hold begins a hold for a reason; "" ends it.
	Hold(call, by, reason string) error
	// Key is what recordings are checked with.
	Key() string
}

// RecordingView is a recording in a list.
type RecordingView struct {
	Call     string      `json:"call"`
	Kind     string      `json:"kind,omitempty"`
	Queue    string      `json:"queue,omitempty"`
	Policy   string      `json:"policy,omitempty"`
	Consent  string      `json:"consent,omitempty"`
	Parties  []PartyName `json:"parties"`
	Tracks   []string    `json:"tracks"`
	Began    string      `json:"began"`
	Ended    string      `json:"ended,omitempty"`
	Milli    int64       `json:"ms"` // how far the media goes
	Reason   string      `json:"reason,omitempty"`
	State    string      `json:"state"` // complete, interrupted, open
	Parts    int         `json:"parts"`
	Sealed   bool        `json:"sealed"`
	Size     int64       `json:"size"`
	Retain   *time.Time  `json:"retain,omitempty"` // not deleted before
	Hold     string      `json:"hold,omitempty"`   // why it is not deleted at all
	Uploaded string      `json:"uploaded,omitempty"`
}

// PartyName is somebody in a recording.
type PartyName struct {
	User string `json:"user"`
	Name string `json:"name,omitempty"`
	Role string `json:"role,omitempty"`
}

type (
	recordingList struct {
		Recordings []RecordingView `json:"recordings"`
		More       bool            `json:"more"`
	}
	ticketReply struct {
		URL     string    `json:"url"` // relative to this server; for part N of a recording, with &part=N
		Expires time.Time `json:"expires"`
	}
	holdRequest struct {
		Reason string `json:"reason"`
	}
	recordKeyReply struct {
		Key string `json:"key"`
	}
	// reportReply stands for the report of `duet record verify --json`.
	reportReply struct {
		Verdict  string           `json:"verdict"`
		Key      string           `json:"key"`
		Findings []map[string]any `json:"findings"`
		Length   int64            `json:"length"` // ns
	}
)

// stream is a reply that writes itself.
type stream func(w http.ResponseWriter, r *http.Request)

// ticketTime is how long the URL of a recording is good for.
const ticketTime = 5 * time.Minute

func (x *exchange) recordings() (Recordings, error) {
	if x.cfg.Recordings == nil {
		return nil, &desk.Error{Code: desk.NotFound, Text: "recordings are kept where the relay is: ask that server"}
	}
	return x.cfg.Recordings, nil
}

func getRecordings(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	after, limit, err := x.page()
	if err != nil {
		return nil, err
	}
	list, err := lib.List()
	if err != nil {
		return nil, err
	}
	return &recordingList{cut(list, after, limit), after+limit < len(list)}, nil
}

func getRecording(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	return lib.Find(x.id())
}

func verifyRecording(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	return lib.Verify(x.ctx, x.id())
}

func getRecordKey(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	return &recordKeyReply{lib.Key()}, nil
}

func deleteRecording(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	failed := lib.Delete(x.id())
	note := &desk.Audit{Action: "recording.delete", Object: x.id()}
	if failed != nil {
		note.Detail = "refused: " + failed.Error()
	}
	if _, err := x.do(note); err != nil && failed == nil {
		return nil, err
	}
	return nil, failed
}

func holdRecording(x *exchange) (any, error) {
	var r holdRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	if r.Reason == "" || len(r.Reason) > desk.MaxNote {
		return nil, &desk.Error{Code: desk.Malformed, Text: fmt.Sprintf("a hold has a reason of 1 to %d bytes", desk.MaxNote)}
	}
	return x.hold(r.Reason, "recording.hold")
}

func releaseRecording(x *exchange) (any, error) { return x.hold("", "recording.release") }

func (x *exchange) hold(reason, action string) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	if err := lib.Hold(x.id(), x.actor.User, reason); err != nil {
		return nil, err
	}
	_, err = x.do(&desk.Audit{Action: action, Object: x.id(), Detail: reason})
	return nil, err
}

// exportRecording sends everything that is needed to check it. That it was taken is in the log before the first byte.
func exportRecording(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	if _, err := lib.Find(x.id()); err != nil {
		return nil, err
	}
	if _, err := x.do(&desk.Audit{Action: "recording.export", Object: x.id()}); err != nil {
		return nil, err
	}
	call := x.id()
	return stream(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/zip")
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", call+".zip"))
		if err := lib.Export(w, call); err != nil {
			panic(http.ErrAbortHandler) // half a file must not look whole
		}
	}), nil
}

// notedExport is for those who have the files and take them without the server.
func notedExport(x *exchange) (any, error) {
	_, err := x.do(&desk.Audit{Action: "recording.export", Object: x.id()})
	return nil, err
}

// ticket is who may see which recording until when.
type ticket struct {
	User string `json:"u"`
	Call string `json:"c"`
	Unix int64  `json:"e"`
}

func (a *API) ticketMAC(body string) string {
	mac := hmac.New(sha256.New, a.ticketKey[:])
	_, _ = io.WriteString(mac, body) // a hash never fails
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func postTicket(x *exchange) (any, error) {
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	view, err := lib.Find(x.id())
	if err != nil {
		return nil, err
	}
	if view.Sealed {
		return nil, &desk.Error{Code: desk.Conflict, Text: "the recording is sealed: this server can't open it; export it, and open it with the identity (duet record open)"}
	}
	if _, err := x.do(&desk.Audit{Action: "recording.view", Object: x.id()}); err != nil {
		return nil, err
	}
	expires := time.Now().Add(ticketTime)
	b, err := json.Marshal(ticket{x.actor.User, x.id(), expires.Unix()})
	if err != nil {
		return nil, err
	}
	body := base64.RawURLEncoding.EncodeToString(b)
	u := url.URL{Path: "/v1/recordings/" + x.id() + "/media", RawQuery: "ticket=" + body + "." + x.ticketMAC(body)}
	return &ticketReply{u.String(), expires}, nil
}

var errTicket = &desk.Error{Code: desk.Denied, Text: "the URL has run out, or is not of this server: ask for a new one"}

// redeem checks a ticket.
func (a *API) redeem(text, call string, now time.Time) error {
	body, mac, ok := strings.Cut(text, ".")
	if !ok || !hmac.Equal([]byte(mac), []byte(a.ticketMAC(body))) {
		return errTicket
	}
	var t ticket
	b, err := base64.RawURLEncoding.DecodeString(body)
	if err != nil || json.Unmarshal(b, &t) != nil || t.Call != call || now.Unix() >= t.Unix {
		return errTicket
	}
	var disabled bool
	a.cfg.Office.View(func(s *desk.State) { u := s.User(t.User); disabled = u != nil && u.Disabled })
	if disabled {
		return errTicket
	}
	return nil
}

func getRecordingMedia(x *exchange) (any, error) {
	q := x.r.URL.Query()
	if err := x.redeem(q.Get("ticket"), x.id(), time.Now()); err != nil {
		x.limit.allow(x.client.String())
		return nil, err
	}
	lib, err := x.recordings()
	if err != nil {
		return nil, err
	}
	part := 1
	if text := q.Get("part"); text != "" {
		if part, err = strconv.Atoi(text); err != nil || part < 1 {
			return nil, &desk.Error{Code: desk.Malformed, Text: "part is a number from 1"}
		}
	}
	f, modified, err := lib.Open(x.id(), part, q.Get("party"))
	if err != nil {
		return nil, err
	}
	return stream(func(w http.ResponseWriter, r *http.Request) {
		defer func() { _ = f.Close() }()
		w.Header().Set("Content-Type", "video/mp4")
		w.Header().Set("Cache-Control", "private, no-store")
		http.ServeContent(w, r, "", modified, f)
	}), nil
}

// NoRecording says that a call was not recorded: for a Recordings.
func NoRecording(call string) error { return notFound("recording", call) }
