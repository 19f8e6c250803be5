package vaulthttp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/internal/text"
	"github.com/satchelhq/satchel/internal/wire"
	"github.com/satchelhq/satchel/vault"
)

// maxBody is the limit of a request body, in bytes: JSON may escape each byte of
// a value as six.
const maxBody = 6*vault.MaxValue + 16<<10

// readBody reads the JSON object of the request into the fields of dst, a pointer
// to a struct. It is stricter than encoding/json: it refuses unknown members,
// repeated members, members spelled in another case, and text that is not UTF-8.
// An empty body counts as an empty object.
func (c *call) readBody(dst any) error {
	if err := c.checkType(); err != nil {
		return err
	}
	data, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, maxBody))
	defer clear(data)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return requestProblem(http.StatusRequestEntityTooLarge, "Request body too large", fmt.Sprintf("At most %d bytes are allowed.", maxBody))
	}
	if err != nil {
		return requestProblem(http.StatusBadRequest, "Cannot read the request body", "")
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	if problem := decodeStrictly(data, dst); problem != "" {
		return requestProblem(http.StatusBadRequest, "Invalid request body", problem)
	}
	return nil
}

// checkType refuses content types other than uncompressed JSON in UTF-8.
func (c *call) checkType() error {
	kind, params, err := mime.ParseMediaType(c.r.Header.Get("Content-Type"))
	charset, hasCharset := params["charset"]
	if err != nil || kind != "application/json" || hasCharset && !strings.EqualFold(charset, "utf-8") || c.r.Header.Get("Content-Encoding") != "" {
		return requestProblem(http.StatusUnsupportedMediaType, "Unsupported type of request body", "Send Content-Type: application/json, in UTF-8, without a Content-Encoding.")
	}
	return nil
}

// decodeStrictly decodes an object into the struct that dst points to. It returns
// a description of the first problem, without any value, or "".
func decodeStrictly(data []byte, dst any) string {
	if !utf8.Valid(data) {
		return "It is not valid UTF-8." // encoding/json would replace it by U+FFFD
	}
	if at := loneSurrogate(data); at >= 0 {
		return fmt.Sprintf("It has an unpaired surrogate at byte %d.", at)
	}
	fields := membersOf(dst)
	dec := json.NewDecoder(bytes.NewReader(data))
	malformed := func() string { return fmt.Sprintf("It is not valid JSON at byte %d.", dec.InputOffset()) }
	if open, err := dec.Token(); err != nil {
		return malformed()
	} else if open != json.Delim('{') {
		return "It is not a JSON object."
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		name, ok := token.(string)
		if err != nil || !ok {
			return malformed()
		}
		field, known := fields[name]
		switch {
		case !known:
			return fmt.Sprintf("Unknown member %s.", quote(name))
		case seen[name]:
			return fmt.Sprintf("Repeated member %q.", name)
		}
		seen[name] = true
		if err := dec.Decode(field.Addr().Interface()); err != nil {
			if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
				return malformed()
			}
			return fmt.Sprintf("Member %q must be %s.", name, wanted(field.Type()))
		}
	}
	if _, err := dec.Token(); err != nil {
		return malformed()
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return fmt.Sprintf("Data follows the JSON object at byte %d.", dec.InputOffset())
	}
	return ""
}

// membersOf returns the fields of the struct that dst points to, by their names
// in JSON.
func membersOf(dst any) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	for field, value := range reflect.ValueOf(dst).Elem().Fields() {
		if field.Anonymous {
			maps.Copy(fields, membersOf(value.Addr().Interface()))
			continue
		}
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		fields[name] = value
	}
	return fields
}

// quote quotes and shortens untrusted text for a response.
func quote(s string) string { return strconv.Quote(text.Clip(s, bundle.MaxName, 35)) }

// wanted describes the JSON type of a member.
func wanted(t reflect.Type) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return "a time such as 2027-01-31T12:00:00Z"
	case t.Kind() == reflect.Slice:
		return "a list of strings"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int64:
		return "an integer"
	}
	return "a string"
}

// loneSurrogate returns the offset of the first unpaired escaped surrogate in JSON
// text, or -1.
func loneSurrogate(data []byte) int {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		r, ok := escaped(data[i:])
		if !ok {
			i++ // the byte after the backslash, which may be a backslash too
			continue
		}
		if !utf16.IsSurrogate(r) {
			i += 5
			continue
		}
		low, _ := escaped(data[min(i+6, len(data)):])
		if utf16.DecodeRune(r, low) == utf8.RuneError {
			return i
		}
		i += 11
	}
	return -1
}

// escaped returns the code unit of an escape such as \u00e9 at the start of b.
func escaped(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	n, err := strconv.ParseUint(string(b[2:6]), 16, 16)
	return rune(n), err == nil
}

// missing is the refusal of a body without a required member.
func missing(member string) error {
	return requestProblem(http.StatusBadRequest, "Invalid request body", fmt.Sprintf("Missing member %q.", member))
}

// unusable is the refusal of a body with an invalid member.
func unusable(member, rule string) error {
	return requestProblem(http.StatusBadRequest, "Invalid request body", fmt.Sprintf("Member %q %s.", member, rule))
}

// refuseConditions refuses conditional headers on requests that would ignore them.
func (c *call) refuseConditions() error {
	for _, header := range []string{"If-Match", "If-None-Match", "If-Unmodified-Since"} {
		if len(c.r.Header.Values(header)) > 0 {
			return requestProblem(http.StatusBadRequest, header+" is not supported here", "Only PUT supports conditions.")
		}
	}
	return nil
}

// ifVersion returns the PutOptions.IfVersion for the conditional headers of the
// request: If-Match with one version in quotes, or If-None-Match with a star.
func (c *call) ifVersion() (int64, error) {
	match, noneMatch := c.r.Header.Values("If-Match"), c.r.Header.Values("If-None-Match")
	c.condition = len(match)+len(noneMatch) > 0
	switch {
	case len(c.r.Header.Values("If-Unmodified-Since")) > 0:
		return 0, requestProblem(http.StatusBadRequest, "If-Unmodified-Since is not supported here", "Send If-Match with the version.")
	case len(match)+len(noneMatch) > 1:
		return 0, requestProblem(http.StatusBadRequest, "More than one condition", "Send If-Match or If-None-Match, and only once.")
	case len(noneMatch) == 1 && noneMatch[0] == "*":
		return vault.IfAbsent, nil
	case len(noneMatch) == 1:
		return 0, requestProblem(http.StatusBadRequest, "Invalid If-None-Match", "Only * is supported; it requires that the secret does not exist yet.")
	case len(match) == 0:
		return 0, nil
	}
	version, err := strconv.ParseInt(wire.Revision(match[0]), 10, 64)
	if err != nil || version < 1 || versionTag(version) != match[0] {
		return 0, requestProblem(http.StatusBadRequest, "Invalid If-Match", `Send one version in quotes, such as "3".`)
	}
	return version, nil
}

// versionTag returns the entity tag of a version.
func versionTag(version int64) string { return wire.ETag(strconv.FormatInt(version, 10)) }
