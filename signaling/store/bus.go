package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
)

const (
	pendingMessages = 4096    // that wait for one subscription's f; more are dropped
	pendingBytes    = 8 << 20 // likewise
	maxSubject      = 200     // characters
)

// Publish sends a message to all who subscribe to the subject now, in this process and others. It is best effort: nothing is kept, and nobody is told whether
// it arrived. Subjects are words with dots between; they stand behind Config.Name, apart from those of the log. An error means that it was not sent.
func (s *Store) Publish(subject string, b []byte) error {
	full, err := s.busSubject(subject, false)
	if err != nil {
		return err
	}
	if len(b) > MaxMessage {
		return fmt.Errorf("%w: a message of %d bytes, %d at most", ErrTooLarge, len(b), MaxMessage)
	}
	if err := s.nc.Publish(full, b); err != nil {
		return s.fault(context.Background(), "publish", err)
	}
	return nil
}

// Subscribe calls f with every message on the subject, one after the other, in a goroutine of its own; "*" in it stands for any word, ">" at its end for any
// words. The message is f's. reply answers a Request, and does nothing for others. Messages are dropped while too many wait for f. After stop
// no call begins; one may be under way. A subscription outlasts breaks of the connection, and ends at Close.
func (s *Store) Subscribe(subject string, f func(subject string, b []byte, reply func([]byte))) (stop func(), err error) {
	full, err := s.busSubject(subject, true)
	if err != nil {
		return nil, err
	}
	prefix := s.cfg.Name + busSubject
	ended, end := context.WithCancel(s.life)
	sub, err := s.nc.Subscribe(full, func(m *nats.Msg) {
		if ended.Err() != nil {
			return
		}
		f(strings.TrimPrefix(m.Subject, prefix), m.Data, func(b []byte) {
			if m.Reply != "" {
				_ = m.Respond(b) // who asked sees that nothing comes
			}
		})
	})
	if err != nil {
		end()
		return nil, s.fault(context.Background(), "subscribe", err)
	}
	err = sub.SetPendingLimits(pendingMessages, pendingBytes)
	if err != nil {
		end()
		return nil, s.fault(context.Background(), "subscribe", err)
	}
	// What is published from now on is to arrive. If the server is away, the subscription begins when it is back.
	_ = s.nc.FlushTimeout(closeTime)
	return func() {
		end()
		_ = sub.Unsubscribe() // fails if there is nothing to be ended any more
	}, nil
}

// Request sends a message and waits for the first answer. ErrNoResponder means that nobody subscribes there.
func (s *Store) Request(ctx context.Context, subject string, b []byte) ([]byte, error) {
	full, err := s.busSubject(subject, false)
	if err != nil {
		return nil, err
	}
	if len(b) > MaxMessage {
		return nil, fmt.Errorf("%w: a message of %d bytes, %d at most", ErrTooLarge, len(b), MaxMessage)
	}
	joined, cancel := s.join(ctx)
	defer cancel()
	m, err := s.nc.RequestWithContext(joined, full, b)
	switch {
	case errors.Is(err, nats.ErrNoResponders):
		return nil, ErrNoResponder
	case err != nil:
		return nil, s.fault(ctx, "request", err)
	}
	return m.Data, nil
}

// busSubject is the subject behind the name of the deployment.
func (s *Store) busSubject(subject string, wild bool) (string, error) {
	bad := subject == "" || len(subject) > maxSubject || strings.ContainsAny(subject, " \t\r\n\x00")
	words := strings.Split(subject, ".")
	for i, word := range words {
		switch {
		case word == "":
			bad = true
		case strings.ContainsAny(word, "*>"):
			bad = bad || !wild || len(word) > 1 || word == ">" && i < len(words)-1
		}
	}
	if bad {
		return "", fmt.Errorf("store: subject %q: words with dots between, %d characters at most", subject, maxSubject)
	}
	return s.cfg.Name + busSubject + subject, nil
}
