package duet

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// module is the import path of this folder.
const module = "duet"

// A row of the import table.
type row struct {
	dir     string
	core    bool     // decides and does no I/O: see coreImports and coreCalls
	imports []string // packages of this module that it may import, each from a row further down
	modules []string // core only: modules of others that it may import
	std     []string // core only: of the standard library, beside coreImports
}

// table holds every package. A new package is a new line, and a new edge is a decision: core packages know nothing of edge
// packages, and signaling and relay meet in cmd/duet alone. A row may stand here before its package does. Test files may
// import what they like.
var table = []row{
	{dir: "."},
	{dir: "cmd/duet", imports: []string{
		"bench", "bench/load", "web", "gateway", "gateway/carrier", "gateway/localca", "signaling", "signaling/client", "signaling/hook", "signaling/auth", "signaling/office", "signaling/store", "signaling/desk", "record", "client", "relay", "relay/udp", "transport", "transport/wire", "bench/netem", "rtmpchunk", "crypto"}},
	{dir: "bench", imports: []string{"client", "relay", "relay/udp", "transport", "transport/transporttest", "transport/wire", "bench/netem", "bench/tcp", "rtmpchunk", "fec", "crypto"}},
	{dir: "bench/load", imports: []string{"relay", "relay/udp", "transport", "transport/wire", "rtmpchunk", "crypto"}},
	{dir: "bench/laws", imports: []string{"signaling/desk"}},
	{dir: "web"},
	{dir: "web/wasm", imports: []string{"web/endpoint", "crypto"}},
	{dir: "gateway/carrier"},
	{dir: "gateway/localca"},
	{dir: "gateway", imports: []string{"rtmpchunk", "crypto"}},
	{dir: "signaling", imports: []string{"signaling/auth", "signaling/office", "signaling/store", "signaling/desk", "crypto"}},
	{dir: "signaling/hook", imports: []string{"signaling/office", "signaling/store", "signaling/desk"}},
	{dir: "signaling/client"},
	{dir: "signaling/auth", imports: []string{"signaling/desk"}},
	{dir: "signaling/office", imports: []string{"signaling/store", "signaling/desk"}},
	{dir: "signaling/store"},
	{dir: "signaling/store/storetest"},
	{dir: "record", imports: []string{"rtmpchunk", "crypto"}},
	{dir: "client", imports: []string{"relay/udp", "transport", "transport/wire", "rtmpchunk", "crypto"}},
	{dir: "relay", imports: []string{"relay/udp", "transport", "transport/wire", "rtmpchunk", "crypto"}},
	{dir: "relay/udp"},
	{dir: "signaling/desk", core: true, std: []string{"encoding/json"}}, // its events are JSON; it is no part of the wasm
	{dir: "transport/transporttest", core: true, imports: []string{"transport", "transport/wire", "bench/netem", "rtmpchunk", "crypto"}},
	{dir: "web/endpoint", core: true, imports: []string{"transport", "transport/wire", "rtmpchunk", "crypto"}},
	{dir: "transport", core: true, imports: []string{"transport/wire", "rtmpchunk", "fec", "crypto"}},
	{dir: "transport/wire", core: true},
	{dir: "bench/netem", core: true},
	{dir: "bench/tcp", core: true},
	{dir: "rtmpchunk", core: true, modules: []string{"github.com/pion/rtp"}},
	{dir: "fec", core: true, modules: []string{"github.com/klauspost/reedsolomon"}},
	{dir: "crypto", core: true, modules: []string{"github.com/flynn/noise", "golang.org/x/crypto"}},
}

// TestTidy holds the tree to the rules of docs/conventions.md that a program can check.
func TestTidy(t *testing.T) {
	packages, err := load(".")
	if err != nil {
		t.Fatal(err)
	}
	var found findings
	for _, p := range packages {
		for _, rule := range goRules {
			rule(p, &found)
		}
	}
	files, err := tracked()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(filepath.FromSlash(name))
		if os.IsNotExist(err) {
			continue // deleted, but not in the index yet
		} else if err != nil {
			t.Fatal(err)
		}
		checkFile(name, b, &found)
	}
	for _, f := range found {
		t.Error(f)
	}
	if len(found) > 0 {
		t.Log("the rules and their reasons: docs/conventions.md")
	}
}

// TestTable holds the table itself: imports point down, and nothing is named that has no row.
func TestTable(t *testing.T) {
	at := make(map[string]int)
	for i, r := range table {
		if _, twice := at[r.dir]; twice {
			t.Errorf("%s has two rows", r.dir)
		}
		at[r.dir] = i
	}
	for i, r := range table {
		for _, to := range r.imports {
			j, ok := at[to]
			switch {
			case !ok:
				t.Errorf("%s may import %s, which has no row", r.dir, to)
			case j <= i:
				t.Errorf("%s may import %s, which stands above it", r.dir, to)
			case r.core && !table[j].core:
				t.Errorf("%s is core and may import %s, which is not", r.dir, to)
			}
		}
		if !r.core && r.modules != nil {
			t.Errorf("%s is not core: its modules are not restricted", r.dir)
		}
	}
}

// findings is what broke the rules, a line each: place, what is wrong, what to do.
type findings []string

func (f *findings) add(place any, format string, args ...any) {
	*f = append(*f, fmt.Sprintf("%v: %s", place, fmt.Sprintf(format, args...)))
}

// A pkg is one folder of Go files, parsed.
type pkg struct {
	dir     string // relative to the root, with slashes
	fset    *token.FileSet
	sources []source
	uses    map[*ast.Ident]types.Object
	vars    map[string]bool // package-level variables outside tests
}

type source struct {
	name  string // relative to the root, with slashes
	file  *ast.File
	lines int
	test  bool
}

func (p *pkg) row() (row, bool) {
	i := slices.IndexFunc(table, func(r row) bool { return r.dir == p.dir })
	if i < 0 {
		return row{}, false
	}
	return table[i], true
}

// at is where a finding is, as file:line.
func (p *pkg) at(n ast.Node) string {
	pos := p.fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", pos.Filename, pos.Line)
}

// load parses the Go files below root, folder by folder, without those of other modules.
func load(root string) ([]*pkg, error) {
	var all []*pkg
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if base := d.Name(); name != root && (base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_")) {
			return fs.SkipDir
		}
		if _, err := os.Stat(filepath.Join(name, "go.mod")); err == nil && name != root {
			return fs.SkipDir
		}
		names, err := filepath.Glob(filepath.Join(name, "*.go"))
		if err != nil || len(names) == 0 {
			return err
		}
		texts := make(map[string]string)
		for _, n := range names {
			b, err := os.ReadFile(n)
			if err != nil {
				return err
			}
			texts[filepath.ToSlash(n)] = string(b)
		}
		p, err := parse(filepath.ToSlash(name), texts)
		all = append(all, p)
		return err
	})
	return all, err
}

// parse makes the package in dir from the texts of its files.
func parse(dir string, texts map[string]string) (*pkg, error) {
	p := &pkg{dir: dir, fset: token.NewFileSet(), uses: make(map[*ast.Ident]types.Object), vars: make(map[string]bool)}
	var files []*ast.File
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		text := texts[name]
		f, err := parser.ParseFile(p.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		s := source{name: name, file: f, lines: strings.Count(text, "\n"), test: strings.HasSuffix(name, "_test.go")}
		p.sources = append(p.sources, s)
		if s.test {
			continue
		}
		files = append(files, f)
		for spec := range packageVars(f) {
			for _, id := range spec.Names {
				p.vars[id.Name] = true
			}
		}
	}
	// Type checking with empty imports fails all over, but it tells which names are shadowed. That is all it is for.
	conf := types.Config{Importer: emptyImporter{}, Error: func(error) {}}
	_, _ = conf.Check(dir, p.fset, files, &types.Info{Uses: p.uses})
	return p, nil
}

// emptyImporter gives every import a package with its name and nothing in it.
type emptyImporter struct{}

func (emptyImporter) Import(importPath string) (*types.Package, error) {
	p := types.NewPackage(importPath, importName(importPath))
	p.MarkComplete()
	return p, nil
}

// importName guesses a package's name from its path. It is right for the standard library and for this module.
func importName(importPath string) string {
	base := path.Base(importPath)
	if len(base) > 1 && base[0] == 'v' && strings.Trim(base[1:], "0123456789") == "" {
		base = path.Base(path.Dir(importPath))
	}
	return base
}

// tracked lists the files that are or would be committed. Without git, as in an unpacked archive, that is every file.
func tracked() ([]string, error) {
	out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err == nil {
		return strings.Split(strings.TrimSuffix(string(out), "\x00"), "\x00"), nil
	}
	var names []string
	err = filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == ".git":
			return fs.SkipDir
		case d.Type().IsRegular():
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	return names, err
}
