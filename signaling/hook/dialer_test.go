package hook

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"duet/signaling/desk"
)

func TestAllowed(t *testing.T) {
	public, private, nobody := [2]bool{true, true}, [2]bool{false, true}, [2]bool{}
	for text, want := range map[string][2]bool{ // of a webhook in the internet, and of a private one
		"93.184.216.34": public, "2606:2800:220:1::1": public, "::ffff:93.184.216.34": public, "172.32.0.1": public, "100.128.0.1": public,
		"198.20.0.1": public, "2001:4860:4860::8888": public, "168.63.129.17": public,
		"10.0.0.1": private, "192.168.1.1": private, "172.16.0.1": private, "172.31.255.255": private, "127.0.0.1": private, "127.8.8.8": private,
		"::1": private, "fd12::1": private, "fc00::1": private, "100.64.0.1": private, "100.127.255.255": private, "198.18.0.1": private,
		"::ffff:10.0.0.1": private, "::ffff:127.0.0.1": private, "::ffff:100.64.0.1": private,
		"169.254.169.254": nobody, "::ffff:169.254.169.254": nobody, "169.254.0.1": nobody, "fe80::1": nobody, "fe80::1%eth0": nobody, "fec0::1": nobody,
		"fd00:ec2::254": nobody, "fd00:ec2::23": nobody, "fd20:ce::254": nobody, "100.100.100.200": nobody, "168.63.129.16": nobody, "192.0.0.192": nobody,
		"0.0.0.0": nobody, "::": nobody, "::ffff:0.0.0.0": nobody, "0.1.2.3": nobody, "224.0.0.1": nobody, "239.1.1.1": nobody, "ff02::1": nobody,
		"255.255.255.255": nobody, "240.0.0.1": nobody,
		"64:ff9b::a00:1": nobody, "64:ff9b:1::a00:1": nobody, "2002:a00:1::1": nobody, "2001:0:a00:1::1": nobody, "::10.0.0.1": nobody, "::127.0.0.1": nobody,
	} {
		a := netip.MustParseAddr(text)
		if got := [2]bool{allowed(a, false), allowed(a, true)}; got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if allowed(netip.Addr{}, true) {
		t.Error("no address is allowed")
	}
}

// However an address is written, and whatever a name resolves to, it is the address that is checked.
func TestForbidden(t *testing.T) {
	r := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer r.Close()
	_, port, err := net.SplitHostPort(r.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]"} {
		post := func(private bool) error {
			p := newPoster(&Config{Exchange: 5 * time.Second}, desk.Hook{URL: "https://" + host + ":" + port, Private: private})
			defer p.client.CloseIdleConnections()
			if tr, ok := p.client.Transport.(*http.Transport); ok {
				tr.TLSClientConfig = r.Client().Transport.(*http.Transport).TLSClientConfig.Clone()
				tr.TLSClientConfig.ServerName = "example.com" // as the test's certificate says
			}
			return p.send(t.Context(), 1, 0, &desk.Public{Kind: "x"})
		}
		if err := post(false); !errors.Is(err, ErrForbidden) {
			t.Errorf("%s is reached by a webhook that is not private: %v", host, err)
		}
		if err := post(true); err != nil {
			t.Errorf("%s is not reached by a private one: %v", host, err)
		}
	}
	if err := newPoster(&Config{Exchange: time.Second}, desk.Hook{URL: "http://example.com"}).send(t.Context(), 1, 0, &desk.Public{}); !errors.Is(err, ErrForbidden) {
		t.Errorf("without TLS, and not private: %v", err)
	}
}

// A receiver that accepts connections and is silent in the handshake holds neither goroutines nor connections.
func TestSilentHandshake(t *testing.T) {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	var conns []net.Conn
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			conns = append(conns, c)
		}
	}()
	p := newPoster(&Config{Exchange: 30 * time.Millisecond}, desk.Hook{URL: "https://" + l.Addr().String(), Private: true})
	before := runtime.NumGoroutine()
	for range 20 {
		if err := p.send(t.Context(), 1, 0, &desk.Public{Kind: "x"}); err == nil {
			t.Error("it has taken the event")
		}
	}
	deadline := time.NewTimer(5 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for runtime.NumGoroutine() > before {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
	}
	_ = l.Close()
	<-done
	for _, c := range conns {
		_ = c.Close()
	}
}
