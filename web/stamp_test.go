package web

import (
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var stampFlag = flag.Bool("stamp", false, "note the present sources as those of duet.wasm.br: build.sh does it after building")

const stampFile = "wasm/sources.sum"

// wasmSources lists the folders that the wasm is made of, from the module's root.
func wasmSources() []string {
	return []string{"crypto", "fec", "rtmpchunk", "transport", "transport/wire", "web/endpoint", "web/wasm"}
}

// wasmModules lists what it takes of others: their lines in go.sum belong to the sources.
func wasmModules() []string {
	return []string{
		"github.com/flynn/noise ", "github.com/klauspost/cpuid/v2 ", "github.com/klauspost/reedsolomon ", "github.com/pion/randutil ",
		"github.com/pion/rtp ", "golang.org/x/crypto ", "golang.org/x/sys ",
	}
}

// sourcesSum is the hash of everything that decides about the wasm, but for the Go version.
func sourcesSum(t *testing.T) string {
	t.Helper()
	sum := sha256.New()
	add := func(name string, b []byte) {
		_, _ = sum.Write([]byte(name + "\x00"))
		_, _ = sum.Write(b)
	}
	for _, dir := range wasmSources() {
		names, err := filepath.Glob(filepath.Join("..", filepath.FromSlash(dir), "*.go"))
		if err != nil || len(names) == 0 {
			t.Fatalf("no sources in %s (%v)", dir, err)
		}
		slices.Sort(names)
		for _, name := range names {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			add(dir+"/"+filepath.Base(name), b)
		}
	}
	b, err := os.ReadFile(filepath.Join("..", "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if slices.ContainsFunc(wasmModules(), func(m string) bool { return strings.HasPrefix(line, m) }) {
			add("go.sum", []byte(line))
		}
	}
	script, err := os.ReadFile("build.sh")
	if err != nil {
		t.Fatal(err)
	}
	add("build.sh", script)
	return hex.EncodeToString(sum.Sum(nil))
}

// TestStamp: the committed wasm was built from these sources.
func TestStamp(t *testing.T) {
	want := sourcesSum(t)
	wasm, err := os.ReadFile(filepath.Join("static", "sdk", "duet.wasm.br"))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(wasm)
	text := "sources " + want + "\nwasm    " + hex.EncodeToString(sum[:]) + "\n"
	if *stampFlag {
		if err := os.WriteFile(stampFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(stampFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("duet.wasm.br is not of these sources: run web/build.sh and commit what it makes\nnoted:\n%snow:\n%s", got, text)
	}
}
