package signaling

import (
	"encoding/json"
	"reflect"
	"strings"
	"time"

	"duet/signaling/auth"
	"duet/signaling/desk"
)

// OpenAPI is the description of the HTTP interface (OpenAPI 3.1), made of the routes and of the types that they read and write, so that it can't say
// anything else than the server does.
func OpenAPI() ([]byte, error) {
	g := generator{schemas: make(map[string]any)}
	paths := make(map[string]map[string]any)
	for _, r := range routes() {
		method, path, _ := strings.Cut(r.pattern, " ")
		if paths[path] == nil {
			paths[path] = make(map[string]any)
		}
		paths[path][strings.ToLower(method)] = g.operation(&r, path)
	}
	g.schemas["Problem"] = g.schema(reflect.TypeFor[problem]())
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{
			"title": "duet", "version": "1",
			"description": "Calls, rooms, queues and messages for backends. Parties use the socket: docs/signaling.md. Errors are RFC 9457 problem details with a stable code. " +
				"A body has at most 64 KiB; fields that are not known are ignored. What needs no token is limited by address: 429 with Retry-After.",
			"license": map[string]any{"name": "see LICENSE"},
		},
		"paths": paths,
		"components": map[string]any{
			"schemas": g.schemas,
			"securitySchemes": map[string]any{
				"bearer": map[string]any{"type": "http", "scheme": "bearer", "description": "a user token, or an API key (duet_ID_SECRET)"},
			},
			"responses": map[string]any{"Problem": map[string]any{
				"description": "refused", "content": map[string]any{"application/problem+json": map[string]any{"schema": map[string]any{"$ref": "#/components/schemas/Problem"}}},
			}},
		},
	}
	return json.MarshalIndent(doc, "", "  ")
}

type generator struct{ schemas map[string]any }

func (g *generator) operation(r *route, path string) map[string]any {
	op := map[string]any{"summary": r.summary, "operationId": operationID(r.pattern)}
	switch {
	case r.open:
		op["security"] = []any{}
	default:
		op["security"] = []any{map[string]any{"bearer": []string{}}}
		who := "Roles: admin"
		for _, role := range r.roles {
			if role != desk.Admin {
				who += ", " + string(role)
			}
		}
		op["description"] = who + ". Scope of API keys: " + string(r.scope) + "."
	}
	var parameters []any
	if strings.Contains(path, "{id}") {
		parameters = append(parameters, map[string]any{"name": "id", "in": "path", "required": true, "schema": map[string]any{"type": "string"}})
	}
	for _, name := range []string{"state", "after", "limit"} {
		if strings.Contains(r.summary, name+"=") {
			parameters = append(parameters, queryParameter(name))
		}
	}
	if parameters != nil {
		op["parameters"] = parameters
	}
	if r.request != nil {
		op["requestBody"] = map[string]any{"content": jsonOf(g.ref(reflect.TypeOf(r.request)))}
	}
	ok := map[string]any{"204": map[string]any{"description": "done"}}
	if r.reply != nil {
		ok = map[string]any{"200": map[string]any{"description": "done", "content": jsonOf(g.ref(reflect.TypeOf(r.reply)))}}
	} else if strings.HasSuffix(path, ".json") {
		ok = map[string]any{"200": map[string]any{"description": "done"}}
	}
	ok["default"] = map[string]any{"$ref": "#/components/responses/Problem"}
	op["responses"] = ok
	return op
}

// queryParameter describes what page and getCalls read.
func queryParameter(name string) map[string]any {
	var schema map[string]any
	var text string
	switch name {
	case "state":
		schema, text = map[string]any{"type": "string", "enum": []string{"live", "ended"}, "default": "live"}, "which calls"
	case "after":
		schema, text = map[string]any{"type": "integer", "minimum": 0, "default": 0}, "how many to pass over; of the log: the entry after which to begin"
	default:
		schema, text = map[string]any{"type": "integer", "minimum": 1, "maximum": maxPage, "default": defaultPage}, "how many at most"
	}
	return map[string]any{"name": name, "in": "query", "description": text, "schema": schema}
}

func jsonOf(schema any) map[string]any {
	return map[string]any{"application/json": map[string]any{"schema": schema}}
}

// operationID makes getQueuesLine of "GET /v1/queues/{id}/line".
func operationID(pattern string) string {
	method, path, _ := strings.Cut(pattern, " ")
	id := strings.ToLower(method)
	for part := range strings.SplitSeq(strings.TrimPrefix(path, "/v1/"), "/") {
		part, _, _ = strings.Cut(part, ".")
		if part == "{id}" {
			part = "one"
		}
		id += strings.ToUpper(part[:1]) + part[1:]
	}
	return id
}

// ref describes a type once, by name.
func (g *generator) ref(t reflect.Type) any {
	name := strings.ToUpper(t.Name()[:1]) + t.Name()[1:]
	if _, ok := g.schemas[name]; !ok {
		g.schemas[name] = true // it may hold itself
		g.schemas[name] = g.schema(t)
	}
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

// schema describes a type as encoding/json writes it.
func (g *generator) schema(t reflect.Type) any {
	switch t {
	case reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case reflect.TypeFor[desk.Duration]():
		return map[string]any{"type": "string", "description": "a time such as 20s or 1m30s"}
	case reflect.TypeFor[json.RawMessage]():
		return map[string]any{}
	case reflect.TypeFor[desk.Code]():
		return map[string]any{"type": "string", "enum": codes()}
	case reflect.TypeFor[auth.Scope]():
		return map[string]any{"type": "string", "enum": auth.Scopes()}
	case reflect.TypeFor[desk.Role]():
		return map[string]any{"type": "string", "enum": desk.Roles()}
	}
	switch t.Kind() {
	case reflect.Pointer:
		return g.schema(t.Elem())
	case reflect.Struct:
		properties, required := make(map[string]any), []string{}
		g.fields(t, properties, &required)
		s := map[string]any{"type": "object", "properties": properties}
		if len(required) > 0 {
			s["required"] = required
		}
		return s
	case reflect.Slice:
		if elem := t.Elem(); elem.Kind() == reflect.Struct && elem.Name() != "" && elem != reflect.TypeFor[time.Time]() {
			return map[string]any{"type": "array", "items": g.ref(elem)}
		} else if elem.Kind() == reflect.Pointer {
			return map[string]any{"type": "array", "items": g.ref(elem.Elem())}
		}
		return map[string]any{"type": "array", "items": g.schema(t.Elem())}
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	default:
		return map[string]any{"type": "integer"}
	}
}

// fields adds a struct's fields, those of embedded ones among them.
func (g *generator) fields(t reflect.Type, properties map[string]any, required *[]string) {
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case f.Anonymous && tag == "":
			g.fields(f.Type, properties, required)
		case !f.IsExported() || name == "-" || name == "":
		default:
			properties[name] = g.schema(f.Type)
			if !strings.Contains(options, "omit") {
				*required = append(*required, name)
			}
		}
	}
}
