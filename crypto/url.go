package crypto

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// DefaultPort is the UDP port of a URL that names none.
const DefaultPort = 7000

const (
	urlScheme = "duet://"
	maxHost   = 253  // a DNS name's limit
	maxURL    = 2048 // the longest URL has about 1400 characters
)

// ErrURL is what every error of ParseURL wraps.
var ErrURL = errors.New("not a duet URL")

// URL says where a stream is and holds what is needed to push or play it (docs/wire.md section 2).
//
// It prints without its secret part through every verb of fmt, so that it can stand in a log line by mistake; only String
// gives the whole.
type URL struct {
	Host   string    // HOST:PORT, as net.Dial takes it; an IPv6 address stands in brackets
	Stream string    // as in ValidStream
	Key    PublicKey // the relay's
	Token  string    // text, not yet verified
}

// ParseURL reads duet://HOST[:PORT]/live/STREAM#k=KEY&t=TOKEN. Fields of the fragment that it does not know are skipped. The
// error wraps ErrURL, says what is missing or wrong and what to do, and repeats nothing of s, which may hold a token in the
// wrong place.
func ParseURL(s string) (URL, error) {
	if len(s) > maxURL {
		return URL{}, badURL("it is longer than %d characters", maxURL)
	}
	rest, ok := strings.CutPrefix(s, urlScheme)
	if !ok {
		return URL{}, badURL("it does not begin with %s", urlScheme)
	}
	place, fragment, hasFragment := strings.Cut(rest, "#")
	authority, stream, _ := strings.Cut(place, "/")
	var u URL
	var err error
	if u.Host, err = parseHost(authority); err != nil {
		return URL{}, err
	}
	if stream == "" {
		return URL{}, badURL("the stream is missing: HOST:PORT is followed by /live/STREAM")
	}
	if strings.Contains(stream, "?") {
		return URL{}, badURL("key and token stand after #, not after ?")
	}
	if err := ValidStream(stream); err != nil {
		return URL{}, badURL("%v", err)
	}
	u.Stream = stream
	if !hasFragment {
		return URL{}, badURL("key and token are missing: it ends in #k=KEY&t=TOKEN (quote the URL in a shell)")
	}
	if err := u.parseFragment(fragment); err != nil {
		return URL{}, err
	}
	return u, nil
}

func (u *URL) parseFragment(fragment string) error {
	var hasKey, hasToken bool
	for field := range strings.SplitSeq(fragment, "&") {
		name, value, _ := strings.Cut(field, "=")
		switch name {
		case "k":
			key, err := ParsePublicKey(value)
			if hasKey || err != nil {
				return badURL("its key (k=…) is damaged: copy the whole URL again")
			}
			u.Key, hasKey = key, true
		case "t":
			if hasToken || !tokenText(value) {
				return badURL("its token (t=…) is damaged: copy the whole URL again")
			}
			u.Token, hasToken = value, true
		}
	}
	switch {
	case !hasKey:
		return badURL("the server's key (k=…) is missing after #")
	case !hasToken:
		return badURL("the token (t=…) is missing after # (quote the URL in a shell: an unquoted & ends it)")
	}
	return nil
}

// tokenText reports whether s could be a token; what it says is the server's to judge.
func tokenText(s string) bool {
	if s == "" || len(s) > MaxTokenText {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '_' {
			return false
		}
	}
	return true
}

// parseHost returns HOST:PORT with the port filled in and an IPv6 address in its canonical form.
func parseHost(s string) (string, error) {
	var host, port string
	var hasPort bool
	if inside, ok := strings.CutPrefix(s, "["); ok {
		var after string
		if inside, after, ok = strings.Cut(inside, "]"); !ok {
			return "", badURL("the host's bracket is not closed")
		}
		addr, err := netip.ParseAddr(inside)
		if err != nil || !addr.Is6() || addr.Zone() != "" {
			return "", badURL("in the host's brackets stands no IPv6 address (a zone cannot be given)")
		}
		host = "[" + addr.String() + "]"
		if port, hasPort = strings.CutPrefix(after, ":"); !hasPort && after != "" {
			return "", badURL("the host's bracket is followed by something other than a port")
		}
	} else {
		host, port, hasPort = strings.Cut(s, ":")
		switch {
		case strings.Contains(port, ":"):
			return "", badURL("there is more than one colon in the host: an IPv6 address stands in brackets")
		case host == "":
			return "", badURL("the host is missing: %s is followed by HOST:PORT", urlScheme)
		case !validHost(host):
			return "", badURL("the host is neither a name nor an address")
		}
	}
	number := uint64(DefaultPort)
	if hasPort {
		var err error
		if number, err = strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
			return "", badURL("the port is not a number from 1 to 65535")
		}
	}
	return host + ":" + strconv.FormatUint(number, 10), nil
}

// validHost holds a name or an IPv4 address to the letters that a resolver takes.
func validHost(s string) bool {
	if len(s) > maxHost || s[0] == '-' || s[0] == '.' {
		return false
	}
	for i := range len(s) {
		if !alphanumeric(s[i]) && s[i] != '-' && s[i] != '.' && s[i] != '_' {
			return false
		}
	}
	return true
}

func badURL(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrURL, fmt.Sprintf(format, args...))
}

// String returns the whole URL with its key and token, for the person who is to use it. It is the reverse of ParseURL.
func (u URL) String() string {
	return urlScheme + u.Host + "/" + u.Stream + "#k=" + u.Key.Text() + "&t=" + u.Token
}

// Redacted returns the URL with its secret part left out, for logs and errors.
func (u URL) Redacted() string { return urlScheme + u.Host + "/" + u.Stream + "#" + redacted }

// Format prints Redacted.
func (u URL) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(u.Redacted())) }

// MarshalText returns Redacted, for encoders that would else print the fields.
func (u URL) MarshalText() ([]byte, error) { return []byte(u.Redacted()), nil }
