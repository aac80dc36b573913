package signaling

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"duet/signaling/auth"
	"duet/signaling/desk"
)

// Signing in, tokens, links.

type tokenReply struct {
	Token   string      `json:"token"`
	Expires time.Time   `json:"expires"`
	User    string      `json:"user"`
	Name    string      `json:"name,omitempty"`
	Roles   []desk.Role `json:"roles"`
	Queue   string      `json:"queue,omitempty"` // of a link: where to
}

type tokenRequest struct {
	User     string        `json:"user"`
	Name     string        `json:"name,omitempty"`
	Roles    []desk.Role   `json:"roles,omitempty"` // default: caller
	Priority int           `json:"priority,omitempty"`
	Skills   []string      `json:"skills,omitempty"`
	TTL      desk.Duration `json:"ttl,omitempty"` // default 15m
}

// sign makes a token.
func (x *exchange) sign(r tokenRequest, queue string) (*tokenReply, error) {
	now := time.Now()
	ttl := time.Duration(r.TTL)
	if ttl == 0 {
		ttl = auth.DefaultTTL
	}
	if len(r.Roles) == 0 {
		r.Roles = []desk.Role{desk.Caller}
	}
	if r.Priority < desk.MinPriority || r.Priority > desk.MaxPriority {
		return nil, &desk.Error{Code: desk.Malformed, Text: "a priority is from -10 to 10"}
	}
	c := auth.Claims{User: r.User, Name: r.Name, Roles: r.Roles, Priority: r.Priority, Skills: r.Skills, Expires: now.Add(ttl)}
	text, err := x.cfg.Tokens.Sign(now, c)
	if err != nil {
		return nil, err
	}
	return &tokenReply{Token: text, Expires: c.Expires.UTC().Truncate(time.Second), User: r.User, Name: r.Name, Roles: r.Roles, Queue: queue}, nil
}

func postToken(x *exchange) (any, error) {
	var r tokenRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	if slices.Contains(r.Roles, desk.Admin) { // a key for tokens is none for everything
		return nil, &desk.Error{Code: desk.Forbidden, Text: "an admin's token comes from signing in alone"}
	}
	t, err := x.sign(r, "")
	if err != nil {
		return nil, err
	}
	_, err = x.do(&desk.Audit{Action: "token", Object: r.User})
	return t, err
}

func postDev(x *exchange) (any, error) {
	var r tokenRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	if x.cfg.Dev == nil || !x.cfg.Dev() {
		return nil, &desk.Error{Code: desk.Forbidden, Text: "this server has users: sign in, or ask for a link"}
	}
	if x.fromLoopback() && !x.toLoopback() { // a page of elsewhere, under a name that was made to lead here (DNS rebinding)
		return nil, &desk.Error{Code: desk.Forbidden, Text: "on this machine the server is http://127.0.0.1 or http://localhost, by no other name"}
	}
	return x.sign(r, "")
}

type loginRequest struct {
	User     string `json:"user"`
	Password string `json:"password"`
}

var errLogin = &desk.Error{Code: desk.Denied, Text: "user and password do not match"}

func postLogin(x *exchange) (any, error) {
	if x.r.Header.Get("Origin") != "" && !x.sameOrigin() { // a page of elsewhere could sign its visitors in as somebody else
		return nil, errElsewhere
	}
	var r loginRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	if !desk.ValidID(r.User) || len(r.Password) > auth.MaxPassword {
		return nil, errLogin
	}
	if !x.login.allow(x.client.String()) || !x.login.allow("user "+r.User) { // who is refused by address takes no attempt of the user's
		return nil, errTooMany
	}
	var u *desk.User
	x.cfg.Office.View(func(s *desk.State) { u = s.User(r.User) })
	hash := ""
	if u != nil && !u.Disabled {
		hash = u.Hash
	}
	var match bool
	if err := x.hashing(func() { match = auth.CheckPassword(hash, r.Password, x.cfg.Cost) }); err != nil {
		return nil, err
	}
	if !match {
		if err := x.asSystem(&desk.Audit{Action: "login-failed", Object: r.User}); err != nil {
			return nil, err
		}
		return nil, errLogin
	}
	if err := x.startSession(u.ID, ""); err != nil {
		return nil, err
	}
	if err := x.asSystem(&desk.Audit{Action: "login", Object: u.ID}); err != nil {
		return nil, err
	}
	return x.sign(tokenRequest{User: u.ID, Name: u.Name, Roles: u.Roles}, "")
}

// The cookie that renews tokens. It has the __Host- prefix, which binds it to the host and to TLS (a proxy's, where it stands before the server);
// but on plain loopback, where browsers would not take it.
const (
	cookieSecure = "__Host-duet"
	cookiePlain  = "duet"
	sessionTime  = 12 * time.Hour
)

// secure is whether the cookie is for TLS alone.
func (x *exchange) secure() bool { return x.r.TLS != nil || !x.fromLoopback() || !x.toLoopback() }

// fromLoopback is whether the client is on this machine: a trusted proxy's is not.
func (x *exchange) fromLoopback() bool {
	peer, err := netip.ParseAddrPort(x.r.RemoteAddr)
	if err != nil {
		return false
	}
	addr := peer.Addr().Unmap()
	return addr.IsLoopback() && (!x.trusts(addr) || x.r.Header.Get("X-Forwarded-For") == "")
}

// toLoopback is whether the client means this machine, by the name that it used.
func (x *exchange) toLoopback() bool {
	host := x.r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

func (x *exchange) cookieName() string {
	if x.secure() {
		return cookieSecure
	}
	return cookiePlain
}

func (x *exchange) setCookie(value string, age int) {
	http.SetCookie(x.w, &http.Cookie{ //nolint:gosec // Secure wherever there is TLS
		Name: x.cookieName(), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: x.secure(), SameSite: http.SameSiteStrictMode,
	})
}

// startSession signs somebody in, in place of an older session if there is one.
func (x *exchange) startSession(user, old string) error {
	secret, hash := auth.NewSecret()
	if err := x.asSystem(&desk.AddSession{Session: desk.Session{ID: hash, User: user, Expires: time.Now().Add(sessionTime).UTC()}, Old: old}); err != nil {
		return err
	}
	x.setCookie(secret, int(sessionTime.Seconds()))
	return nil
}

var errSignedOut = &desk.Error{Code: desk.Denied, Text: "you have been signed out: sign in again"}

// cookie finds the session of the request's cookie.
func (x *exchange) cookie() (hash string, s *desk.Session) {
	c, err := x.r.Cookie(x.cookieName())
	if err != nil {
		return "", nil
	}
	hash = auth.HashSecret(c.Value)
	x.cfg.Office.View(func(st *desk.State) { s = st.Session(hash) })
	return hash, s
}

// sameOrigin reports whether a page of ours asks, by the Origin that every browser sends with a POST.
func (x *exchange) sameOrigin() bool {
	u, err := url.Parse(x.r.Header.Get("Origin"))
	if err != nil || u.Host == "" || x.r.TLS != nil && u.Scheme != "https" {
		return false
	}
	return u.Host == x.r.Host || slices.Contains(x.cfg.Origins, u.Host)
}

var errElsewhere = &desk.Error{Code: desk.Forbidden, Text: "only a page of this server may do that"}

func postRefresh(x *exchange) (any, error) {
	if !x.sameOrigin() {
		return nil, errElsewhere
	}
	hash, s := x.cookie()
	if s == nil || !time.Now().Before(s.Expires) {
		return nil, errSignedOut
	}
	var u *desk.User
	x.cfg.Office.View(func(st *desk.State) { u = st.User(s.User) })
	if u == nil || u.Disabled {
		return nil, errSignedOut
	}
	if err := x.startSession(u.ID, hash); err != nil {
		return nil, err
	}
	return x.sign(tokenRequest{User: u.ID, Name: u.Name, Roles: u.Roles}, "")
}

func postLogout(x *exchange) (any, error) {
	if !x.sameOrigin() {
		return nil, errElsewhere
	}
	if hash, s := x.cookie(); s != nil {
		if err := x.asSystem(&desk.EndSession{ID: hash}); err != nil {
			return nil, err
		}
	}
	x.setCookie("", -1)
	return nil, nil
}

type linkRequest struct {
	User  string        `json:"user"`
	Name  string        `json:"name,omitempty"`
	Role  desk.Role     `json:"role"` // caller or agent
	Queue string        `json:"queue,omitempty"`
	TTL   desk.Duration `json:"ttl,omitempty"` // default 24h
}

type linkReply struct {
	Secret  string    `json:"secret"` // shown once
	Path    string    `json:"path"`   // of the page that it opens
	Expires time.Time `json:"expires"`
}

const linkTime = 24 * time.Hour

func postLink(x *exchange) (any, error) {
	var r linkRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	ttl := time.Duration(r.TTL)
	if ttl == 0 {
		ttl = linkTime
	}
	if ttl < 0 || ttl > maxURLTime {
		return nil, &desk.Error{Code: desk.Malformed, Text: "a link is valid for at most 30 days"}
	}
	secret, hash := auth.NewSecret()
	l := desk.Link{ID: hash, User: r.User, Name: r.Name, Role: r.Role, Queue: r.Queue, Expires: time.Now().Add(ttl).UTC().Truncate(time.Second)}
	if _, err := x.do(&desk.AddLink{Link: l}); err != nil {
		return nil, err
	}
	page := "/call"
	if r.Role == desk.Agent {
		page = "/agent"
	}
	return &linkReply{Secret: secret, Path: page + "#link=" + secret, Expires: l.Expires}, nil
}

type redeemRequest struct {
	Secret string `json:"secret"`
}

const linkToken = 12 * time.Hour // what a link lets in for

func postRedeem(x *exchange) (any, error) {
	var r redeemRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	hash := auth.HashSecret(r.Secret)
	var l *desk.Link
	x.cfg.Office.View(func(s *desk.State) { l = s.Link(hash) })
	if err := x.asSystem(&desk.UseLink{ID: hash}); err != nil { // of two at once one gets it
		return nil, err
	}
	if l == nil {
		return nil, errors.New("signaling: a link was used that was not there")
	}
	return x.sign(tokenRequest{User: l.User, Name: l.Name, Roles: []desk.Role{l.Role}, TTL: desk.Duration(linkToken)}, l.Queue)
}

type guestRequest struct {
	Queue string `json:"queue"`
	Name  string `json:"name,omitempty"`
}

func postGuest(x *exchange) (any, error) {
	var r guestRequest
	if err := x.read(&r); err != nil {
		return nil, err
	}
	var q *desk.Queue
	x.cfg.Office.View(func(s *desk.State) { q, _ = s.Queue(r.Queue) })
	if q == nil || !q.Public {
		return nil, &desk.Error{Code: desk.Forbidden, Text: "that queue is not open to everybody: ask for a link"}
	}
	return x.sign(tokenRequest{User: "guest-" + newCallID(), Name: r.Name, TTL: desk.Duration(time.Hour)}, r.Queue)
}
