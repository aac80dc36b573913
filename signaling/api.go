package signaling

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"duet/signaling/auth"
	"duet/signaling/desk"
	"duet/signaling/office"
)

// APIConfig says how the HTTP interface is served. Office and Tokens are required.
type APIConfig struct {
	Office     *office.Office
	Tokens     *auth.Tokens
	Cost       auth.Cost                                                                      // of passwords; default auth.DefaultCost
	MintURL    func(action, stream, party string, valid time.Duration) (string, error)        // POST /v1/urls; nil: there is none
	ReadLog    func(ctx context.Context, from, to uint64, f func(uint64, []byte) error) error // entries of the log
	Recordings Recordings                                                                     // nil: they are elsewhere
	Media      func(ctx context.Context) (*MediaView, error)                                  // of the relay; nil, or a nil view: it is elsewhere
	Replay     func(ctx context.Context, hook string, from uint64) error                      // webhooks
	Dev        func() bool                                                                    // whether POST /v1/dev lets anybody be whoever they say; nil: no
	Origins    []string                                                                       // of pages that may renew with a cookie, beside the server's own
	Proxies    []netip.Prefix                                                                 // whose X-Forwarded-For is believed
	Logger     *slog.Logger                                                                   // default: discard
}

const (
	maxBody     = 64 << 10
	apiTime     = 15 * time.Second
	maxPage     = 1000
	defaultPage = 100
	maxURLTime  = 30 * 24 * time.Hour
	maxHashing  = 4   // passwords at a time: each takes auth.Cost.MemoryKiB
	retryAfter  = "2" // seconds, until the slowest limiter has a token again
)

// API serves /v1/ but for the socket.
type API struct {
	cfg       APIConfig
	mux       *http.ServeMux
	limit     *limiter
	login     *limiter
	hash      chan struct{}     // a token for each password that is being hashed
	ticketKey [sha256.Size]byte // of the URLs of recordings
}

// NewAPI returns a handler.
func NewAPI(cfg APIConfig) *API {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Cost == (auth.Cost{}) {
		cfg.Cost = auth.DefaultCost()
	}
	a := &API{cfg: cfg, mux: http.NewServeMux(), limit: newLimiter(openRate, openBurst), login: newLimiter(loginRate, loginBurst), hash: make(chan struct{}, maxHashing)}
	a.ticketKey = cfg.Tokens.Derive("recordings")
	for _, r := range routes() {
		a.mux.HandleFunc(r.pattern, func(w http.ResponseWriter, q *http.Request) { a.serve(w, q, &r) })
	}
	a.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeProblem(w, &desk.Error{Code: desk.NotFound, Text: "there is no such resource: GET /v1/openapi.json lists them"})
	})
	return a
}

// ServeHTTP serves one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.mux.ServeHTTP(w, r) }

// route is one operation.
type route struct {
	pattern string      // as http.ServeMux has it
	summary string      // for the OpenAPI document
	open    bool        // to anybody, within limits
	ticket  bool        // open, and the URL says who may: limited are those that say nothing
	scope   auth.Scope  // of an API key that may
	roles   []desk.Role // of users who may; an admin may everything
	request any         // a value of the body's type; nil: none
	reply   any         // likewise
	handle  func(*exchange) (any, error)
}

// exchange is a request that is being answered.
type exchange struct {
	*API
	ctx    context.Context
	w      http.ResponseWriter
	r      *http.Request
	actor  desk.Actor
	client netip.Addr
	body   []byte
}

// serve does what all routes have in common.
func (a *API) serve(w http.ResponseWriter, r *http.Request, route *route) {
	ctx, cancel := context.WithTimeout(r.Context(), apiTime)
	defer cancel()
	x := &exchange{API: a, ctx: ctx, w: w, r: r, client: a.clientOf(r)}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	ok, err := x.run(route)
	if err != nil {
		switch p := problemOf(err); {
		case errors.Is(err, errTooMany):
			w.Header().Set("Retry-After", retryAfter)
		case p.Status == http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", "Bearer")
		}
		writeProblem(w, err)
		return
	}
	if ok == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if out, is := ok.(stream); is {
		out(w, r)
		return
	}
	if raw, is := ok.(json.RawMessage); is {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(raw)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(ok) // who does not read it is gone
}

func (x *exchange) run(route *route) (any, error) {
	if route.ticket {
		if x.limit.spent(x.client.String()) {
			return nil, errTooMany
		}
	} else if route.open {
		if !x.limit.allow(x.client.String()) {
			return nil, errTooMany
		}
	} else if err := x.identify(route); err != nil {
		x.noteRefusal(route, err)
		return nil, err
	}
	if route.request != nil {
		var err error
		if x.body, err = io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody)); err != nil {
			var large *http.MaxBytesError
			if errors.As(err, &large) {
				return nil, &desk.Error{Code: desk.TooLarge, Text: fmt.Sprintf("a body has at most %d bytes", maxBody)}
			}
			return nil, &desk.Error{Code: desk.Malformed, Text: "the body did not come whole"}
		}
	}
	return route.handle(x)
}

// errTooMany is for who goes beyond a rate; it will pass.
var errTooMany = &desk.Error{Code: desk.Limit, Text: "too many requests: try again in a few seconds"}

// noteRefusal keeps in the log that somebody known wanted what is for admins alone; not each time, lest they fill the log.
func (x *exchange) noteRefusal(route *route, err error) {
	if len(route.roles) > 0 || problemOf(err).Code != desk.Forbidden || !x.login.allow("refused "+x.actor.User) {
		return
	}
	if _, err := x.do(&desk.Audit{Action: "refused", Object: route.pattern, Detail: x.id()}); err != nil {
		x.cfg.Logger.Warn("that somebody was refused can't be kept", "user", x.actor.User, "operation", route.pattern, "error", err)
	}
}

// identify finds out who asks, and whether they may. When it refuses with Forbidden, the actor is known.
func (x *exchange) identify(route *route) error {
	text, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return &desk.Error{Code: desk.Denied, Text: "a user token or API key is needed: Authorization: Bearer …"}
	}
	if id, isKey := auth.KeyID(text); isKey {
		var k *desk.Key
		x.cfg.Office.View(func(s *desk.State) { k = s.Key(id) })
		if !auth.CheckKey(k, text) {
			return &desk.Error{Code: desk.Denied, Text: "the API key is not valid"}
		}
		x.actor = desk.Actor{User: "key:" + id, Name: k.Name}
		if route.scope == "" || !auth.Allows(k, route.scope) {
			return &desk.Error{Code: desk.Forbidden, Text: fmt.Sprintf("the API key lacks the scope %q", route.scope)}
		}
		x.actor.Roles = []desk.Role{desk.Admin} // within its scope
		return nil
	}
	c, err := x.cfg.Tokens.Verify(time.Now(), text)
	if err != nil {
		return err
	}
	x.actor = desk.Actor{User: c.User, Name: c.Name, Roles: c.Roles}
	var disabled bool
	x.cfg.Office.View(func(s *desk.State) { u := s.User(c.User); disabled = u != nil && u.Disabled })
	if disabled {
		return &desk.Error{Code: desk.Disabled, Text: "the user is disabled"}
	}
	if !x.actor.Has(append(slices.Clone(route.roles), desk.Admin)...) {
		return &desk.Error{Code: desk.Forbidden, Text: "your role does not allow that"}
	}
	return nil
}

// read decodes the body into v.
func (x *exchange) read(v any) error { return decode(x.body, v) }

// do gives a command to the office.
func (x *exchange) do(c desk.Command) (desk.Result, error) {
	return x.cfg.Office.Do(x.ctx, x.actor, c)
}

// asSystem gives one for somebody who is not signed in yet.
func (x *exchange) asSystem(c desk.Command) error {
	_, err := x.cfg.Office.Do(x.ctx, desk.System(), c)
	return err
}

// hashing runs f, which hashes a password, when there is memory for it.
func (x *exchange) hashing(f func()) error {
	select {
	case x.hash <- struct{}{}:
	case <-x.ctx.Done():
		return x.ctx.Err()
	}
	defer func() { <-x.hash }()
	f()
	return nil
}

func (x *exchange) id() string { return x.r.PathValue("id") }

// page reads ?after= and ?limit=.
func (x *exchange) page() (after, limit int, err error) {
	limit = defaultPage
	for name, v := range map[string]*int{"after": &after, "limit": &limit} {
		if text := x.r.URL.Query().Get(name); text != "" {
			if *v, err = strconv.Atoi(text); err != nil || *v < 0 {
				return 0, 0, &desk.Error{Code: desk.Malformed, Text: name + " is a number from 0"}
			}
		}
	}
	return after, min(max(limit, 1), maxPage), nil
}

// cut is one page of a list.
func cut[T any](list []T, after, limit int) []T {
	if after >= len(list) {
		return []T{}
	}
	return list[after:min(len(list), after+limit)]
}

func notFound(what, id string) error {
	return &desk.Error{Code: desk.NotFound, Text: fmt.Sprintf("there is no %s %.80q", what, id)}
}
