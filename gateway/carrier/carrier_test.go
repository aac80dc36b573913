package carrier

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"
)

// echo stands for a relay: it sends back what it gets.
func echo(t *testing.T) *net.UDPConn {
	t.Helper()
	u, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = u.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			n, from, err := u.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			_, _ = u.WriteToUDPAddrPort(b[:n], from)
		}
	}()
	return u
}

func start(t *testing.T, change func(*Config)) (*Server, *httptest.Server) {
	t.Helper()
	cfg := Config{Relay: echo(t).LocalAddr().(*net.UDPAddr).AddrPort()}
	if change != nil {
		change(&cfg)
	}
	s := New(cfg)
	mux := http.NewServeMux()
	mux.Handle("GET "+WebSocketPath, s.WebSocket())
	mux.Handle("GET "+WebSocketPath+CheckSuffix, s.Check())
	mux.Handle("GET /v1/carriers", s.Carriers())
	h := httptest.NewServer(mux)
	t.Cleanup(func() {
		s.Close()
		h.Close()
	})
	return s, h
}

func dial(t *testing.T, h *httptest.Server, origin string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	return dialAt(t, h, origin, WebSocketPath)
}

func dialAt(t *testing.T, h *httptest.Server, origin, path string) (*websocket.Conn, *http.Response, error) {
	t.Helper()
	o := &websocket.DialOptions{Subprotocols: []string{Subprotocol}, HTTPHeader: http.Header{}}
	if origin != "" {
		o.HTTPHeader.Set("Origin", origin)
	}
	c, r, err := websocket.Dial(t.Context(), "ws"+strings.TrimPrefix(h.URL, "http")+path, o)
	if err == nil {
		t.Cleanup(func() { _ = c.CloseNow() })
		c.SetReadLimit(1 << 20)
	}
	return c, r, err
}

// Datagrams go both ways over a WebSocket, several in a message, and what is longer than ours goes nowhere.
func TestWebSocket(t *testing.T) {
	s, h := start(t, nil)
	c, _, err := dial(t, h, h.URL)
	if err != nil {
		t.Fatal(err)
	}
	var message []byte
	for i := range 20 {
		d := bytes.Repeat([]byte{byte(i)}, 100+i*58)
		message = append(binary.BigEndian.AppendUint16(message, uint16(len(d))), d...)
	}
	if err := c.Write(t.Context(), websocket.MessageBinary, message); err != nil {
		t.Fatal(err)
	}
	for next := 0; next < 19; { // the last has 1202 bytes
		_, b, err := c.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for len(b) > 0 {
			n := int(binary.BigEndian.Uint16(b))
			if want := bytes.Repeat([]byte{byte(next)}, 100+next*58); !bytes.Equal(b[2:2+n], want) {
				t.Fatalf("datagram %d: %d bytes of %d", next, n, b[2])
			}
			b = b[2+n:]
			next++
		}
	}
	if s.Peers() != 1 {
		t.Errorf("%d peers", s.Peers())
	}
	if err := c.Write(t.Context(), websocket.MessageBinary, []byte{9, 9, 1}); err != nil { // half a datagram
		t.Fatal(err)
	}
	if _, _, err := c.Read(t.Context()); err == nil {
		t.Error("what is not our protocol goes on")
	}
}

// Only pages of this host, or those that are listed, come in; and no more than there is room for.
func TestWhoComesIn(t *testing.T) {
	s, h := start(t, func(c *Config) { c.Origins, c.MaxPeers = []string{"desk.example.org"}, 3 })
	for origin, ok := range map[string]bool{
		"": true, "http://127.0.0.1:9999": true, "https://desk.example.org": true, "https://evil.example": false, "https://desk.example.org.evil": false, "null": false,
	} {
		c, r, err := dial(t, h, origin)
		if (err == nil) != ok || !ok && (r == nil || r.StatusCode != http.StatusForbidden) {
			t.Errorf("origin %q: %v", origin, err)
		}
		_ = c
	}
	c, _, err := dial(t, h, "")
	if err == nil {
		_, _, err = c.Read(t.Context())
	}
	if websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Errorf("a fourth: %v", err)
	}
	s.Close()
	if s.Peers() != 0 {
		t.Errorf("%d peers after the end", s.Peers())
	}
}

// A browser finds WebTransport by what Carriers says, takes the certificate by its hash, and datagrams go both ways.
func TestWebTransport(t *testing.T) {
	s, h := start(t, nil)
	sock, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	made, err := NewCertificates(time.Now)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.ServeWebTransport(ctx, sock, made.Certificate, made.Hashes) }()
	var l list
	for l.WebTransport == nil {
		r, err := http.Get(h.URL + "/v1/carriers")
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(json.NewDecoder(r.Body).Decode(&l), r.Body.Close()); err != nil {
			t.Fatal(err)
		}
	}
	if l.WebSocket != WebSocketPath || len(l.WebTransport.Hashes) != 2 {
		t.Errorf("%+v", l)
	}
	d := webtransport.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: func(raw [][]byte, _ [][]*x509.Certificate) error {
			sum := sha256.Sum256(raw[0])
			if !slices.Contains(l.WebTransport.Hashes, base64.StdEncoding.EncodeToString(sum[:])) {
				return errors.New("another certificate")
			}
			return nil
		}},
		QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true},
	}
	defer func() { _ = d.Close() }()
	if _, _, err := d.Dial(t.Context(), l.WebTransport.URL, http.Header{"Origin": {"https://evil.example"}}); err == nil {
		t.Error("a page of another host comes in")
	}
	_, session, err := d.Dial(t.Context(), l.WebTransport.URL, http.Header{"Origin": {h.URL}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		want := bytes.Repeat([]byte{byte(i)}, 1000)
		if err := session.SendDatagram(want); err != nil {
			t.Fatal(err)
		}
		got, err := session.ReceiveDatagram(t.Context())
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := session.ReceiveDatagram(t.Context()); err == nil {
		t.Error("the session outlives the server")
	}
}

// Certificates change before browsers refuse them, and a hash is told before its certificate comes.
func TestCertificates(t *testing.T) {
	now := time.Unix(1_700_000_000, 0)
	c, err := NewCertificates(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	told := c.Hashes()
	changes := 0
	last := ""
	for range 60 * 24 { // an hour at a time
		cert, err := x509.ParseCertificate(c.Certificate().Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if now.After(cert.NotAfter) || now.Before(cert.NotBefore) || cert.NotAfter.Sub(cert.NotBefore) > 14*24*time.Hour {
			t.Fatalf("at %v the certificate is valid from %v to %v", now, cert.NotBefore, cert.NotAfter)
		}
		sum := sha256.Sum256(cert.Raw)
		hash := base64.StdEncoding.EncodeToString(sum[:])
		if !slices.Contains(told, hash) {
			t.Fatalf("at %v a certificate is used that was not told an hour before", now)
		}
		if hash != last {
			changes++
		}
		last, told = hash, c.Hashes()
		now = now.Add(time.Hour)
	}
	if changes < 9 || changes > 11 {
		t.Errorf("%d certificates in 60 days", changes)
	}
}

// A check gets back what it sends, up to a limit, without the relay, and only so many are made at a time.
func TestCheck(t *testing.T) {
	s, h := start(t, func(c *Config) { c.Relay, c.MaxCheck = netip.MustParseAddrPort("127.0.0.1:1"), 2 })
	open := func() *websocket.Conn {
		c, _, err := dialAt(t, h, "", WebSocketPath+CheckSuffix)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	const each = 20
	message := bytes.Repeat(append(binary.BigEndian.AppendUint16(nil, 1000), bytes.Repeat([]byte{7}, 1000)...), each)
	c := open()
	for range checkBytes / 1000 / each {
		if err := c.Write(t.Context(), websocket.MessageBinary, message); err != nil {
			t.Fatal(err)
		}
		for got := 0; got < len(message); {
			_, b, err := c.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got += len(b)
		}
	}
	if err := c.Write(t.Context(), websocket.MessageBinary, message); err == nil {
		for got := 0; err == nil && got < len(message); {
			var b []byte
			_, b, err = c.Read(t.Context())
			got += len(b)
		}
		if err == nil {
			t.Error("there is no limit")
		}
	}
	peers := func(n int) {
		for end := time.Now().Add(5 * time.Second); s.Peers() != n; runtime.Gosched() {
			if time.Now().After(end) {
				t.Fatalf("%d peers, want %d", s.Peers(), n)
			}
		}
	}
	peers(0)
	for i := range 2 {
		open()
		peers(i + 1)
	}
	if _, _, err := open().Read(t.Context()); websocket.CloseStatus(err) != websocket.StatusTryAgainLater {
		t.Errorf("one check more: %v", err)
	}
	if c, _, err := dial(t, h, ""); err != nil {
		t.Error("checks keep calls out")
	} else {
		_ = c.CloseNow()
	}
}
