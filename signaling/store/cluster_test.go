package store

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// TestCluster: with three servers and three replicas, the log goes on whichever server is lost, without gap or repetition. It takes its time: DUET_LONG=1.
func TestCluster(t *testing.T) {
	if !long() {
		t.Skip("DUET_LONG=1 runs it")
	}
	var routes []*url.URL
	var ports []int
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		addr, _ := l.Addr().(*net.TCPAddr)
		_ = l.Close()
		ports = append(ports, addr.Port)
		routes = append(routes, &url.URL{Scheme: "nats", Host: addr.String()})
	}
	var servers []*natsServer
	var urls string
	for i := range 3 {
		n := &natsServer{options: server.Options{
			ServerName: fmt.Sprint("n", i), Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
			Cluster: server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: ports[i]}, Routes: routes,
		}}
		srv, err := server.NewServer(&n.options)
		if err != nil {
			t.Fatal(err)
		}
		n.srv = srv
		srv.Start()
		addr, _ := srv.Addr().(*net.TCPAddr)
		n.options.Port = addr.Port
		t.Cleanup(n.stop)
		servers = append(servers, n)
		urls += "," + n.url()
	}
	for _, n := range servers {
		if !n.srv.ReadyForConnections(patience) {
			t.Fatal("a server does not start")
		}
	}
	eventually(t, "a leader", func() bool {
		for _, n := range servers {
			if n.srv.JetStreamIsLeader() {
				return true
			}
		}
		return false
	})
	cfg := Config{URL: urls[1:], Replicas: 3}
	var s *Store
	eventually(t, "streams", func() (ok bool) {
		var err error
		s, err = Open(within(t), cfg)
		return err == nil
	})
	t.Cleanup(func() { closeStore(t, s) })
	other := mustOpen(t, cfg)
	entries, result, _ := follow(t, other, 0)
	last := uint64(0)
	appendOne := func() {
		eventually(t, "an append", func() bool {
			seq, err := s.Append(within(t), last, text(last+1))
			if errors.Is(err, ErrConflict) { // it was there although we were not told
				now, err := s.Last(within(t))
				if err == nil && now == last+1 {
					seq = now
				}
			} else if err != nil {
				return false
			}
			if seq == last+1 {
				last = seq
				return true
			}
			return false
		})
	}
	for i := range 3 {
		for range 100 {
			appendOne()
		}
		await(t, entries, result, last)
		save(t, s, last, noise(last, 3*chunkSize))
		begin := time.Now()
		servers[i].stop()
		appendOne()
		t.Logf("server %d lost: appended again after %v", i, time.Since(begin))
		for range 50 {
			appendOne()
		}
		await(t, entries, result, last)
		t.Logf("and followed after %v", time.Since(begin))
		checkSnapshot(t, other, last-51, noise(last-51, 3*chunkSize))
		servers[i].start(t)
		eventually(t, "the server's return", func() bool { return servers[i].srv.JetStreamIsCurrent() })
	}
	x := expect{t, 1}
	if err := other.Read(within(t), 1, last, x.take); err != nil {
		t.Fatal(err)
	}
}
