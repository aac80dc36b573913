package signaling_test

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"duet/signaling"
)

// errorCodes reads the codes from their declaration, so that none can be forgotten.
func errorCodes(t *testing.T) map[string]bool {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), "desk/errors.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]bool)
	ast.Inspect(f, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if kind, ok := v.Type.(*ast.Ident); ok && kind.Name == "Code" {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			list[text] = true
		}
		return true
	})
	if len(list) < 10 {
		t.Fatalf("only %d codes are found", len(list))
	}
	return list
}

// TestCodesAreListed: every code stands in the document and in the page, and no other.
func TestCodesAreListed(t *testing.T) {
	b, err := signaling.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct {
			Schemas struct {
				Problem struct {
					Properties struct{ Code struct{ Enum []string } }
				}
			}
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../docs/signaling.md")
	if err != nil {
		t.Fatal(err)
	}
	want := errorCodes(t)
	listed := doc.Components.Schemas.Problem.Properties.Code.Enum
	for _, c := range listed {
		if !want[c] {
			t.Errorf("the document lists %q, which is no code", c)
		}
	}
	if len(listed) != len(want) {
		t.Errorf("the document lists %d codes of %d", len(listed), len(want))
	}
	for c := range want {
		if !strings.Contains(string(page), "| `"+c+"` |") {
			t.Errorf("docs/signaling.md does not say what to do about %q", c)
		}
	}
}

// TestOpenAPIHolds: references lead somewhere, operations have names of their own, parameters of a path are described.
func TestOpenAPIHolds(t *testing.T) {
	b, err := signaling.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				walk(one)
			}
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && !leads(doc, ref) {
				t.Errorf("%s leads nowhere", ref)
			}
			for _, one := range v {
				walk(one)
			}
		}
	}
	walk(doc)
	names := make(map[string]bool)
	for path, methods := range doc["paths"].(map[string]any) {
		for method, op := range methods.(map[string]any) {
			op := op.(map[string]any)
			name, _ := op["operationId"].(string)
			if name == "" || names[name] {
				t.Errorf("%s %s has no name of its own: %q", method, path, name)
			}
			names[name] = true
			described := false
			parameters, _ := op["parameters"].([]any)
			for _, p := range parameters {
				described = described || p.(map[string]any)["in"] == "path"
			}
			if strings.Contains(path, "{") != described {
				t.Errorf("%s %s: parameters %v", method, path, parameters)
			}
		}
	}
}

func leads(doc any, ref string) bool {
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := doc.(map[string]any)
		if doc = m[part]; doc == nil {
			return false
		}
	}
	return true
}
