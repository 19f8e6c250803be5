package bundle_test

import (
	"fmt"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

// walker follows everything that reflection can reach, including unexported
// fields, as dumpers do. It does not look into closures: only a debugger can.
type walker struct {
	seen  map[visit]bool
	funcs int
	found []string
}

type visit struct {
	at  unsafe.Pointer
	typ reflect.Type
}

// walk returns the paths at which root holds the canary, and the number of
// closures on the way.
func walk(root any) (found []string, funcs int) {
	w := &walker{seen: map[visit]bool{}}
	// An addressable copy, whose unexported fields are addressable too.
	v := reflect.New(reflect.TypeOf(root)).Elem()
	v.Set(reflect.ValueOf(root))
	w.walk(v, "")
	return w.found, w.funcs
}

func (w *walker) walk(v reflect.Value, path string) {
	switch v.Kind() {
	case reflect.String:
		w.look(v.String(), path)
	case reflect.Func:
		if !v.IsNil() {
			w.funcs++
		}
	case reflect.Pointer:
		key := visit{v.UnsafePointer(), v.Type()}
		if !v.IsNil() && !w.seen[key] {
			w.seen[key] = true
			w.walk(v.Elem(), path+".*")
		}
	case reflect.Interface:
		if !v.IsNil() {
			w.walk(addressable(v.Elem()), path)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			f := v.Field(i)
			f = reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
			w.walk(f, path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice, reflect.Array:
		if v.Type().Elem().Kind() == reflect.Uint8 && v.Kind() == reflect.Slice {
			w.look(string(v.Bytes()), path)
			return
		}
		for i := range v.Len() {
			w.walk(v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.Map:
		for iter := v.MapRange(); iter.Next(); {
			w.walk(addressable(iter.Key()), path+".key")
			w.walk(addressable(iter.Value()), fmt.Sprintf("%s[%v]", path, iter.Key()))
		}
	}
}

func (w *walker) look(s, path string) {
	if leak(s) != "" {
		w.found = append(w.found, path)
	}
}

func addressable(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	out.Set(v)
	return out
}

func TestWalk(t *testing.T) {
	t.Run("finds unprotected values", func(t *testing.T) {
		type inner struct {
			hidden string
			bytes  []byte
			byName map[string]any
			loop   *inner
		}
		in := &inner{hidden: canary, bytes: []byte(canary), byName: map[string]any{"a": [1]inner{{hidden: canary}}}}
		in.loop = in
		found, _ := walk(struct{ p any }{in})
		require.ElementsMatch(t, []string{".p.*.hidden", ".p.*.bytes", ".p.*.byName[a][0].hidden"}, found, "the walker sees unexported fields")
	})

	t.Run("reaches no value except through its closure", func(t *testing.T) {
		printed := map[string]bool{ // these hold no value
			"Shadow": true, "Trace": true, "Meta": true, "Diff": true, "FetchError": true,
		}
		for name, v := range holdings(t) {
			found, funcs := walk(v)
			require.Empty(t, found, "a dump of a %s shows its value", name)
			if !printed[name] {
				require.Positive(t, funcs, "the walk must reach the value of a %s", name)
			}
		}
	})
}

func TestValue_Reveal(t *testing.T) {
	require.Equal(t, canary, bundle.NewValue(canary).Reveal())
	require.Empty(t, bundle.Value{}.Reveal(), "the zero Value is the empty string")
}
