package record

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// bucket is as much of an S3 interface as an upload needs.
type bucket struct {
	mu      sync.Mutex
	objects map[string][]byte
	sums    map[string]string
	puts    int
	broken  func(put int, b []byte) ([]byte, bool) // what becomes of a body; false: the request fails
}

func (s *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case r.URL.Query().Has("location"):
		fmt.Fprint(w, `<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/"></LocationConstraint>`)
	case r.Method == http.MethodPut:
		b, err := body(r)
		s.puts++
		if s.broken != nil {
			var ok bool
			if b, ok = s.broken(s.puts, b); !ok {
				http.Error(w, "<Error><Code>AccessDenied</Code></Error>", http.StatusForbidden)
				return
			}
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.objects[r.URL.Path], s.sums[r.URL.Path] = b, r.Header.Get("X-Amz-Meta-"+sumHeader)
		w.Header().Set("ETag", `"1"`)
	case r.Method == http.MethodHead:
		b, ok := s.objects[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(b)))
		w.Header().Set("Last-Modified", time.Now().UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("X-Amz-Meta-"+sumHeader, s.sums[r.URL.Path])
	default:
		w.WriteHeader(http.StatusNotImplemented)
	}
}

// body takes a signed, chunked body apart.
func body(r *http.Request) ([]byte, error) {
	if !strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return io.ReadAll(r.Body)
	}
	var out []byte
	for in := bufio.NewReader(r.Body); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, err
		}
		var n int
		if _, err := fmt.Sscanf(line, "%x", &n); err != nil {
			return nil, err
		}
		if n == 0 {
			return out, nil
		}
		piece := make([]byte, n+2)
		if _, err := io.ReadFull(in, piece); err != nil {
			return nil, err
		}
		out = append(out, piece[:n]...)
	}
}

// Finished recordings are copied once, whatever fails on the way, and what arrives damaged does not count.
func TestUpload(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { call(t, dir, "c1", Config{}, 3*time.Second) })
	s := &bucket{objects: make(map[string][]byte), sums: make(map[string]string)}
	srv := httptest.NewServer(s)
	defer srv.Close()
	u, err := NewUploader(UploadConfig{Endpoint: strings.TrimPrefix(srv.URL, "http://"), Bucket: "calls", Prefix: "bank", Plain: true, Region: "r", AccessKey: "a", SecretKey: "b"})
	if err != nil {
		t.Fatal(err)
	}
	s.broken = func(n int, b []byte) ([]byte, bool) { return b, n < 3 }
	if err := u.Once(t.Context(), dir); err == nil {
		t.Error("a refusal is no error")
	}
	s.broken = func(_ int, b []byte) ([]byte, bool) { return b[:len(b)/2], true }
	if err := u.Once(t.Context(), dir); err == nil || !strings.Contains(err.Error(), "the copy has") {
		t.Errorf("half a file: %v", err)
	}
	if f, err := Find(dir, "c1"); err != nil || f.Uploaded != "" {
		t.Errorf("%v: %+v", err, f)
	}
	s.broken = nil
	before := s.puts
	if err := u.Once(t.Context(), dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(filepath.Join(dir, "c1"))
	if err != nil {
		t.Fatal(err)
	}
	files := 0
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), keeperPrefix) {
			continue
		}
		files++
		b, err := os.ReadFile(filepath.Join(dir, "c1", e.Name()))
		if err != nil || !bytes.Equal(b, s.objects["/calls/bank/c1/"+e.Name()]) {
			t.Errorf("%s is not there as it is: %v", e.Name(), err)
		}
	}
	if s.puts-before != files-2 { // two had come before
		t.Errorf("%d files were sent again, of %d", s.puts-before, files)
	}
	if err := u.Once(t.Context(), dir); err != nil || s.puts-before != files-2 {
		t.Errorf("sent again: %v", err)
	}
	if f, err := Find(dir, "c1"); err != nil || f.Uploaded != "s3://calls/bank/c1" {
		t.Errorf("%v: %+v", err, f)
	}
	if r := mustVerify(t, filepath.Join(dir, "c1"), VerifyOptions{Key: testPub()}); r.Verdict != Genuine {
		t.Errorf("%+v", r)
	}
	for _, text := range []string{"", "calls", "s3://", "http://x"} {
		if _, _, err := ParseUpload(text); err == nil {
			t.Errorf("%q is a place", text)
		}
	}
}
