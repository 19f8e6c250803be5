package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Decode stores secrets in the fields of the struct that dst points to. The tag
// of a field names its secret:
//
//	type Config struct {
//		Key     bundle.Value   `secret:"ANTHROPIC_API_KEY"`
//		Webhook string         `secret:"WEBHOOK_URL,optional"`
//		Account serviceAccount `secret:"GCP_ACCOUNT,json"`
//	}
//
// A field is a [Value], a string or a []byte; with the json option it may have
// any type that JSON can be unmarshaled into. With the optional option, a missing
// secret leaves the field unchanged; without it, the error names all missing
// secrets. Decode also fills exported or embedded structs without a tag, and
// ignores other fields without one. An embedded pointer to a struct with tags is
// an error.
//
// Decode stores everything or nothing. Its error reports all problems, names
// secrets and fields, and holds no values. Prefer fields of type Value: they
// alone keep the plaintext out of logs.
func Decode(b *Bundle, dst any) error {
	ptr := reflect.ValueOf(dst)
	if ptr.Kind() != reflect.Pointer || ptr.IsNil() || ptr.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("decoding secrets: the destination is a %T; want a pointer to a struct", dst)
	}
	d := decoder{b: b}
	work := reflect.New(ptr.Elem().Type()).Elem()
	work.Set(ptr.Elem())
	d.fields(work, "")
	if d.missing != nil {
		d.errs = append(d.errs, fmt.Errorf("missing %s", strings.Join(d.missing, ", ")))
	}
	if err := errors.Join(d.errs...); err != nil {
		return fmt.Errorf("decoding secrets: %w", err)
	}
	ptr.Elem().Set(work)
	return nil
}

type decoder struct {
	b       *Bundle
	missing []string
	errs    []error
}

var valueType = reflect.TypeFor[Value]()

// fields fills the fields of the struct v. path is the prefix of their names.
func (d *decoder) fields(v reflect.Value, path string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, ok := field.Tag.Lookup("secret")
		name := path + field.Name
		switch {
		case ok && !field.IsExported():
			d.fail("field %s has a secret tag but is not exported; export it", name)
		case ok:
			d.field(v.Field(i), name, tag)
		case (field.IsExported() || field.Anonymous) && field.Type.Kind() == reflect.Struct && field.Type != valueType:
			d.fields(v.Field(i), name+".")
		case field.Anonymous && field.Type.Kind() == reflect.Pointer && tagged(field.Type.Elem()):
			d.fail("field %s is an embedded pointer to a struct with secret tags; embed the struct", name)
		}
	}
}

// tagged reports whether t is a struct in which fields would find a secret tag.
func tagged(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || t == valueType {
		return false
	}
	for field := range t.Fields() {
		if _, ok := field.Tag.Lookup("secret"); ok || (field.IsExported() || field.Anonymous) && tagged(field.Type) {
			return true
		}
	}
	return false
}

func (d *decoder) field(v reflect.Value, field, tag string) {
	name, rest, _ := strings.Cut(tag, ",")
	if err := CheckName(name); err != nil {
		d.fail("field %s: %w", field, err)
		return
	}
	var optional, asJSON bool
	for option := range strings.SplitSeq(rest, ",") {
		switch option {
		case "":
		case "optional":
			optional = true
		case "json":
			asJSON = true
		default:
			d.fail("field %s: unknown option %q in its secret tag; want optional or json", field, option)
			return
		}
	}
	isBytes := v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8
	if !asJSON && v.Type() != valueType && v.Kind() != reflect.String && !isBytes {
		d.fail("field %s is a %s; want bundle.Value, string, []byte, or the json option", field, v.Type())
		return
	}
	s, ok := d.b.Get(name)
	if !ok {
		if !optional {
			d.missing = append(d.missing, name)
		}
		return
	}
	switch {
	case asJSON:
		// A new value: unmarshaling into the current one would write through its
		// pointers and maps.
		fresh := reflect.New(v.Type())
		if err := json.Unmarshal([]byte(s.Value.Reveal()), fresh.Interface()); err != nil {
			// The errors of package json, and of UnmarshalJSON methods, quote their
			// input.
			d.fail("secret %s (%s) is not valid JSON for field %s of type %s", name, s.Origin, field, v.Type())
			return
		}
		v.Set(fresh.Elem())
	case v.Type() == valueType:
		v.Set(reflect.ValueOf(s.Value))
	case isBytes:
		v.SetBytes([]byte(s.Value.Reveal()))
	default:
		v.SetString(s.Value.Reveal())
	}
}

func (d *decoder) fail(format string, args ...any) {
	d.errs = append(d.errs, fmt.Errorf(format, args...))
}
