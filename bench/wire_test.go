package bench

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"duet/bench/netem"
)

// farEnd names what the test's other process, in the namespace, shall call.
const farEnd = "DUET_TEST_WIRE"

// TestWire sends bytes by TCP between this machine and a namespace, there and back through the two links.
func TestWire(t *testing.T) {
	if addr := os.Getenv(farEnd); addr != "" {
		callOver(t, addr)
		return
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Skip("takes Linux and root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		t.Skip("no ip command")
	}
	const delay = 30 * time.Millisecond
	link := netem.Config{Delay: delay}
	cfg := WireConfig{Name: "duettest", Subnet: netip.MustParsePrefix("10.203.7.4/30"), Up: link, Down: link}
	_ = exec.Command("ip", "netns", "del", cfg.Name).Run() // of a test that was killed
	w, err := StartWire(t.Context(), cfg)
	if err != nil && strings.Contains(err.Error(), "not permitted") { // root of a container
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if second, err := StartWire(t.Context(), cfg); err == nil {
		_ = second.Close()
		t.Error("two wires of one name")
	} else if !strings.Contains(err.Error(), "ip netns del duettest") {
		t.Errorf("does not say what to do: %v", err)
	}

	l, err := net.Listen("tcp", net.JoinHostPort(w.Near.String(), "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return // the test is over
		}
		_, _ = io.Copy(c, c)
		_ = c.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", cfg.Name, os.Args[0], "-test.run=^TestWire$", "-test.v")
	cmd.Env = append(os.Environ(), farEnd+"="+l.Addr().String())
	began := time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if took := time.Since(began); took < 4*delay { // a handshake, and an echo
		t.Errorf("%v over two links of %v", took, delay)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	s := w.Stats()
	if s.Up.Delivered == 0 || s.Up.Delivered > s.Up.Sent || s.Down.Delivered == 0 {
		t.Errorf("%+v", s)
	}
	if out, err := exec.Command("ip", "netns", "list").Output(); err == nil && strings.Contains(string(out), cfg.Name) {
		t.Errorf("the namespace is still there: %s", out)
	}
}

// callOver is the other process: more than fits into one segment comes back as it was.
func callOver(t *testing.T, addr string) {
	c, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	said := strings.Repeat("is anybody there? ", 5000)
	go func() {
		_, _ = io.WriteString(c, said)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	heard, err := io.ReadAll(c)
	if err != nil || string(heard) != said {
		t.Errorf("%d bytes of %d, %v", len(heard), len(said), err)
	}
}

func TestWireConfig(t *testing.T) {
	good := WireConfig{Name: "wire", Subnet: netip.MustParsePrefix("10.203.0.0/30")}
	if err := good.Check(); err != nil {
		t.Error(err)
	}
	for _, bad := range []WireConfig{
		{Name: "", Subnet: good.Subnet}, {Name: "Wire", Subnet: good.Subnet}, {Name: "../wire", Subnet: good.Subnet}, {Name: "a-name-too-long", Subnet: good.Subnet},
		{Name: "wire"}, {Name: "wire", Subnet: netip.MustParsePrefix("10.203.0.0/31")}, {Name: "wire", Subnet: netip.MustParsePrefix("fd00::/126")},
	} {
		if err := bad.Check(); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}
