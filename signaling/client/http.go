package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const maxReply = 8 << 20

// Ask sends a request to the server's HTTP interface and decodes the answer into reply, if that is not nil. A refusal is an *Error.
func Ask(ctx context.Context, server, method, path, bearer string, request, reply any) error {
	var body io.Reader
	if request != nil {
		b, err := json.Marshal(request)
		if err != nil {
			return fmt.Errorf("client: %w", err)
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(server, "/")+path, body)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if bearer != "" {
		req.Header.Set("Authorization", "Bearer "+bearer)
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	defer func() { _ = r.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(r.Body, maxReply))
	if err != nil {
		return fmt.Errorf("client: %w", err)
	}
	if r.StatusCode >= http.StatusBadRequest {
		e := &Error{Status: r.StatusCode, Title: http.StatusText(r.StatusCode)}
		_ = json.Unmarshal(b, e) // a proxy's answer is no problem details
		return e
	}
	if reply == nil || len(b) == 0 {
		return nil
	}
	if err := json.Unmarshal(b, reply); err != nil {
		return fmt.Errorf("client: the server said what can't be read: %w", err)
	}
	return nil
}

// Token is a user token and whose it is.
type Token struct {
	Token string   `json:"token"`
	User  string   `json:"user"`
	Name  string   `json:"name"`
	Roles []string `json:"roles"`
	Queue string   `json:"queue"`
}

// Login signs in with a password.
func Login(ctx context.Context, server, user, password string) (t Token, err error) {
	err = Ask(ctx, server, http.MethodPost, "/v1/login", "", map[string]string{"user": user, "password": password}, &t)
	return t, err
}

// Redeem uses a one-time link.
func Redeem(ctx context.Context, server, secret string) (t Token, err error) {
	err = Ask(ctx, server, http.MethodPost, "/v1/links/redeem", "", map[string]string{"secret": secret}, &t)
	return t, err
}

// Guest is a caller's token for a public queue.
func Guest(ctx context.Context, server, queue, name string) (t Token, err error) {
	err = Ask(ctx, server, http.MethodPost, "/v1/guest", "", map[string]string{"queue": queue, "name": name}, &t)
	return t, err
}

// Dev is a token for whoever one says one is, at a server without users.
func Dev(ctx context.Context, server, user, name string, roles ...string) (t Token, err error) {
	err = Ask(ctx, server, http.MethodPost, "/v1/dev", "", map[string]any{"user": user, "name": name, "roles": roles}, &t)
	return t, err
}
