// Package auth says who is who: user tokens (JWT, EdDSA alone), passwords (argon2id), API keys and the secrets of links and cookies, of which
// only hashes are kept.
package auth
