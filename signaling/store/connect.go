package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	dialTime       = 3 * time.Second        // for a server to accept us
	reconnectPause = 100 * time.Millisecond // between tries; a restart of a server is noticed as late as that
	reconnectSpan  = 100 * time.Millisecond // random addition, so that not all come at once
	pingEvery      = 5 * time.Second        // a connection that is dead without a word is noticed after two of them
	maxURLs        = 16                     // servers named in Config.URL
)

// connect connects to the embedded server or to the ones that Config.URL names. The connection then lasts until Close: it is made anew
// whenever it breaks.
func (s *Store) connect(ctx context.Context) error {
	options := []nats.Option{
		nats.Name(s.cfg.Name),
		nats.Timeout(dialTime),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(reconnectPause),
		nats.ReconnectJitter(reconnectSpan, reconnectSpan),
		nats.PingInterval(pingEvery),
		nats.MaxPingsOutstanding(2),
		// Nothing is kept for when the server is back: an append that reached it long after its caller gave up would surprise everybody.
		nats.ReconnectBufSize(-1),
		nats.ReconnectHandler(func(*nats.Conn) {
			s.next(&s.away)
			s.cfg.Logger.Info("the connection to NATS is back")
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if s.life.Err() == nil {
				s.next(&s.whole)
				s.cfg.Logger.Warn("the connection to NATS is lost", "error", err)
			}
		}),
		nats.ErrorHandler(func(_ *nats.Conn, sub *nats.Subscription, err error) {
			subject := ""
			if sub != nil {
				subject = sub.Subject
			}
			s.cfg.Logger.Warn("NATS", "error", err, "subject", subject)
		}),
	}
	where := s.cfg.URL
	if s.server != nil {
		options = append(options, nats.InProcessServer(s.server.srv))
	} else {
		if err := checkURLs(s.cfg.URL); err != nil {
			return err
		}
		if s.cfg.Creds != "" {
			options = append(options, nats.UserCredentials(s.cfg.Creds))
		}
	}
	type result struct {
		nc  *nats.Conn
		err error
	}
	done := make(chan result, 1)
	go func() {
		nc, err := nats.Connect(where, options...)
		done <- result{nc, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		go func() { // the client library can't be stopped: it gives up after dialTime a server
			if late := <-done; late.nc != nil {
				late.nc.Close()
			}
		}()
		return ctx.Err()
	}
	if r.err != nil {
		if s.server != nil {
			return fmt.Errorf("store: the embedded server can't be reached: %w", r.err)
		}
		return fmt.Errorf("store: NATS at %s: %w", hosts(s.cfg.URL), r.err)
	}
	s.nc = r.nc
	if most := s.nc.MaxPayload(); most < serverPayload {
		return fmt.Errorf("store: NATS at %s takes messages of %d bytes at most: set max_payload to %d or more", hosts(s.cfg.URL), most, serverPayload)
	}
	return nil
}

// checkURLs says what is wrong with Config.URL, without telling what is in it: it may hold a password.
func checkURLs(list string) error {
	urls := strings.Split(list, ",")
	if len(urls) > maxURLs {
		return fmt.Errorf("store: URL names %d servers, %d at most", len(urls), maxURLs)
	}
	for _, one := range urls {
		u, err := url.Parse(strings.TrimSpace(one))
		if err != nil || u.Host == "" {
			return errors.New("store: URL can't be read: nats://HOST:PORT or tls://HOST:PORT, several with commas between")
		}
		switch u.Scheme {
		case "nats", "tls", "ws", "wss":
		default:
			return fmt.Errorf("store: URL with %q: nats or tls", u.Scheme)
		}
	}
	return nil
}

// hosts is what may be told of Config.URL.
func hosts(list string) string {
	var out []string
	for one := range strings.SplitSeq(list, ",") {
		if u, err := url.Parse(strings.TrimSpace(one)); err == nil {
			out = append(out, u.Host)
		}
	}
	return strings.Join(out, ", ")
}
