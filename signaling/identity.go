package signaling

import (
	"time"

	"duet/signaling/auth"
	"duet/signaling/desk"
)

// TokenAuth is the Authenticator of user tokens.
type TokenAuth struct{ Tokens *auth.Tokens }

// Verify says who a token's bearer is.
func (t TokenAuth) Verify(token string) (Identity, error) {
	c, err := t.Tokens.Verify(time.Now(), token)
	if err != nil {
		return Identity{}, err
	}
	return Identity{Actor: desk.Actor{User: c.User, Name: c.Name, Roles: c.Roles}, Expires: c.Expires, Priority: c.Priority, Skills: c.Skills}, nil
}
