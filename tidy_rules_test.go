package duet

import (
	"bytes"
	"go/ast"
	"go/token"
	"go/types"
	"iter"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	maxLines    = 600     // of a Go file outside tests. Aim at 100 to 400: past that a file holds more than one thing
	maxFileSize = 1500000 // bytes. A clone stays small; what is larger can be made by a script
)

// systemFile alone makes system calls.
const systemFile = "relay/udp/conn_linux.go"

var goRules = []func(*pkg, *findings){
	checkRow, checkDoc, checkNames, checkLines, checkImports, checkSystem, checkCoreCalls, checkGlobals, checkPrint, checkSleep,
}

// vagueNames say nothing of what is in a package or file, so everything ends up there.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "types", "manager", "managers", "misc"}

// coreImports is what core packages may import from the standard library: nothing that does I/O, locks, logs, or draws randomness,
// and nothing that makes a large wasm.
var coreImports = []string{
	"bufio", "bytes", "cmp", "container/heap", "crypto/aes", "crypto/cipher", "crypto/ecdh", "crypto/ed25519", "crypto/hkdf", "crypto/hmac",
	"crypto/mlkem", "crypto/sha256", "crypto/sha512", "crypto/subtle", "encoding/base64", "encoding/binary", "encoding/hex", "errors", "fmt",
	"hash", "hash/crc32", "hash/fnv", "io", "iter", "maps", "math", "math/bits", "math/rand/v2", "net/netip", "slices", "sort", "strconv", "strings",
	"time", "unicode", "unicode/utf8",
}

// coreCalls restricts what core packages may use of what they may import.
var coreCalls = map[string]struct {
	only, not []string // one of the two
	instead   string
}{
	"time": {
		not:     []string{"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker"},
		instead: "take now time.Time as the first argument, and return the time at which to be called again",
	},
	"math/rand/v2": {
		only:    []string{"New", "NewPCG", "NewChaCha8", "Rand", "PCG", "ChaCha8", "Source"},
		instead: "draw from rand.New(rand.NewPCG(seed, …)) with a seed that the caller gives",
	},
	"fmt": {
		not:     []string{"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
		instead: "return it: core packages read and write nothing",
	},
}

// checkRow: every package stands in the table.
func checkRow(p *pkg, found *findings) {
	if _, ok := p.row(); !ok {
		found.add(p.dir, "this package is not in the import table: add a line to table in tidy_test.go, at its place, with what it may import")
	}
}

// checkDoc: every package tells its idea in doc.go.
func checkDoc(p *pkg, found *findings) {
	for _, s := range p.sources {
		if path.Base(s.name) == "doc.go" && s.file.Doc.Text() != "" {
			return
		}
	}
	found.add(p.dir, "no package comment in doc.go: write one that tells what the package is for")
}

// checkNames: names say what is inside.
func checkNames(p *pkg, found *findings) {
	if slices.Contains(vagueNames, path.Base(p.dir)) {
		found.add(p.dir, "%q says nothing of what the package holds: name it after that", path.Base(p.dir))
	}
	for _, s := range p.sources {
		stem, _, _ := strings.Cut(strings.TrimSuffix(path.Base(s.name), ".go"), "_")
		if slices.Contains(vagueNames, stem) {
			found.add(s.name, "%q says nothing of what the file holds: name it after that", stem)
		}
	}
}

// checkLines: a file holds one thing.
func checkLines(p *pkg, found *findings) {
	for _, s := range p.sources {
		if !s.test && s.lines > maxLines {
			found.add(s.name, "%d lines, %d at most: split it by what it does (the aim is 100 to 400)", s.lines, maxLines)
		}
	}
}

// checkImports: imports follow the table, and core packages import nothing that does I/O.
func checkImports(p *pkg, found *findings) {
	r, _ := p.row()
	for _, s := range p.sources {
		if s.test {
			continue
		}
		for _, spec := range s.file.Imports {
			to := importPath(spec)
			inner, ours := strings.CutPrefix(to, module+"/")
			first, _, _ := strings.Cut(to, "/")
			switch {
			case ours && !slices.Contains(r.imports, inner):
				found.add(p.at(spec), "%s must not import %s: pass in what is needed, or allow it in tidy_test.go", p.dir, inner)
			case ours || !r.core:
			case strings.Contains(first, "."):
				if !slices.ContainsFunc(r.modules, func(m string) bool { return to == m || strings.HasPrefix(to, m+"/") }) {
					found.add(p.at(spec), "core package %s must not import %s: pass in what is needed, or allow it in tidy_test.go", p.dir, to)
				}
			case !slices.Contains(coreImports, to) && !slices.Contains(r.std, to):
				found.add(p.at(spec), "core package %s must not import %q: I/O, clocks, locks, logs and goroutines belong to the packages that drive it", p.dir, to)
			}
			if spec.Name != nil && spec.Name.Name == "." {
				found.add(p.at(spec), "dot import of %q: name the package where it is used", to)
			}
		}
	}
}

// checkSystem: system calls and unsafe stand in one file. Signals and error numbers are values, not calls.
func checkSystem(p *pkg, found *findings) {
	for _, s := range p.sources {
		if s.name == systemFile {
			continue
		}
		for _, spec := range s.file.Imports {
			if to := importPath(spec); to == "unsafe" || strings.HasPrefix(to, "golang.org/x/sys") {
				found.add(p.at(spec), "%q is for %s alone: put the system call there", to, systemFile)
			}
		}
		for sel, from := range p.selectors(s) {
			value := sel.Sel.Name == "Signal" || sel.Sel.Name == "Errno" || signalOrErrno.MatchString(sel.Sel.Name)
			if from == "syscall" && !value {
				found.add(p.at(sel), "syscall.%s: system calls are for %s alone", sel.Sel.Name, systemFile)
			}
		}
	}
}

var signalOrErrno = regexp.MustCompile(`^(SIG|E)[A-Z0-9]+$`)

// checkCoreCalls: core packages start nothing and ask nobody for time or chance.
func checkCoreCalls(p *pkg, found *findings) {
	if r, _ := p.row(); !r.core {
		return
	}
	for _, s := range p.sources {
		if s.test {
			continue
		}
		for sel, from := range p.selectors(s) {
			rule, ok := coreCalls[from]
			if ok && (slices.Contains(rule.not, sel.Sel.Name) || rule.only != nil && !slices.Contains(rule.only, sel.Sel.Name)) {
				found.add(p.at(sel), "%s.%s in a core package: %s", importName(from), sel.Sel.Name, rule.instead)
			}
		}
		for n := range ast.Preorder(s.file) {
			if g, ok := n.(*ast.GoStmt); ok {
				found.add(p.at(g), "go statement in a core package: goroutines belong to the packages that drive it")
			}
		}
	}
}

// checkGlobals: no init, and package-level variables that are as good as constants: errors and tables that nothing writes to.
func checkGlobals(p *pkg, found *findings) {
	for _, s := range p.sources {
		if s.test {
			continue
		}
		for spec := range packageVars(s.file) {
			for i, id := range spec.Names {
				name := strings.ToLower(id.Name)
				switch {
				case id.Name == "_" || strings.HasPrefix(name, "err") || embedded(s.file, spec):
				case len(spec.Values) == 0:
					found.add(p.at(id), "variable %s of the package has no value yet, so it is state: put it into a struct that has an owner", id.Name)
				case i < len(spec.Values) && makesState(spec.Values[i]):
					found.add(p.at(id), "variable %s of the package is state: put it into a struct that has an owner", id.Name)
				}
			}
		}
		for n := range ast.Preorder(s.file) {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					found.add(p.at(n), "init function: do it where it is needed, or make the value a literal")
				}
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, to := range n.Lhs {
						p.checkWrite(s, to, found)
					}
				}
			case *ast.IncDecStmt:
				p.checkWrite(s, n.X, found)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					p.checkWrite(s, n.X, found)
				}
			}
		}
	}
}

// checkWrite reports x if it is, or is a part of, a package-level variable of this module.
func (p *pkg) checkWrite(s source, x ast.Expr, found *findings) {
	for {
		switch e := x.(type) {
		case *ast.IndexExpr:
			x = e.X
			continue
		case *ast.ParenExpr:
			x = e.X
			continue
		case *ast.SelectorExpr:
			from := p.imported(s, e)
			if from == "" {
				x = e.X
				continue
			}
			if strings.HasPrefix(from, module+"/") {
				found.add(p.at(e), "%s.%s is written to or its address taken: package-level variables stay as they are", importName(from), e.Sel.Name)
			}
		case *ast.Ident:
			obj := p.uses[e]
			global := obj == nil || obj.Parent() != nil && obj.Parent() == obj.Pkg().Scope()
			if p.vars[e.Name] && e.Name != "_" && global {
				found.add(p.at(e), "%s is written to or its address taken: package-level variables stay as they are", e.Name)
			}
		}
		return
	}
}

// checkPrint: only the command talks on stdout.
func checkPrint(p *pkg, found *findings) {
	if strings.HasPrefix(p.dir, "cmd/") {
		return
	}
	for _, s := range p.sources {
		if s.test {
			continue
		}
		for sel, from := range p.selectors(s) {
			if from == "fmt" && strings.HasPrefix(sel.Sel.Name, "Print") {
				found.add(p.at(sel), "fmt.%s outside cmd: return it, or give it to the configured logger", sel.Sel.Name)
			}
		}
		for n := range ast.Preorder(s.file) {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && (id.Name == "print" || id.Name == "println") && p.builtin(id) {
					found.add(p.at(call), "%s is for debugging: remove it", id.Name)
				}
			}
		}
	}
}

// checkSleep: a test waits for what it waits for, not for time to pass. In a testing/synctest bubble time costs nothing.
func checkSleep(p *pkg, found *findings) {
	for _, s := range p.sources {
		if !s.test {
			continue
		}
		var bubbles []ast.Node
		for sel, from := range p.selectors(s) {
			if from == "testing/synctest" && sel.Sel.Name == "Test" {
				bubbles = append(bubbles, enclosingCall(s.file, sel))
			}
		}
		for sel, from := range p.selectors(s) {
			inside := slices.ContainsFunc(bubbles, func(b ast.Node) bool { return b.Pos() <= sel.Pos() && sel.End() <= b.End() })
			if from == "time" && sel.Sel.Name == "Sleep" && !inside {
				found.add(p.at(sel), "time.Sleep in a test: wait for the event itself with a deadline, use virtual time, or testing/synctest")
			}
		}
	}
}

// machinePath finds paths that exist on one machine only. It is put together so that it does not find itself.
var machinePath = regexp.MustCompile(`(^|[^\w.~})/-])(/` + `(work|root|tmp|home|Users)/[\w.]|[A-Z]:\\` + `Users\\)`)

// checkFile: rules for files of every kind.
func checkFile(name string, b []byte, found *findings) {
	if len(b) > maxFileSize {
		found.add(name, "%d bytes, %d at most: make it by a script, or make it smaller", len(b), maxFileSize)
	}
	if bytes.IndexByte(b, 0) >= 0 {
		return // not text
	}
	for i, line := range strings.Split(string(b), "\n") {
		if m := machinePath.FindStringSubmatch(line); m != nil {
			found.add(name+":"+strconv.Itoa(i+1), "%q is a path of one machine: use a relative path or a temporary folder", m[2])
		}
	}
}

// importPath is the path that an import names.
func importPath(spec *ast.ImportSpec) string {
	p, err := strconv.Unquote(spec.Path.Value)
	if err != nil {
		panic(err) // the parser has read it
	}
	return p
}

// selectors yields what a file uses of its imports, with the path of the package.
func (p *pkg) selectors(s source) iter.Seq2[*ast.SelectorExpr, string] {
	return func(yield func(*ast.SelectorExpr, string) bool) {
		for n := range ast.Preorder(s.file) {
			if sel, ok := n.(*ast.SelectorExpr); ok {
				if from := p.imported(s, sel); from != "" && !yield(sel, from) {
					return
				}
			}
		}
	}
}

// imported is the path of the package of which sel is a part, or "".
func (p *pkg) imported(s source, sel *ast.SelectorExpr) string {
	id, ok := sel.X.(*ast.Ident)
	if !ok {
		return ""
	}
	if obj := p.uses[id]; obj != nil {
		if name, ok := obj.(*types.PkgName); ok {
			return name.Imported().Path()
		}
		return "" // a variable of the same name
	}
	for _, spec := range s.file.Imports { // where type checking gave up, and in tests
		name := importName(importPath(spec))
		if spec.Name != nil {
			name = spec.Name.Name
		}
		if name == id.Name {
			return importPath(spec)
		}
	}
	return ""
}

func (p *pkg) builtin(id *ast.Ident) bool {
	obj := p.uses[id]
	if obj == nil {
		return true
	}
	_, ok := obj.(*types.Builtin)
	return ok
}

// packageVars yields the variable declarations at the top of a file.
func packageVars(f *ast.File) iter.Seq[*ast.ValueSpec] {
	return func(yield func(*ast.ValueSpec) bool) {
		for _, d := range f.Decls {
			gen, ok := d.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				if !yield(spec.(*ast.ValueSpec)) {
					return
				}
			}
		}
	}
}

// embedded reports whether the compiler fills the variable from a file.
func embedded(f *ast.File, spec *ast.ValueSpec) bool {
	for _, group := range f.Comments {
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:embed ") && c.End() < spec.Pos() && spec.Pos()-c.End() < token.Pos(len("\nvar ")+1) {
				return true
			}
		}
	}
	return false
}

// makesState reports whether an initial value is something that only makes sense if it changes.
func makesState(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.UnaryExpr:
		_, literal := x.X.(*ast.CompositeLit)
		return x.Op == token.AND && literal
	case *ast.CallExpr:
		id, ok := x.Fun.(*ast.Ident)
		return ok && (id.Name == "make" || id.Name == "new")
	}
	return false
}

// enclosingCall is the call of which fun is the function.
func enclosingCall(f *ast.File, fun ast.Expr) ast.Node {
	for n := range ast.Preorder(f) {
		if call, ok := n.(*ast.CallExpr); ok && call.Fun == fun {
			return call
		}
	}
	return fun
}
