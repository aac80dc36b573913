package main

import (
	"context"
	"encoding/json"
	"net"
	"regexp"
	"strings"
	"testing"

	"duet/bench"
)

// A call goes through the proxy to its end, and the proxy tells of it while it runs and afterwards.
func TestBenchProxy(t *testing.T) {
	t.Parallel()
	h := startServer(t, nil)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	proxy := result{out: &output{}, err: &output{}}
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"bench", "proxy", "--to", h.srv.relay.Addr().String(), "--delay", "5ms", "--loss", "5%",
			"--up", "rate=20M", "--every", "50ms", "--seed", "3"}, strings.NewReader(""), proxy.out, proxy.err)
	}()
	listening := regexp.MustCompile(`(?m)^proxy  (\S+) to \S+$`)
	waitFor(t, "the proxy", func() bool { return listening.MatchString(proxy.out.String()) })
	host := listening.FindStringSubmatch(proxy.out.String())[1]
	url := strings.TrimSpace(duet(t.Context(), nil, "url", "push", "live/a", "--data", h.data, "--host", host).out.String())
	if r := duet(t.Context(), nil, "push", url, "--input", clipFile(t)); r.code != exitDone {
		t.Errorf("push: exit %d: %s", r.code, r.err)
	}
	waitFor(t, "a line", func() bool {
		return regexp.MustCompile(`up .*kbit/s.* gone.*\| +down .*\| +1 client`).MatchString(proxy.err.String())
	})
	stop()
	if code := <-ended; code != exitDone {
		t.Errorf("proxy: exit %d: %s", code, proxy.err)
	}
	for _, want := range []string{"1 client in ", "sent", "delivered", "lost", "queue p95 ms"} {
		if !strings.Contains(proxy.out.String(), want) {
			t.Errorf("no %q in: %s", want, proxy.out)
		}
	}
}

func TestBenchProxyJSON(t *testing.T) {
	t.Parallel()
	target, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	r := duet(t.Context(), nil, "bench", "proxy", "--to", target.LocalAddr().String(), "--duration", "20ms", "--json", "--trace", "lte", "--outage", "5s,1s")
	var rep bench.ProxyReport
	if err := json.Unmarshal([]byte(r.out.String()), &rep); err != nil || r.code != exitDone || rep.Flows != 0 {
		t.Errorf("exit %d, %v: %s%s", r.code, err, r.out, r.err)
	}
	r = duet(t.Context(), nil, "bench", "proxy", "--to", target.LocalAddr().String(), "--duration", "20ms")
	if r.code != exitDone || !strings.Contains(r.out.String(), "no client came") {
		t.Errorf("exit %d: %s%s", r.code, r.out, r.err)
	}
}

func TestBenchProxyMisuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args, tell string
		code       int
	}{
		{"", "--to is missing", exitMisuse},
		{"--to nowhere", "--to: want HOST:PORT", exitMisuse},
		{"--to 127.0.0.1:9 --listen 9", "--listen: want HOST:PORT", exitMisuse},
		{"--to 127.0.0.1:9 --loss 5", `"--loss" flag: want a share from 0 to 1`, exitMisuse},
		{"--to 127.0.0.1:9 --trace /nowhere", "mahimahi", exitMisuse},
		{"--to 127.0.0.1:9 --rate 1M --trace lte", "--rate and --trace", exitMisuse},
		{"--to 127.0.0.1:9 --down speed=1", `down: there is no "speed"`, exitMisuse},
		{"--to 127.0.0.1:9 --outage 5s", `outage "5s"`, exitMisuse},
		{"--to 127.0.0.1:9 --every 1ns", "--every", exitMisuse},
		{"--to 127.0.0.1:9 --clients 0", "--clients", exitMisuse},
		{"--to 127.0.0.1:9 --duration -1s", "--duration", exitMisuse},
		{"--to 127.0.0.1:9 x", "takes no arguments", exitMisuse},
		{"--to nowhere.invalid:9 --duration 1ms", "proxy target", exitFailed},
	} {
		r := duet(t.Context(), nil, append([]string{"bench", "proxy"}, strings.Fields(c.args)...)...)
		if r.code != c.code || !strings.Contains(r.err.String(), c.tell) {
			t.Errorf("%s: exit %d: %s", c.args, r.code, r.err)
		}
	}
}
