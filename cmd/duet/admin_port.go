package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"duet/relay"
)

// defaultAdmin is where metrics and profiles are, on loopback: what they tell is for the operator alone. Where something else listens there, a
// server goes without.
const defaultAdmin = "127.0.0.1:9464"

const adminPatience = 5 * time.Second

// adminPort serves what an operator looks at: GET /metrics for Prometheus, /debug/pprof/ for profiles, and /relay, everything the relay counts as
// JSON with the process's CPU time and memory, for `duet bench load`.
type adminPort struct {
	ln   net.Listener
	http *http.Server
}

// adminReport is what GET /relay tells.
type adminReport struct {
	CPU        time.Duration `json:"cpu_ns"` // used so far; 0 if the system does not tell
	RSS        int64         `json:"rss_bytes"`
	Heap       uint64        `json:"heap_bytes"` // live, or not collected yet
	Goroutines int           `json:"goroutines"`
	Version    string        `json:"version"`
	Relay      relay.Stats   `json:"relay"`
}

// openAdmin listens on addr; nil for "", and for the default where something else listens. r may be nil: the process has no relay.
func openAdmin(addr string, r *relay.Server, log *slog.Logger) (*adminPort, error) {
	ln, err := listen(addr, "--admin")
	if errors.Is(err, syscall.EADDRINUSE) && addr == defaultAdmin {
		log.Info("no metrics: something else listens on their port", "hint", "--admin HOST:PORT chooses another, port 0 a free one")
		return nil, nil
	}
	if ln == nil || err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	if r != nil {
		mux.HandleFunc("GET /relay", func(w http.ResponseWriter, req *http.Request) {
			st, err := r.Stats(req.Context())
			if err != nil {
				http.Error(w, "the relay does not answer", http.StatusServiceUnavailable)
				return
			}
			var mem runtime.MemStats
			runtime.ReadMemStats(&mem)
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(adminReport{
				CPU: processCPU("self"), RSS: processRSS("self"), Heap: mem.HeapAlloc, Goroutines: runtime.NumGoroutine(), Version: version(), Relay: st,
			})
		})
	}
	mux.Handle("GET /metrics", promhttp.HandlerFor(newRegistry(r), promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return &adminPort{ln: ln, http: &http.Server{Handler: mux, ReadHeaderTimeout: httpHeaderTimeout, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug)}}, nil
}

// serve answers until ctx ends.
func (a *adminPort) serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = a.http.Close() })
	defer stop()
	if err := a.http.Serve(a.ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// checkAdmin refuses to show profiles and metrics to the network by mistake.
func checkAdmin(addr string, allowed bool) error {
	if addr == "" || allowed || loopback(addr) {
		return nil
	}
	return withHint(misusef("--admin %s is not on loopback: whoever reaches it sees metrics and takes profiles, without a password", addr),
		"leave it on loopback and put a proxy in front, or accept it with --allow-plaintext")
}

// askAdmin gets a server's report.
func askAdmin(ctx context.Context, addr string) (r adminReport, err error) {
	ctx, cancel := context.WithTimeout(ctx, adminPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/relay", http.NoBody)
	if err != nil {
		return r, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, withHint(err, "--admin names the server's admin port: `duet serve` prints it")
	}
	defer func() { err = joinErrors(err, res.Body.Close()) }()
	if res.StatusCode != http.StatusOK {
		return r, fmt.Errorf("the admin port answers %s", res.Status)
	}
	return r, json.NewDecoder(res.Body).Decode(&r)
}

// processCPU is what a process has used, to the nanosecond: the sum of its threads' (Go's hardly ever end). 0 where the system does not tell.
func processCPU(pid string) (total time.Duration) {
	files, err := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
	if err != nil {
		return 0
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a thread that has just ended
		}
		used, _, _ := strings.Cut(string(b), " ")
		if n, err := strconv.ParseInt(used, 10, 64); err == nil {
			total += time.Duration(n)
		}
	}
	return total
}

// processRSS is the memory that a process has in use, 0 where the system does not tell.
func processRSS(pid string) int64 {
	b, err := os.ReadFile("/proc/" + pid + "/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	n, err := strconv.ParseInt(f[1], 10, 64)
	if err != nil {
		return 0
	}
	return n * int64(os.Getpagesize())
}
