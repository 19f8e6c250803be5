package vaulthttp_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault/audit"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

// object is a mapping of the description.
type object = map[string]any

// description is docs/openapi.yaml.
type description struct {
	root object
	ops  []operation
}

var described = sync.OnceValue(func() description {
	data, err := os.ReadFile("../../docs/openapi.yaml")
	if err != nil {
		panic(err)
	}
	var root object
	if err := yaml.Unmarshal(data, &root); err != nil {
		panic(err)
	}
	d := description{root: root}
	d.ops = d.operations()
	return d
})

// at returns the value at path, following references.
func (d description) at(o any, path ...string) any {
	for _, name := range path {
		o = d.follow(o).(object)[name]
	}
	return d.follow(o)
}

func (d description) follow(o any) any {
	m, ok := o.(object)
	if !ok {
		return o
	}
	ref, ok := m["$ref"].(string)
	if !ok {
		return o
	}
	target, ok := strings.CutPrefix(ref, "#/")
	if !ok {
		panic("external reference: " + ref)
	}
	out := d.at(d.root, strings.Split(target, "/")...)
	if out == nil {
		panic("dangling reference: " + ref)
	}
	return out
}

// operation is a method of a path.
type operation struct {
	method, path string
	pattern      *regexp.Regexp // of its paths
	content      object
	parameters   []object
}

func (d description) operations() []operation {
	var out []operation
	for path, item := range d.root["paths"].(object) {
		pattern := regexp.MustCompile("^" + regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(path, `[^/]+`) + "$")
		for method, content := range item.(object) {
			if method == "parameters" {
				continue
			}
			op := operation{method: strings.ToUpper(method), path: path, pattern: pattern, content: content.(object)}
			for _, list := range []any{item.(object)["parameters"], op.content["parameters"]} {
				list, _ := list.([]any)
				for _, p := range list {
					op.parameters = append(op.parameters, d.follow(p).(object))
				}
			}
			out = append(out, op)
		}
	}
	return out
}

// find returns the operation for a request; known reports whether the path is
// described.
func (d description) find(method, path string) (op operation, found, known bool) {
	for _, o := range d.ops {
		if o.pattern.MatchString(path) {
			known = true
			if o.method == method {
				return o, true, true
			}
		}
	}
	return operation{}, false, known
}

// names returns the parameters of an operation by location, such as "query".
func (o operation) names(in string) []string {
	var out []string
	for _, p := range o.parameters {
		if p["in"] == in {
			out = append(out, p["name"].(string))
		}
	}
	slices.Sort(out)
	return out
}

// requireDescribed fails the test unless the description covers the response to a
// request: its status, content type and members.
func requireDescribed(t testing.TB, method, path string, a *reply) {
	t.Helper()
	if method == "HEAD" {
		method = "GET"
	}
	d := described()
	op, found, known := d.find(method, path)
	code := strconv.Itoa(a.status)
	where := fmt.Sprintf("%s %s, with status %s", method, path, code)
	if !found {
		want := []int{400, 403, 404}
		if known {
			want = []int{400, 403, 405}
		}
		require.Contains(t, want, a.status, "%s: this operation is not described", where)
		requireValid(t, d.at(d.root, "components", "schemas", "Problem"), a.body, where)
		return
	}
	response, ok := d.at(op.content, "responses", code).(object)
	require.True(t, ok, "%s: the description lacks this status", where)
	content, ok := response["content"].(object)
	if !ok {
		require.Empty(t, a.body, "%s: the description has no body", where)
		return
	}
	kind := a.header.Get("Content-Type")
	require.Contains(t, content, kind, "%s: the type of the body", where)
	requireValid(t, d.at(content, kind, "schema"), a.body, where)
	if headers, ok := response["headers"].(object); ok {
		for name := range headers {
			require.NotEmpty(t, a.header.Get(name), "%s: header %s", where, name)
		}
	}
}

func requireValid(t testing.TB, schema any, body []byte, where string) {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	require.NoError(t, dec.Decode(&v), "%s: the body is JSON", where)
	if problem := described().check(schema, v, "the body"); problem != "" {
		t.Fatalf("%s: %s", where, problem)
	}
}

// check returns the first mismatch between v and a schema, or "".
func (d description) check(schema, v any, where string) string {
	s := d.follow(schema).(object)
	if enum, ok := s["enum"].([]any); ok && !slices.ContainsFunc(enum, func(e any) bool { return fmt.Sprint(e) == fmt.Sprint(v) }) {
		return fmt.Sprintf("%s is %v, not one of %v", where, v, enum)
	}
	switch s["type"] {
	case "object":
		members, ok := v.(object)
		if !ok {
			return where + " is not an object"
		}
		properties, _ := s["properties"].(object)
		for name, member := range members {
			if properties[name] == nil {
				return fmt.Sprintf("%s has %q, which is not described", where, name)
			}
			if problem := d.check(properties[name], member, where+"."+name); problem != "" {
				return problem
			}
		}
		for _, name := range requiredOf(s) {
			if _, ok := members[name]; !ok {
				return fmt.Sprintf("%s has no %q", where, name)
			}
		}
	case "array":
		list, ok := v.([]any)
		if !ok {
			return where + " is not a list"
		}
		for i, element := range list {
			if problem := d.check(s["items"], element, fmt.Sprintf("%s[%d]", where, i)); problem != "" {
				return problem
			}
		}
	case "string":
		text, ok := v.(string)
		if !ok {
			return where + " is not a string"
		}
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(text) {
			return where + " does not match " + pattern
		}
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil {
				return where + " is not a time"
			}
		}
	case "integer":
		if n, ok := v.(json.Number); !ok || strings.ContainsAny(n.String(), ".eE") {
			return where + " is not an integer"
		}
	case "boolean":
		if _, ok := v.(bool); !ok {
			return where + " is not a boolean"
		}
	default:
		return fmt.Sprintf("%s has the unsupported type %v", where, s["type"])
	}
	return ""
}

func requiredOf(schema object) []string {
	var out []string
	list, _ := schema["required"].([]any)
	for _, name := range list {
		out = append(out, name.(string))
	}
	slices.Sort(out)
	return out
}

func TestOpenAPI(t *testing.T) {
	t.Run("matches the routes", func(t *testing.T) {
		routes := map[string]vaulthttp.AdminRoute{"GET " + wire.BootstrapPath: {}}
		for _, r := range vaulthttp.AdminRoutes() {
			routes[r.Method+" "+r.Path] = r
		}
		ids := map[any]bool{}
		for _, op := range described().ops {
			name := op.method + " " + op.path
			route, ok := routes[name]
			require.True(t, ok, "%s is described but not served", name)
			delete(routes, name)
			require.False(t, ids[op.content["operationId"]], "the operationId of %s is unique", name)
			ids[op.content["operationId"]] = true

			require.ElementsMatch(t, route.Query, op.names("query"), "%s: parameters of the query", name)
			var params []string
			for _, m := range regexp.MustCompile(`\{([a-z]+)\}`).FindAllStringSubmatch(op.path, -1) {
				params = append(params, m[1])
			}
			require.ElementsMatch(t, params, op.names("path"), "%s: parameters of the path", name)
			for _, p := range op.parameters {
				needed := p["in"] == "path" || p["name"] == route.Required || p["name"] == vaulthttp.AdminHeader
				require.Equal(t, needed, p["required"] == true, "%s: whether %s is required", name, p["name"])
			}
			require.Equal(t, op.method != "GET", slices.Contains(op.names("header"), vaulthttp.AdminHeader), "%s: only changes need the header", name)
			require.Equal(t, op.method == "PUT" || op.method == "POST", op.content["requestBody"] != nil, "%s: whether it has a body", name)
		}
		require.Empty(t, slices.Collect(maps.Keys(routes)), "these are served but not described")
	})

	t.Run("has the members of each type", func(t *testing.T) {
		schemas := described().root["components"].(object)["schemas"].(object)
		for name, schema := range schemas {
			s := schema.(object)
			if s["type"] != "object" {
				continue
			}
			if strings.HasPrefix(name, "Bundle") {
				continue // see the subtest "describes the bundle"
			}
			typ, ok := vaulthttp.WireTypes[name]
			require.True(t, ok, "schema %s has no type", name)
			properties, required := membersOf(typ)
			got, _ := s["properties"].(object)
			require.ElementsMatch(t, slices.Collect(maps.Keys(properties)), slices.Collect(maps.Keys(got)), "the members of %s", name)
			require.ElementsMatch(t, required, requiredOf(s), "the required members of %s", name)
			for member, field := range properties {
				requireType(t, name+"."+member, field, got[member])
			}
		}
		for name := range vaulthttp.WireTypes {
			require.Contains(t, schemas, name, "a type has no schema")
		}
	})

	t.Run("describes the bundle", func(t *testing.T) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
		full, err := bundle.New([]bundle.Secret{{
			Name: "A", Value: bundle.NewValue("v"), Kind: "custom", Scope: "acme", Version: 1, Origin: bundle.Origin{Provider: "vault"},
			Created: at, Rotated: at, Expires: at, Delivery: bundle.DeliverFile,
		}}, &bundle.Meta{
			Revision: "r", RefreshAfter: time.Minute, Scope: "acme", TokenID: "id", IssuedAt: at, TokenExpires: at, RotateBy: at,
			Problems: []bundle.Problem{{Name: "B", Origin: bundle.Origin{Provider: "github"}, Reason: "gone", Retryable: true}}, Notices: []string{"n"},
		})
		require.NoError(t, err)
		d := described()
		for _, b := range []*bundle.Bundle{full, nil} {
			data, err := wire.Encode(b)
			require.NoError(t, err)
			requireValid(t, d.at(d.root, "components", "schemas", "Bundle"), data, "a bundle")
		}
		data, err := wire.Encode(full)
		require.NoError(t, err)
		var got object
		require.NoError(t, json.Unmarshal(data, &got))
		for schema, members := range map[string]any{
			"Bundle": got, "BundleToken": got["token"], "BundleSecret": got["secrets"].([]any)[0], "BundleProblem": got["problems"].([]any)[0],
		} {
			require.ElementsMatch(t, slices.Collect(maps.Keys(members.(object))),
				slices.Collect(maps.Keys(d.at(d.root, "components", "schemas", schema, "properties").(object))), "the members of %s", schema)
		}
	})

	t.Run("has no dangling reference and no unused component", func(t *testing.T) {
		used := map[string]bool{}
		var walk func(any)
		walk = func(o any) {
			switch o := o.(type) {
			case object:
				if ref, ok := o["$ref"].(string); ok {
					used[ref] = true
					require.NotNil(t, described().follow(o), ref)
				}
				for _, member := range o {
					walk(member)
				}
			case []any:
				for _, element := range o {
					walk(element)
				}
			}
		}
		walk(described().root)
		for kind, components := range described().root["components"].(object) {
			if kind == "securitySchemes" {
				continue
			}
			for name := range components.(object) {
				require.True(t, used["#/components/"+kind+"/"+name], "%s %s is described but not used", kind, name)
			}
		}
	})

	t.Run("lists the audit actions", func(t *testing.T) {
		d := described()
		var want []any
		for _, action := range []audit.Action{
			audit.Put, audit.Hide, audit.Activate, audit.Delete, audit.Issue, audit.Revoke, audit.Prune,
			audit.MoveKeys, audit.Deliver, audit.Refuse, audit.Trim,
			audit.AddAdmin, audit.RotateAdmin, audit.RemoveAdmin,
		} {
			want = append(want, string(action))
		}
		require.ElementsMatch(t, want, d.at(d.root, "components", "schemas", "AuditEntry", "properties", "action", "enum"))
	})
}

// membersOf returns the members of a struct in JSON, and those that are always
// present.
func membersOf(typ reflect.Type) (members map[string]reflect.Type, always []string) {
	members = map[string]reflect.Type{}
	for field := range typ.Fields() {
		if field.Anonymous {
			more, required := membersOf(field.Type)
			maps.Copy(members, more)
			always = append(always, required...)
			continue
		}
		name, opts, _ := strings.Cut(field.Tag.Get("json"), ",")
		members[name] = field.Type
		if opts == "" {
			always = append(always, name)
		}
	}
	return members, always
}

// requireType fails the test unless a property has the type of its field.
func requireType(t *testing.T, where string, field reflect.Type, property any) {
	t.Helper()
	d := described()
	s := d.follow(property).(object)
	if field.Kind() == reflect.Pointer {
		field = field.Elem()
	}
	want := map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Slice: "array", reflect.Struct: "object",
	}[field.Kind()]
	if field == reflect.TypeFor[time.Time]() {
		want = "string"
		require.Equal(t, "date-time", s["format"], "%s is a time", where)
	}
	require.Equal(t, want, s["type"], "the type of %s", where)
	switch field.Kind() {
	case reflect.Slice:
		requireType(t, where+"[]", field.Elem(), s["items"])
	case reflect.Struct:
		if want == "object" {
			ref, _ := property.(object)["$ref"].(string)
			require.Equal(t, field, vaulthttp.WireTypes[strings.TrimPrefix(ref, "#/components/schemas/")], "the schema of %s", where)
		}
	}
}
