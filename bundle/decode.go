package bundle

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
)

// Decode stores secrets in the fields of the struct that dst points to. A
// field says which by its tag:
//
//	type Config struct {
//		Key     bundle.Value   `secret:"ANTHROPIC_API_KEY"`
//		Webhook string         `secret:"WEBHOOK_URL,optional"`
//		Account serviceAccount `secret:"GCP_ACCOUNT,json"`
//	}
//
// The field is a [Value], a string or a []byte, or of any type with the json
// option. With the optional option a secret that is missing leaves the field
// as it is; otherwise it is an error, which names all that are missing.
// Exported and embedded fields without a tag are looked into if they are
// structs, and otherwise left alone. A struct with such tags that is embedded by
// a pointer is an error.
//
// Decode stores everything or nothing. Its errors name secrets and fields and
// hold no values. Only a Value keeps what it holds out of logs; prefer it.
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

// fields fills the fields of v, which path leads to.
func (d *decoder) fields(v reflect.Value, path string) {
	for i := range v.NumField() {
		field := v.Type().Field(i)
		tag, ok := field.Tag.Lookup("secret")
		name := path + field.Name
		switch {
		case ok && !field.IsExported():
			d.fail("field %s has a secret tag and is not exported; export it", name)
		case ok:
			d.field(v.Field(i), name, tag)
		case (field.IsExported() || field.Anonymous) && field.Type.Kind() == reflect.Struct && field.Type != valueType:
			d.fields(v.Field(i), name+".")
		case field.Anonymous && field.Type.Kind() == reflect.Pointer && tagged(field.Type.Elem()):
			d.fail("field %s is embedded by a pointer and has secret tags; embed the struct", name)
		}
	}
}

// tagged reports whether t is a struct that fields would find a secret tag in.
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
		// A new value: unmarshaling into what is there would write through
		// its pointers and maps.
		fresh := reflect.New(v.Type())
		if err := json.Unmarshal([]byte(s.Value.Reveal()), fresh.Interface()); err != nil {
			// The errors of package json, and of decoders, quote what they read.
			d.fail("secret %s (%s) is not JSON that fits field %s, a %s", name, s.Origin, field, v.Type())
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
