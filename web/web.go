package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"slices"
	"strconv"
	"strings"
)

//go:embed static
var files embed.FS

// versioned is the prefix of paths that name the version of what they ask for: /v/VERSION/sdk/pusher.js is the same as /sdk/pusher.js, but
// may be kept for ever, and so may what it imports by relative paths.
const versioned = "/v/"

// Limits of what is compressed: below it costs more than it saves.
const gzipLeast = 512

// Config says how the pages are served. The zero value is right for a server of its own origin.
type Config struct {
	// Connect lists what pages may connect to beside their own origin, as the connect-src of a content security policy has it, for
	// instance "https://calls.example.org:8443". WebTransport is on a port of its own, so any port of the page's own host is always allowed.
	Connect []string
	// Embedders lists the origins whose pages may use the SDK from here and put the pages into a frame; default: none but this one.
	Embedders []string
}

// asset is one file, ready to be sent.
type asset struct {
	kind   string // Content-Type
	body   []byte // as it is embedded
	coding string // Content-Encoding of body: "br" for what exists so only
	gzip   []byte // nil: not worth it
	etag   string
}

// handler serves the embedded files.
type handler struct {
	cfg     Config
	assets  map[string]*asset // by path, with the leading slash
	version string
}

// Handler serves the SDK and the pages: a file at its path, a folder by its index.html with or without a slash at the end. What it does
// not have is 404. It is to be mounted at the root of the origin.
func Handler(cfg Config) http.Handler {
	h := &handler{cfg: cfg, assets: make(map[string]*asset)}
	sum := sha256.New()
	err := fs.WalkDir(files, "static", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := files.ReadFile(name)
		if err != nil {
			return err
		}
		_, _ = sum.Write([]byte(name))
		_, _ = sum.Write(b)
		p := strings.TrimPrefix(name, "static")
		a := newAsset(p, b)
		h.assets[strings.TrimSuffix(p, ".br")] = a
		if path.Base(p) == "index.html" {
			h.assets[path.Dir(p)] = a
		}
		return nil
	})
	if err != nil {
		panic("web: the embedded files can't be read: " + err.Error())
	}
	h.version = hex.EncodeToString(sum.Sum(nil)[:8])
	return h
}

// newAsset prepares a file.
func newAsset(name string, b []byte) *asset {
	sum := sha256.Sum256(b)
	a := &asset{body: b, etag: hex.EncodeToString(sum[:12])}
	if strings.HasSuffix(name, ".br") {
		a.coding, name = "br", strings.TrimSuffix(name, ".br")
	}
	switch path.Ext(name) {
	case ".js":
		a.kind = "text/javascript; charset=utf-8"
	case ".wasm":
		a.kind = "application/wasm"
	default:
		if a.kind = mime.TypeByExtension(path.Ext(name)); a.kind == "" {
			a.kind = "application/octet-stream"
		}
	}
	if a.coding == "" && len(b) >= gzipLeast && compressible(a.kind) {
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		if err != nil {
			panic(err) // the level is a constant
		}
		_, _ = w.Write(b) // into memory: never fails
		_ = w.Close()
		a.gzip = z.Bytes()
	}
	return a
}

func compressible(kind string) bool {
	return strings.HasPrefix(kind, "text/") || strings.Contains(kind, "json") || strings.Contains(kind, "svg")
}

// ServeHTTP implements http.Handler.
func (h *handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "pages are read with GET", http.StatusMethodNotAllowed)
		return
	}
	name, forever := path.Clean(r.URL.Path), false
	if rest, ok := strings.CutPrefix(name, versioned); ok {
		version, inner, _ := strings.Cut(rest, "/")
		name, forever = "/"+inner, version == h.version
	}
	a := h.assets[name]
	if a == nil {
		http.NotFound(w, r)
		return
	}
	h.protect(w, r)
	head := w.Header()
	head.Set("Content-Type", a.kind)
	head.Add("Vary", "Accept-Encoding")
	head.Set("Cache-Control", "no-cache") // kept, and asked for again by its hash
	if forever {
		head.Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	body, coding := a.body, a.coding
	if a.gzip != nil && accepts(r, "gzip") {
		body, coding = a.gzip, "gzip"
	}
	if coding == "br" && !accepts(r, "br") {
		http.Error(w, "this file is there as brotli only, which every browser takes in a secure context", http.StatusNotAcceptable)
		return
	}
	if coding != "" {
		head.Set("Content-Encoding", coding)
	}
	etag := `"` + a.etag + coding + `"`
	head.Set("ETag", etag)
	if slices.Contains(strings.Split(strings.ReplaceAll(r.Header.Get("If-None-Match"), " ", ""), ","), etag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	head.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a reader that went away
	}
}

// accepts reports whether the client takes a content coding.
func accepts(r *http.Request, coding string) bool {
	for _, part := range strings.Split(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(name) == coding && strings.TrimSpace(q) != "q=0" {
			return true
		}
	}
	return false
}

// Version names the present state of all files, for versioned paths.
func Version(h http.Handler) string {
	if own, ok := h.(*handler); ok {
		return own.version
	}
	return ""
}
