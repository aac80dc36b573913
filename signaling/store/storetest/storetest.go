package storetest

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const startTime = 10 * time.Second

// NATS is the URL of a NATS server with JetStream on a free port of loopback. It ends with the test, after everything that is cleaned up later.
func NATS(t testing.TB) (url string) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() {
		srv.Shutdown()
		srv.WaitForShutdown()
	})
	if !srv.ReadyForConnections(startTime) {
		t.Fatal("the NATS server does not start")
	}
	return srv.ClientURL()
}
