package vaulthttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/vault"
	"github.com/satchelhq/satchel/vault/vaulthttp"
)

func TestRules_Scope(t *testing.T) {
	t.Run("refuses an invalid scope without using the storage", func(t *testing.T) {
		a := newAdmin(t)
		before := a.Storage.Calls()
		for _, scope := range []string{
			"", "/", "acme/", "/acme", "acme//web", ".", "..", "acme/..", "acme/../other", "acme/./web", "../acme",
			"acme%2Fweb", "acme%252Fweb", "%2e%2e", "acme\\web", "acme web", "ACME", "Acme", "acme\x00", "acme\n", "acme;web", "*",
			"аcme",     // a Cyrillic letter
			"acme／web", // a full-width slash
			"acme∕web", // a division slash
			"ａcme", "acmé", "acme\u200b", "acme\u202e", "ſcme", "\u212acme", "acme\xff",
			"-acme", "_acme", strings.Repeat("a", 64), "a/b/c/d/e/f/g/h/i", strings.Repeat("a", 100_000),
		} {
			for _, route := range vaulthttp.AdminRoutes() {
				if route.Required == "" {
					continue
				}
				target := strings.NewReplacer("{admin}", "ada", "{name}", "A").Replace(route.Path) + "?" + url.Values{route.Required: {scope}}.Encode()
				requireRefusal(t, a.do(t, route.Method, target, `{}`), 400, "", fmt.Sprintf("scope %.40q of %s %s", scope, route.Method, route.Path))
			}
		}
		require.Equal(t, before, a.Storage.Calls(), "the storage was not used")
		requireRefusal(t, a.do(t, "GET", "/v1/audit?tenant=acme/web", ""), 400, "Invalid tenant", "a chain belongs to a tenant")
	})
}

func TestRules_Query(t *testing.T) {
	t.Run("refuses unknown and repeated parameters", func(t *testing.T) {
		a := newAdmin(t)
		for query, want := range map[string]string{
			"":                        "Missing query parameter scope",
			"?":                       "Missing query parameter scope",
			"?Scope=acme":             "Unknown query parameter",
			"?scope=acme&scope=acme":  "Repeated query parameter",
			"?scope=acme&scope=other": "Repeated query parameter",
			"?scope=acme&limit=1":     "Unknown query parameter",
			"?scope=acme&x":           `"x"`,
			"?scope=acme;x=1":         "Invalid query string",
			"?scope=%zz":              "Invalid query string",
			"?scope=acme&%00=1":       "Unknown query parameter",
		} {
			requireRefusal(t, a.do(t, "GET", "/v1/secrets"+query, ""), 400, want, query)
		}
	})
}

func TestRules_Path(t *testing.T) {
	t.Run("accepts one spelling only", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		for target, status := range map[string]int{
			"/":                                         404,
			"/v1":                                       404,
			"/v1/":                                      404,
			"/v2/secrets?scope=acme":                    404,
			"/v1/secrets/?scope=acme":                   404,
			"/v1/secrets/A/?scope=acme":                 404,
			"//v1/secrets?scope=acme":                   404,
			"/v1//secrets?scope=acme":                   404,
			"/v1/secrets//A?scope=acme":                 404,
			"/v1/./secrets?scope=acme":                  404,
			"/v1/x/../secrets?scope=acme":               404,
			"/v1/secrets/x/../A?scope=acme":             404,
			"/V1/secrets?scope=acme":                    404,
			"/v1/Secrets?scope=acme":                    404,
			"/v1/secrets/A/values?scope=acme":           404,
			"/v1/secrets/A/versions/1?scope=acme":       404,
			"/v1/secrets/acme/web/A?scope=acme":         404,
			"/v1/secrets/..?scope=acme":                 400,
			"/v1/secrets/.?scope=acme":                  400,
			"/v1/secrets/A-B?scope=acme":                400,
			"/v1/secrets/%41?scope=acme":                400,
			"/v1/secrets/A%2Fversions?scope=acme":       400,
			"/v1/secrets/A%2fversions?scope=acme":       400,
			"/v1/secrets%2FA?scope=acme":                400,
			"/v1/secrets/%2e%2e?scope=acme":             400,
			"/v1/secrets/A%252Fx?scope=acme":            400,
			"/v1/secrets/A%00?scope=acme":               400,
			"/v1/secrets/%D0%90?scope=acme":             400,
			"/v1/secrets/A%20?scope=acme":               400,
			"/v1/tokens/..":                             404,
			"/v1/tokens/%2e%2e/revoke":                  400,
			"/v1/tokens/" + strings.Repeat("a", 50_000): 404,
		} {
			got := a.do(t, "GET", target, "")
			require.Equal(t, status, got.status, "%.60s: %s", target, got.body)
		}
		star := httptest.NewRequestWithContext(t.Context(), "OPTIONS", "*", nil)
		requireRefusal(t, serve(a.handler, star), 404, "No such path", "* is not a path")
		connect := httptest.NewRequestWithContext(t.Context(), "CONNECT", "/v1//secrets", nil)
		require.Equal(t, 404, serve(a.handler, connect).status)
		long := a.do(t, "GET", "/v1/secrets/"+strings.Repeat("A", 100_000)+"?scope=acme", "")
		requireRefusal(t, long, 400, "", "a name has at most 128 bytes")
		require.Less(t, len(long.body), 1000, "the response does not repeat it")
	})

	t.Run("lists the allowed methods", func(t *testing.T) {
		a := newAdmin(t)
		for _, row := range [][3]string{
			{"POST", "/v1/secrets?scope=acme", "GET, HEAD"},
			{"POST", "/v1/secrets/A?scope=acme", "DELETE, GET, HEAD, PUT"},
			{"PATCH", "/v1/tokens?scope=acme", "GET, HEAD, POST"},
			{"GET", "/v1/tokens/x/revoke", "POST"},
			{"OPTIONS", "/v1/secrets/A?scope=acme", "DELETE, GET, HEAD, PUT"},
			{"BREW", "/v1/audit/verify?tenant=acme", "POST"},
		} {
			got := a.do(t, row[0], row[1], "")
			requireRefusal(t, got, 405, row[2], row[0]+" "+row[1])
			require.Equal(t, row[2], got.header.Get("Allow"))
		}
	})

	t.Run("refuses a token in the URL", func(t *testing.T) {
		a := newAdmin(t)
		token := a.MustIssue(t, "acme").Reveal()
		before := a.Log.Text()
		for _, target := range []string{
			"/v1/tokens/" + token, "/v1/tokens/" + token + "/x", "/v1/secrets/" + token + "?scope=acme", "/v1/secrets?scope=" + token,
			"/v1/secrets?scope=acme&x=" + strings.Replace(token, "_", "%5F", 1),
		} {
			got := a.do(t, "GET", target, "")
			requireRefusal(t, got, 400, "The URL contains a token", "URLs are logged")
			require.NotContains(t, string(got.body), token)
		}
		require.NotContains(t, strings.TrimPrefix(a.Log.Text(), before), token)
	})

	t.Run("finds no token under an invalid id", func(t *testing.T) {
		a := newAdmin(t)
		for _, id := range []string{"AAAAAAAAAAAA", "a", "..", "-", strings.Repeat("A", 300)} {
			requireRefusal(t, a.do(t, http.MethodPost, "/v1/tokens/"+id+"/revoke", ""), 404, "No such token", id)
		}
	})
}

func TestRules_CrossSite(t *testing.T) {
	t.Run("refuses changes from another site", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		a.MustPut(t, "acme", "A", "2")
		id := tokenID(t, a.MustIssue(t, "acme"))
		a.requireUnchanged(t, "a form of another site changes nothing", func() {
			for _, route := range vaulthttp.AdminRoutes() {
				if route.Method == "GET" {
					continue
				}
				target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(route.Path)
				if route.Required != "" {
					target += "?" + route.Required + "=acme"
				}
				body := `{"value":"3"}`
				if route.Method == "POST" {
					body = bodyFor(route.Path)
				}
				for _, header := range []string{"", "0", "true", "1, 1"} {
					headers := []string{vaulthttp.AdminHeader, ""}
					if header != "" {
						headers = append(headers, vaulthttp.AdminHeader, header)
					}
					requireRefusal(t, a.do(t, route.Method, target, body, headers...), 403, vaulthttp.AdminHeader, fmt.Sprintf("%s %s with %q", route.Method, target, header))
				}
				if route.Method == "DELETE" {
					continue
				}
				for _, kind := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "text/json", "application/jsonp", "application/json; charset=latin1", "application/json, text/plain", "application/json;;"} {
					headers := []string{"Content-Type", ""}
					if kind != "" {
						headers = append(headers, "Content-Type", kind)
					}
					requireRefusal(t, a.do(t, route.Method, target, body, headers...), 415, "application/json", fmt.Sprintf("%s %s as %q", route.Method, target, kind))
				}
				requireRefusal(t, a.do(t, route.Method, target, body, "Content-Encoding", "gzip"), 415, "Content-Encoding", "compressed bodies are refused")
			}
		})
		preflight := a.do(t, "OPTIONS", "/v1/secrets/A?scope=acme", "", "Origin", "https://evil.example", "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "satchel-admin,content-type")
		require.Equal(t, 405, preflight.status, "a preflight request is refused")
		got := a.do(t, "GET", "/v1/secrets?scope=acme", "", "Origin", "https://evil.example")
		require.Equal(t, "same-origin", got.header.Get("Cross-Origin-Resource-Policy"), "another site cannot embed a response")
	})

	t.Run("changes nothing for GET and HEAD", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		id := tokenID(t, a.MustIssue(t, "acme"))
		a.requireUnchanged(t, "GET and HEAD change nothing", func() {
			for _, route := range vaulthttp.AdminRoutes() {
				if route.Method != "GET" {
					continue
				}
				target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(route.Path)
				if route.Required != "" {
					target += "?" + route.Required + "=acme"
				}
				for _, method := range []string{"GET", "HEAD"} {
					require.Equal(t, 200, a.do(t, method, target, `{"value":"2"}`).status, "%s %s", method, target)
				}
			}
		})
	})
}

func TestRules_Body(t *testing.T) {
	t.Run("refuses an invalid body without quoting values", func(t *testing.T) {
		a := newAdmin(t)
		a.MustPut(t, "acme", "A", "1")
		const clue = "clue-in-the-body"
		a.requireUnchanged(t, "nothing is written", func() {
			for body, want := range map[string]string{
				``:                             `Missing member "value"`,
				`   `:                          `Missing member "value"`,
				`{}`:                           `Missing member "value"`,
				`{"value":null}`:               `Missing member "value"`,
				`null`:                         "not a JSON object",
				`[]`:                           "not a JSON object",
				`"` + clue + `"`:               "not a JSON object",
				`7`:                            "not a JSON object",
				`{`:                            "not valid JSON at byte",
				`{"value"`:                     "not valid JSON at byte",
				`{"value":"` + clue:            "not valid JSON at byte",
				`{"value":"` + clue + `",}`:    "not valid JSON at byte",
				`{"value":'` + clue + `'}`:     "not valid JSON at byte",
				`{value:1}`:                    "not valid JSON at byte",
				`{"value":"` + clue + `"}{`:    "Data follows the JSON object",
				`{"value":"` + clue + `"} "x"`: "Data follows the JSON object",
				`{"value":"x"` + strings.Repeat(" ", 10) + `"kind":"y"}`: "not valid JSON at byte",
				`{"value":1234567}`:                                                 `"value" must be a string`,
				`{"value":["` + clue + `"]}`:                                        `"value" must be a string`,
				`{"value":"x","kind":7}`:                                            `"kind" must be a string`,
				`{"value":"x","allow_trailing_newline":"` + clue + `"}`:             `"allow_trailing_newline" must be true or false`,
				`{"value":"x","expires_at":"` + clue + `"}`:                         `"expires_at" must be a time such as`,
				`{"value":"x","expires_at":1893456000}`:                             `"expires_at" must be a time such as`,
				`{"value":"x","Value":"y"}`:                                         `Unknown member "Value"`,
				`{"VALUE":"x"}`:                                                     `Unknown member "VALUE"`,
				`{"value":"x","value":"x"}`:                                         `Repeated member "value"`,
				`{"value":"x","\u0076alue":"y"}`:                                    `Repeated member "value"`,
				`{"value":"x","expires":"2030-01-01"}`:                              `Unknown member "expires"`,
				`{"value":"x","` + strings.Repeat("k", 5000) + `":1}`:               "Unknown member \"kkkk",
				"{\"value\":\"" + clue + "\xff\"}":                                  "not valid UTF-8",
				"{\"value\":\"x\",\"\xc0\xaf\":1}":                                  "not valid UTF-8",
				`{"value":"` + clue + `\ud800"}`:                                    "an unpaired surrogate at byte 26",
				`{"value":"` + clue + `\udc00\ud800"}`:                              "an unpaired surrogate",
				`{"value":"` + clue + `\ud800\\udc00"}`:                             "an unpaired surrogate",
				`{"value":"` + clue + `\u0000"}`:                                    "NUL",
				`{"value":"` + clue + `\n"}`:                                        `ends in a line break; remove it, or set "allow_trailing_newline"`,
				`{"value":"` + clue + `","delivery":"pigeon"}`:                      `"delivery" must be`,
				`{"value":"` + clue + `","kind":"` + strings.Repeat("k", 65) + `"}`: "the kind has 65 bytes",
				`{"value":"` + clue + `","expires_at":"2001-01-01T00:00:00Z"}`:      "is in the past",
			} {
				got := a.do(t, "PUT", "/v1/secrets/A?scope=acme", body)
				requireRefusal(t, got, 400, want, fmt.Sprintf("%.80q", body))
				require.NotContains(t, string(got.body), clue, "the response quotes no value: %.80q", body)
				require.NotContains(t, string(got.body), "1234567")
				require.Less(t, len(got.body), 500)
			}
			for _, row := range [][3]string{
				{"/v1/secrets/A/activate?scope=acme", `{}`, `Missing member "version"`},
				{"/v1/secrets/A/activate?scope=acme", `{"version":"1"}`, `"version" must be an integer`},
				{"/v1/secrets/A/activate?scope=acme", `{"version":1.5}`, `"version" must be an integer`},
				{"/v1/secrets/A/activate?scope=acme", `{"version":99999999999999999999}`, `"version" must be an integer`},
				{"/v1/secrets/A/hide?scope=acme", `{"x":1}`, `Unknown member "x"`},
				{"/v1/tokens?scope=acme", `{"waive":"A"}`, `"waive" must be a list of strings`},
				{"/v1/tokens?scope=acme", `{"waive":[null]}`, `"waive" contains an invalid secret name`},
				{"/v1/tokens?scope=acme", `{"waive":["A-B"]}`, `"waive" contains an invalid secret name`},
				{"/v1/tokens?scope=acme", `{"waive":["` + strings.Join(slices.Repeat([]string{"A"}, 101), `","`) + `"]}`, `"waive" has 101 names; at most 100`},
				{"/v1/tokens?scope=acme", `{"label":"a\u0007b"}`, "control characters"},
				{"/v1/tokens?scope=acme", `{"scope":"other"}`, `Unknown member "scope"`},
				{"/v1/audit/verify?tenant=acme", `{"since_seq":1}`, `Missing member "since_mac"`},
				{"/v1/audit/verify?tenant=acme", `{"since_mac":"00"}`, `Missing member "since_seq"`},
				{"/v1/audit/verify?tenant=acme", `{"since_seq":0,"since_mac":"00"}`, `"since_seq" must be the number of an entry`},
				{"/v1/audit/verify?tenant=acme", `{"since_seq":1,"since_mac":"00"}`, `"since_mac" must be 64 hexadecimal digits`},
			} {
				requireRefusal(t, a.do(t, "POST", row[0], row[1]), 400, row[2], row[0]+" with "+row[1])
			}
		})
	})

	t.Run("decodes values exactly", func(t *testing.T) {
		a := newAdmin(t)
		token := a.MustIssue(t, "acme")
		for body, want := range map[string]string{
			`{"value":""}`:                                  "",
			`{"value":"\ud83d\ude00\u00e9"}`:                "😀é",
			`{"value":"\\ud800"}`:                           `\ud800`,
			`{"value":"\\\\\ud83d\ude00"}`:                  `\\😀`,
			`{"value":"a<b>&\u2028"}`:                       "a<b>&\u2028",
			"{\"value\":\"\ufffd\"}":                        "\ufffd",
			"\n\t {\"value\" : \"x\"\n} \r\n":               "x",
			`{"value":"x\n","allow_trailing_newline":true}`: "x\n",
			`{"value":"z","kind":null,"expires_at":null}`:   "z",
		} {
			require.Equal(t, 200, a.do(t, "PUT", "/v1/secrets/A?scope=acme", body).status, body)
			require.Equal(t, want, a.Values(t, token)["A"], body)
		}
	})

	t.Run("refuses values and bodies over the limit", func(t *testing.T) {
		a := newAdmin(t)
		token := a.MustIssue(t, "acme")
		longest := strings.Repeat(`\u0001`, vault.MaxValue)
		require.Equal(t, 200, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"`+longest+`"}`).status, "the longest value fits with every byte escaped")
		a.requireUnchanged(t, "nothing is written", func() {
			requireRefusal(t, a.do(t, "PUT", "/v1/secrets/A?scope=acme", `{"value":"`+strings.Repeat("x", vault.MaxValue+1)+`"}`), 413, "65537 bytes; at most 65536", "a value")
			for _, route := range vaulthttp.AdminRoutes() {
				if route.Method == "GET" || route.Method == "DELETE" {
					continue
				}
				target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", tokenID(t, token)).Replace(route.Path)
				if route.Required != "" {
					target += "?" + route.Required + "=acme"
				}
				body := "{" + strings.Repeat(" ", vaulthttp.MaxAdminBody) + "}"
				requireRefusal(t, a.do(t, route.Method, target, body), 413, "Request body too large", target)
			}
		})
	})

	t.Run("accepts every member of the OpenAPI description", func(t *testing.T) {
		a := newAdmin(t)
		d := described()
		for _, op := range d.ops {
			if op.content["requestBody"] == nil {
				continue
			}
			id := tokenID(t, a.MustIssue(t, "acme"))
			target := strings.NewReplacer("{admin}", "ada", "{name}", "A", "{id}", id).Replace(op.path)
			for _, name := range op.names("query") {
				target += "?" + name + "=acme"
			}
			schema := d.at(op.content, "requestBody", "content", "application/json", "schema").(object)
			require.Equal(t, false, schema["additionalProperties"], "%s allows no other members", op.path)
			for member := range schema["properties"].(object) {
				got := a.do(t, op.method, target, `{"`+member+`":null}`)
				require.NotContains(t, string(got.body), "Unknown member", "%s of %s", member, op.path)
			}
			requireRefusal(t, a.do(t, op.method, target, `{"undescribed":null}`), 400, "Unknown member", op.path)
		}
	})

	t.Run("refuses a truncated body", func(t *testing.T) {
		a := newAdmin(t)
		r := httptest.NewRequestWithContext(t.Context(), "PUT", "/v1/secrets/A?scope=acme", brokenReader{})
		r.Header.Set(vaulthttp.AdminHeader, "1")
		r.Header.Set("Content-Type", "application/json")
		requireRefusal(t, a.send(t, r), 400, "Cannot read the request body", "the body may be truncated")
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, http.ErrBodyReadAfterClose }
