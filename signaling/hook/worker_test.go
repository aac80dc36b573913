package hook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"duet/signaling/desk"
)

// far is a receiver without a network. It notes when it was asked for which event.
type far struct {
	at     []time.Time
	ids    []string
	answer func(n int, q *http.Request) (int, error)
}

func (f *far) RoundTrip(q *http.Request) (*http.Response, error) {
	f.at, f.ids = append(f.at, time.Now()), append(f.ids, q.Header.Get("Duet-Id"))
	code, err := f.answer(len(f.at), q)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: code, Body: http.NoBody, Request: q}, nil
}

// held counts how often an entry's lease was renewed.
type held int

func (h *held) Working() error {
	*h++
	return errors.New("the connection is away") // it is tried again
}

func farWorker(f *far, log *bytes.Buffer, kinds ...string) *worker {
	cfg := New(Config{Logger: slog.New(slog.NewTextHandler(log, nil))}).cfg
	w := newWorker(&cfg, desk.Hook{ID: "crm", URL: "https://example.com/secret-path?key=secret-key", Secret: "secret-word", Kinds: kinds})
	w.post.client.Transport = f
	return w
}

var three = []desk.Public{{Kind: "call.asked", Call: "c"}, {Kind: "room.opened"}, {Kind: "call.ended", Call: "c"}}

// A receiver that says no for a day is asked after 1 s, 2 s, … 5 min, for ever; the entry's lease is held, the log says so at most once a minute,
// and when it says yes nothing is missing.
func TestDayAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		begun := time.Now()
		f := &far{answer: func(int, *http.Request) (int, error) {
			if time.Since(begun) < 24*time.Hour {
				return http.StatusGone, nil
			}
			return http.StatusNoContent, nil
		}}
		var lease held
		if err := farWorker(f, &log).tell(t.Context(), &lease, 7, three); err != nil {
			t.Fatal(err)
		}
		want := FirstWait
		n := len(f.at) - 2 // of the first event
		for i := 1; i < n; i++ {
			pause := f.at[i].Sub(f.at[i-1])
			if pause < want*3/4 || pause > want*5/4 || pause > LongestWait || i == 1 && pause < FirstWait {
				t.Fatalf("pause %d is %v, after %v", i, pause, want)
			}
			want = min(2*want, LongestWait)
		}
		if n < 24*12 || f.ids[n-1] != "7.0" || f.ids[n] != "7.1" || f.ids[n+1] != "7.2" {
			t.Errorf("%d attempts, the last are %v", n, f.ids[n-1:])
		}
		if lease < 24*3600/5-10 {
			t.Errorf("the lease was renewed %d times", lease)
		}
		if lines := strings.Count(log.String(), "\n"); lines == 0 || lines > n {
			t.Errorf("%d lines in the log for %d attempts", lines, n)
		}
		if strings.Contains(log.String(), "secret") || !strings.Contains(log.String(), "webhook=crm") {
			t.Errorf("the log: %s", log.String())
		}
	})
}

// The log has at most a line a minute, however often it fails.
func TestComplainsSeldom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		f := &far{answer: func(n int, _ *http.Request) (int, error) {
			if n < 1000 {
				return 0, fmt.Errorf("attempt %d", n)
			}
			return http.StatusOK, nil
		}}
		w := farWorker(f, &log)
		w.cfg.LongestWait = time.Second
		if err := w.tell(t.Context(), new(held), 1, three[:1]); err != nil {
			t.Fatal(err)
		}
		if lines, minutes := strings.Count(log.String(), "\n"), int(f.at[len(f.at)-1].Sub(f.at[0]).Minutes()); lines > minutes+1 || lines < minutes-1 {
			t.Errorf("%d lines in %d minutes", lines, minutes)
		}
		if strings.Contains(log.String(), "secret") {
			t.Errorf("the log: %s", log.String())
		}
	})
}

// An exchange that hangs ends after 10 s; a worker that is stopped ends at once.
func TestHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{answer: func(_ int, q *http.Request) (int, error) {
			<-q.Context().Done()
			return 0, q.Context().Err()
		}}
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		begun := time.Now()
		if err := farWorker(f, new(bytes.Buffer)).tell(ctx, new(held), 1, three); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(begun); took != 12*time.Second || len(f.at) != 2 {
			t.Errorf("it took %v and %d attempts", took, len(f.at))
		} else if second := f.at[1].Sub(begun); second < Exchange+FirstWait || second > Exchange+2*FirstWait {
			t.Errorf("the second attempt came after %v", second)
		}
	})
}

// A webhook that asked for some kinds is told of no others; the IDs are the same for all webhooks.
func TestKinds(t *testing.T) {
	f := &far{answer: func(int, *http.Request) (int, error) { return http.StatusOK, nil }}
	if err := farWorker(f, new(bytes.Buffer), "call.ended").tell(t.Context(), new(held), 3, three); err != nil {
		t.Fatal(err)
	}
	if len(f.ids) != 1 || f.ids[0] != "3.2" {
		t.Errorf("told of %v", f.ids)
	}
}
