package duet

import (
	"strings"
	"testing"
)

// A rule that cannot fail checks nothing: each must find its fault in a small source, and nothing in the one beside it.
func TestRules(t *testing.T) {
	for _, c := range []struct {
		name, file, text string
		want             string // a part of the only finding; "" for none
	}{
		{"a package without a row", "newthing/a.go", "package newthing", "not in the import table"},
		{"a vague package", "util/a.go", "package util", "says nothing"},
		{"a vague file", "fec/helpers_test.go", "package fec", "says nothing"},
		{"a telling file", "fec/shard_types.go", "package fec", ""},
		{"600 lines", "fec/a.go", "package fec" + strings.Repeat("\n", 600), ""},
		{"601 lines", "fec/a.go", "package fec" + strings.Repeat("\n", 601), "601 lines"},
		{"a long test", "fec/a_test.go", "package fec" + strings.Repeat("\n", 601), ""},

		{"an import up the table", "fec/a.go", `package fec; import _ "duet/transport"`, "fec must not import transport"},
		{"an import down the table", "transport/a.go", `package transport; import _ "duet/fec"`, ""},
		{"an import up the table in a test", "fec/a_test.go", `package fec_test; import _ "duet/transport"`, ""},
		{"relay and signaling", "relay/a.go", `package relay; import _ "duet/signaling"`, "relay must not import signaling"},
		{"a socket in core", "fec/a.go", `package fec; import _ "net"`, `must not import "net"`},
		{"an address in core", "transport/a.go", `package transport; import _ "net/netip"`, ""},
		{"a lock in core", "bench/netem/a.go", `package netem; import _ "sync"`, `must not import "sync"`},
		{"an atomic in core", "crypto/a.go", `package crypto; import _ "sync/atomic"`, `must not import "sync/atomic"`},
		{"randomness in core", "crypto/a.go", `package crypto; import _ "crypto/rand"`, `must not import "crypto/rand"`},
		{"JSON in core", "transport/wire/a.go", `package wire; import _ "encoding/json"`, `must not import "encoding/json"`},
		{"a lock at the edge", "relay/a.go", `package relay; import _ "sync"`, ""},
		{"a module that core may use", "crypto/a.go", `package crypto; import _ "golang.org/x/crypto/chacha20poly1305"`, ""},
		{"a module that core may not use", "fec/a.go", `package fec; import _ "golang.org/x/crypto/chacha20poly1305"`, "core package fec must not import"},
		{"a dot import", "relay/a.go", `package relay; import . "strings"`, "dot import"},

		{"the clock in core", "fec/a.go", `package fec; import "time"; func f() time.Time { return time.Now() }`, "time.Now in a core package"},
		{"the clock renamed", "fec/a.go", `package fec; import clock "time"; func f() { <-clock.After(1) }`, "time.After in a core package"},
		{"the clock as a value", "fec/a.go", `package fec; import "time"; func f() any { return time.Now }`, "time.Now in a core package"},
		{"the clock below an unknown type", "fec/a.go", `package fec; import ("io"; "time"); func f() { switch x := io.X().(type) { case int: _ = x; _ = time.Now() } }`, "time.Now in a core package"},
		{"a method named Now", "fec/a.go", `package fec; import "time"; type c struct{}; func (c) Now() int { return 0 }; func f(time c) int { return time.Now() }; var _ time.Time`, ""},
		{"durations in core", "fec/a.go", `package fec; import "time"; func f(t time.Time) time.Duration { return t.Sub(time.Time{}) }`, ""},
		{"the clock at the edge", "relay/a.go", `package relay; import "time"; func f() time.Time { return time.Now() }`, ""},
		{"the clock in a test", "fec/a_test.go", `package fec; import "time"; func f() time.Time { return time.Now() }`, ""},
		{"chance without a seed", "fec/a.go", `package fec; import "math/rand/v2"; func f() int { return rand.IntN(3) }`, "rand.IntN in a core package"},
		{"chance with a seed", "fec/a.go", `package fec; import "math/rand/v2"; func f() int { return rand.New(rand.NewPCG(1, 2)).IntN(3) }`, ""},
		{"a goroutine in core", "fec/a.go", `package fec; func f() { go f() }`, "go statement"},
		{"a goroutine at the edge", "relay/a.go", `package relay; func f() { go f() }`, ""},

		{"init", "relay/a.go", `package relay; func init() {}`, "init function"},
		{"a method named init", "relay/a.go", `package relay; type t int; func (t) init() {}`, ""},
		{"an error", "fec/a.go", `package fec; import "errors"; var ErrX = errors.New("x")`, ""},
		{"a table", "fec/a.go", `package fec; var names = [...]string{"a"}; func f(i int) string { return names[i] }`, ""},
		{"a table that is changed", "fec/a.go", `package fec; var names = []string{"a"}; func f() { names[0] = "b" }`, "names is written to"},
		{"an error that is changed", "fec/a.go", `package fec; var errX error; func f(e error) { errX = e }`, "errX is written to"},
		{"a local of the same name", "fec/a.go", `package fec; var names = []string{"a"}; func f() { names := []string{""}; names[0] = "b" }`, ""},
		{"a counter", "fec/a.go", `package fec; var calls = 0; func f() { calls++ }`, "calls is written to"},
		{"a variable whose address is taken", "fec/a.go", `package fec; var seed = 0; func f() *int { return &seed }`, "seed is written to"},
		{"a variable of another package", "transport/a.go", `package transport; import "duet/fec"; func f() { fec.Limit = 3 }`, "fec.Limit is written to"},
		{"a variable without a value", "fec/a.go", `package fec; var cache map[int]int`, "cache of the package has no value"},
		{"a variable that is made", "fec/a.go", `package fec; var cache = make(map[int]int)`, "cache of the package is state"},
		{"an interface check", "fec/a.go", `package fec; var _ error = (*e)(nil); type e struct{}; func (*e) Error() string { return "" }`, ""},
		{"an embedded file", "cmd/duet/a.go", "package main\n\nimport _ \"embed\"\n\n//go:embed clip.flv\nvar clip []byte\n", ""},

		{"unsafe", "relay/a.go", `package relay; import _ "unsafe"`, `"unsafe" is for relay/udp/conn_linux.go`},
		{"unsafe at its place", "relay/udp/conn_linux.go", `package udp; import _ "unsafe"`, ""},
		{"x/sys in a test", "relay/udp/a_test.go", `package udp; import _ "golang.org/x/sys/unix"`, `is for relay/udp/conn_linux.go`},
		{"a system call", "client/a.go", `package client; import "syscall"; func f() { syscall.Sync() }`, "syscall.Sync"},
		{"a signal and an error number", "client/a.go", `package client; import "syscall"; var a, b = syscall.SIGTERM, syscall.ENOSPC`, ""},

		{"printing", "relay/a.go", `package relay; import "fmt"; func f() { fmt.Println() }`, "fmt.Println outside cmd"},
		{"printing in cmd", "cmd/duet/a.go", `package main; import "fmt"; func f() { fmt.Println() }`, ""},
		{"printing in an example", "client/a_test.go", `package client; import "fmt"; func f() { fmt.Println() }`, ""},
		{"println", "relay/a.go", `package relay; func f() { println() }`, "println is for debugging"},

		{"a test that sleeps", "relay/a_test.go", `package relay; import "time"; func f() { time.Sleep(1) }`, "time.Sleep in a test"},
		{"a bubble that sleeps", "relay/a_test.go", `package relay; import ("time"; "testing/synctest"); func f() { synctest.Test(nil, func(any) { time.Sleep(1) }) }`, ""},
		{"a sleep beside a bubble", "relay/a_test.go", `package relay; import ("time"; "testing/synctest"); func f() { synctest.Test(nil, nil); time.Sleep(1) }`, "time.Sleep in a test"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := c.file[:strings.LastIndex(c.file, "/")]
			clause, _, _ := strings.Cut(strings.SplitN(c.text, "\n", 2)[0], ";")
			doc := "// This is an example.\n" + strings.TrimSuffix(clause, "_test") + "\n"
			p, err := parse(dir, map[string]string{c.file: c.text, dir + "/doc.go": doc})
			if err != nil {
				t.Fatal(err)
			}
			var found findings
			for _, rule := range goRules {
				rule(p, &found)
			}
			found = dropExpected(found, dir)
			expect(t, found, c.want)
		})
	}
}

// dropExpected leaves out that a vague name for a package has no row either.
func dropExpected(found findings, dir string) findings {
	if dir != "util" {
		return found
	}
	var rest findings
	for _, f := range found {
		if !strings.Contains(f, "not in the import table") {
			rest = append(rest, f)
		}
	}
	return rest
}

func expect(t *testing.T, found findings, want string) {
	t.Helper()
	switch {
	case want == "" && len(found) > 0:
		t.Errorf("found %q, want nothing", found)
	case want != "" && (len(found) != 1 || !strings.Contains(found[0], want)):
		t.Errorf("found %q, want one finding with %q", found, want)
	}
}

func TestDocRule(t *testing.T) {
	for _, c := range []struct{ name, file, text, want string }{
		{"in doc.go", "fec/doc.go", "// Package fec is an example.\npackage fec", ""},
		{"in another file", "fec/fec.go", "// Package fec is an example.\npackage fec", "no package comment in doc.go"},
		{"missing", "fec/doc.go", "package fec", "no package comment in doc.go"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parse("fec", map[string]string{c.file: c.text})
			if err != nil {
				t.Fatal(err)
			}
			var found findings
			checkDoc(p, &found)
			expect(t, found, c.want)
		})
	}
}

func TestFileRules(t *testing.T) {
	const slash = "/"
	for _, c := range []struct{ name, text, want string }{
		{"a relative path", "see docs/work/x and ./tmp/x", ""},
		{"a home", "cd " + slash + "root/duet", "a path of one machine"},
		{"a home on a Mac", `"` + slash + `Users/me"`, "a path of one machine"},
		{"a temporary file", "line\n> " + slash + "tmp/out.flv", "f:2: "},
		{"a URL", "https://example.com" + slash + "home/page", ""},
		{"a variable", "$DIR" + slash + "tmp/x ${DIR}" + slash + "tmp/x $(dir)" + slash + "tmp/x", ""},
		{"not text", "\x00 " + slash + "root/duet", ""},
		{"a large file", strings.Repeat("x", maxFileSize+1), "bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var found findings
			checkFile("f", []byte(c.text), &found)
			expect(t, found, c.want)
		})
	}
}
