package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"

	"duet/client"
)

// reporter tells what a client does: as lines for people, as JSON lines for programs, or as one live status line on a terminal.
// Its methods may be called from any goroutine.
type reporter struct {
	mu    sync.Mutex // guards what follows
	w     io.Writer
	json  bool
	live  bool // a terminal: netstatus is one line that changes
	shown bool // it is there now
	start time.Time
}

// newReporter reports to w: people's lines go to standard error, JSON to standard output unless that is the media's.
func newReporter(s streams, asJSON, outputTaken bool) *reporter {
	r := &reporter{json: asJSON, w: s.err, start: time.Now()}
	if asJSON && !outputTaken {
		r.w = s.out
	}
	r.live = !asJSON && isTerminal(s.err)
	return r
}

// as returns an event handler whose lines name a role, which may be empty.
func (r *reporter) as(role string) func(client.Event) {
	return func(e client.Event) { r.event(role, e) }
}

// event reports one event of a client.
func (r *reporter) event(role string, e client.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.json {
		r.jsonEvent(role, e)
		return
	}
	if e.Kind == client.KindNetStatus {
		if r.live {
			fmt.Fprintf(r.w, "\r\x1b[K%s", statusLine(e.Info))
			r.shown = true
		}
		return
	}
	if isFinal(e.Code) {
		return // run prints it as the error
	}
	r.clear()
	if role != "" {
		role = fmt.Sprintf("%-7s", role)
	}
	fmt.Fprintf(r.w, "%7.3f s  %s%5d  %s\n", e.Time.Sub(r.start).Seconds(), role, e.Code, e.Text)
}

// isFinal reports whether a code ends a command: its error has the same code and text.
func isFinal(code int) bool {
	switch code {
	case client.CodeLookup, client.CodeConnection, client.CodeHandshake, client.CodeClosed, client.CodeIO, client.CodePushGaveUp, client.CodePlayGaveUp:
		return true
	}
	return false
}

// clear takes the status line away.
func (r *reporter) clear() {
	if r.shown {
		fmt.Fprint(r.w, "\r\x1b[K")
		r.shown = false
	}
}

func statusLine(i *client.NetStatus) string {
	line := fmt.Sprintf("video %d kbit/s %.0f fps  audio %d kbit/s  net %d kbit/s  rtt %.0f ms  loss %.1f %%  quality %d",
		i.VideoBitrate, i.VideoFPS, i.AudioBitrate, i.NetSpeed, i.RTT, i.Loss, i.Quality)
	if i.TargetBitrate > 0 {
		line += fmt.Sprintf("  room for %d kbit/s", i.TargetBitrate)
	}
	return line
}

func (r *reporter) jsonEvent(role string, e client.Event) {
	if e.Kind == client.KindNetStatus {
		r.encode(struct {
			Event string `json:"event"`
			Role  string `json:"role,omitempty"`
			*client.NetStatus
		}{string(e.Kind), role, e.Info})
		return
	}
	r.encode(struct {
		Event string  `json:"event"`
		Role  string  `json:"role,omitempty"`
		Code  int     `json:"code"`
		Text  string  `json:"text"`
		Time  float64 `json:"time"` // seconds since the command began
	}{string(e.Kind), role, e.Code, e.Text, ms(e.Time.Sub(r.start)) / 1000})
}

func (r *reporter) encode(v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	fmt.Fprintf(r.w, "%s\n", b)
}

// report is what a push or play ended with, in JSON.
type report struct {
	Event      string  `json:"event"` // "report"
	Role       string  `json:"role"`  // "push" or "play"
	OK         bool    `json:"ok"`
	Code       int     `json:"code,omitempty"` // of the error
	Error      string  `json:"error,omitempty"`
	Seconds    float64 `json:"seconds"`
	Video      uint64  `json:"videoFrames"`
	Audio      uint64  `json:"audioFrames"`
	Records    uint64  `json:"records"`
	Skipped    uint64  `json:"skipped"`
	MediaBytes uint64  `json:"mediaBytes"`
	BytesOut   uint64  `json:"bytesSent"`
	BytesIn    uint64  `json:"bytesReceived"`
	Loss       float64 `json:"loss"`               // percent
	Resent     uint64  `json:"retransmits"`        // pusher
	Repairs    uint64  `json:"repairs"`            // parity: pusher sent, player received
	Repaired   uint64  `json:"repaired"`           // player: packets rebuilt from parity
	Switches   uint64  `json:"switches,omitempty"` // pusher of several renditions
	Reconnects uint64  `json:"reconnects"`
	RTT        float64 `json:"rtt"` // ms
	FirstFrame float64 `json:"firstFrame,omitempty"`
	Delay      *delay  `json:"delay,omitempty"`
}

// delay is capture to release in ms.
type delay struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func makeReport(role string, took time.Duration, s client.Stats, err error) report {
	r := report{
		Event: "report", Role: role, OK: err == nil, Code: codeOf(err), Seconds: took.Seconds(),
		Video: s.VideoFrames, Audio: s.AudioFrames, Records: s.Records, Skipped: s.Skipped, MediaBytes: s.MediaBytes,
		BytesOut: s.BytesSent, BytesIn: s.BytesReceived, Loss: s.Loss, Resent: s.Retransmits, Repairs: s.RepairsSent + s.RepairsReceived,
		Repaired: s.PacketsRepaired, Switches: s.Switches, Reconnects: s.Reconnects, RTT: ms(s.RTT), FirstFrame: ms(s.FirstFrame),
	}
	if err != nil {
		r.Error = oneLine(err.Error())
	}
	if s.Delay.Count > 0 {
		r.Delay = &delay{ms(s.Delay.P50), ms(s.Delay.P95), ms(s.Delay.P99), ms(s.Delay.Max)}
	}
	return r
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// finish tells the result: a JSON line, or a sentence.
func (r *reporter) finish(rep report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clear()
	if r.json {
		r.encode(rep)
		return
	}
	if !rep.OK && rep.Video+rep.Audio+rep.Records == 0 {
		return // the error says it all
	}
	what := "sent"
	if rep.Role == "play" {
		what = "received"
	}
	fmt.Fprintf(r.w, "%s %d video and %d audio frames, %s of media, in %.1f s; %d skipped, %.1f %% lost, %d resent, %d reconnects\n",
		what, rep.Video, rep.Audio, size(rep.MediaBytes), rep.Seconds, rep.Skipped, rep.Loss, rep.Resent, rep.Reconnects)
	if d := rep.Delay; d != nil {
		fmt.Fprintf(r.w, "delay p50 %.1f ms, p95 %.1f ms, p99 %.1f ms, max %.1f ms\n", d.P50, d.P95, d.P99, d.Max)
	}
}

// size is a number of bytes for people.
func size(n uint64) string {
	switch {
	case n >= 10_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	case n >= 10_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
