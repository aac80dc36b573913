package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"duet/bench/netem"
)

func TestProxyLinks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "two.trace")
	if err := os.WriteFile(file, []byte("5\n10\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	links := ProxyLinks{
		Both:    strings.Fields("loss=5% burst=3 duplicate=0.01 delay=25ms jitter=10ms reorder rate=2M queue-bytes=64k mark=20ms"),
		Up:      strings.Fields("rate=500k reorder=false"),
		Down:    strings.Fields("queue=50ms burst-time=30ms trace=" + file),
		At:      []string{"20s up loss=0.3", " 10s rate=300k  loss=0", "20s down cut", "21s down cut=false"},
		Outages: []string{"5s,1s", "15s,500ms,up"},
		Seed:    9,
	}
	up, down, err := links.Configs()
	if err != nil {
		t.Fatal(err)
	}
	if down.Trace == nil || down.Trace.Bitrate() != 2_400_000 {
		t.Errorf("the trace is %v", down.Trace)
	}
	describe := func(c netem.Config) string {
		line := fmt.Sprintf("%v loss=%v rate=%d trace=%v", c.Seed, c.Loss, c.Rate, c.Trace != nil)
		for _, s := range c.Schedule {
			line += fmt.Sprintf(" | %v loss=%v rate=%d trace=%v down=%v", s.At, s.Config.Loss, s.Config.Rate, s.Config.Trace != nil, s.Config.Down)
		}
		return line
	}
	for got, want := range map[string]string{
		describe(up): "9 loss=0.05 rate=500000 trace=false | 5s loss=0.05 rate=500000 trace=false down=true | 6s loss=0.05 rate=500000 trace=false down=false" +
			" | 10s loss=0 rate=300000 trace=false down=false | 15s loss=0 rate=300000 trace=false down=true" +
			" | 15.5s loss=0 rate=300000 trace=false down=false | 20s loss=0.3 rate=300000 trace=false down=false",
		describe(down): "9 loss=0.05 rate=2000000 trace=true | 5s loss=0.05 rate=2000000 trace=true down=true | 6s loss=0.05 rate=2000000 trace=true down=false" +
			" | 10s loss=0 rate=300000 trace=false down=false | 20s loss=0 rate=300000 trace=false down=true | 21s loss=0 rate=300000 trace=false down=false",
	} {
		if got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	down.Schedule, down.Trace = nil, nil
	want := netem.Config{
		Seed: 9, Loss: .05, Burst: 3, BurstTime: 30 * ms, Duplicate: .01, Delay: 25 * ms, Jitter: 10 * ms, Reorder: true,
		Rate: 2e6, Queue: 50 * ms, Mark: 20 * ms,
	}
	if !reflect.DeepEqual(down, want) {
		t.Errorf("down is %+v, want %+v", down, want)
	}
	if up.QueueBytes != 64_000 || up.Reorder {
		t.Errorf("up is %+v", up)
	}
}

func TestProxyLinksErrors(t *testing.T) {
	for _, c := range []struct {
		links ProxyLinks
		tell  string
	}{
		{ProxyLinks{Both: []string{"los=1"}}, `there is no "los": it is one of loss, burst, `},
		{ProxyLinks{Both: []string{"loss=1.1"}}, "loss: want a share from 0 to 1"},
		{ProxyLinks{Both: []string{"loss"}}, "loss: want loss=VALUE"},
		{ProxyLinks{Both: []string{"reorder=maybe"}}, "reorder: want true or false"},
		{ProxyLinks{Up: []string{"delay=5"}}, "up: delay: want a time"},
		{ProxyLinks{Down: []string{"queue-bytes=-1"}}, "down: queue-bytes: want bytes"},
		{ProxyLinks{Down: []string{"queue-bytes=1G"}}, "down: queue-bytes: want bytes"},
		{ProxyLinks{Both: []string{"trace=/nowhere"}}, "drop, lte, wifi"},
		{ProxyLinks{At: []string{""}}, `at "": want a time`},
		{ProxyLinks{At: []string{"5s"}}, `at "5s": want a time`},
		{ProxyLinks{At: []string{"5s up"}}, "want a time"},
		{ProxyLinks{At: []string{"soon loss=1"}}, "with its unit"},
		{ProxyLinks{At: []string{"5s loss=2"}}, "at 5s: loss: want a share"},
		{ProxyLinks{At: []string{"5s down loss=2"}}, "at 5s: loss: want a share"},
		{ProxyLinks{Outages: []string{"5s"}}, `outage "5s": want when`},
		{ProxyLinks{Outages: []string{"5s,1"}}, "with its unit"},
		{ProxyLinks{Outages: []string{"5s,1s,left"}}, "up or down"},
		{ProxyLinks{Outages: []string{"5s,1s,up,down"}}, "up or down"},
		{ProxyLinks{Outages: make([]string, maxProxySteps+1)}, "more than 1000"},
	} {
		if _, _, err := c.links.Configs(); err == nil || !strings.Contains(err.Error(), c.tell) {
			t.Errorf("%+v: %v", c.links, err)
		}
	}
}

func TestReportProxy(t *testing.T) {
	earlier := ProxyStats{Opened: 1, Up: netem.Stats{Sent: 10, SentBytes: 1000, Delivered: 10, DeliveredBytes: 1000}}
	later := ProxyStats{Opened: 3, Up: netem.Stats{Sent: 30, SentBytes: 3000, Delivered: 25, DeliveredBytes: 2500, Lost: 2, QueueDropped: 3, Marked: 1}}
	r := ReportProxy(earlier, later, 2*time.Second)
	if r.Flows != 2 || r.Up.Sent != 20 || r.Up.Gone != .25 || r.Up.Rate != 6000 || r.Up.SentRate != 8000 || r.Up.Marked != 1 || r.Down.Gone != 0 {
		t.Errorf("%+v", r)
	}
	if r := ReportProxy(ProxyStats{}, ProxyStats{}, 0); r != (ProxyReport{}) {
		t.Errorf("nothing happened: %+v", r)
	}
}

// Times of all flows count from the first one's first datagram, and a cut holds through every change.
func TestProxySchedule(t *testing.T) {
	target := startEcho(t, "127.0.0.1:0")
	up := netem.Config{Schedule: []netem.Step{{At: 20 * time.Millisecond, Config: netem.Config{Down: true}}}}
	p := startProxy(t, ProxyConfig{Target: target.addr(), Up: up})
	if !p.Began().IsZero() {
		t.Error("began without a client")
	}
	a, b := client(t, p), client(t, p)
	eventually(t, "the outage", func() bool {
		say(t, a, "a")
		return p.Stats().Up.DownDropped > 0
	})
	if since := time.Since(p.Began()); since < 20*time.Millisecond {
		t.Errorf("an outage after %v", since)
	}
	before := p.Stats().Up.DownDropped
	say(t, b, "b")
	eventually(t, "b in the dark", func() bool { return p.Stats().Up.DownDropped > before })

	p.Blackhole(true, false)
	p.SetUp(netem.Config{Schedule: []netem.Step{{At: 30 * time.Millisecond}}}) // over by now
	before = p.Stats().Up.DownDropped
	say(t, a, "a")
	eventually(t, "the cut", func() bool { return p.Stats().Up.DownDropped > before })
	p.Blackhole(false, false)
	say(t, b, "c")
	eventually(t, "b's word", func() bool {
		got := target.received()
		return len(got) > 0 && got[len(got)-1] == "c"
	})
	for _, s := range target.received() {
		if s == "b" {
			t.Error("b was heard in the dark")
		}
	}
}
