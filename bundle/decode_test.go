package bundle_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/satchelhq/satchel/bundle"
)

type account struct {
	User  string
	Roles []string
}

func TestDecode(t *testing.T) {
	t.Run("fills every kind of field", func(t *testing.T) {
		type name string
		type blob []byte
		type nested struct {
			Inner bundle.Value `secret:"A"`
			Deep  struct {
				Leaf string `secret:"B"`
			}
		}
		type Embedded struct {
			Up string `secret:"A"`
		}
		type embedded struct {
			Under string `secret:"B"`
		}
		type config struct {
			Embedded
			embedded
			Value    bundle.Value      `secret:"A"`
			String   string            `secret:"A"`
			Named    name              `secret:"B"`
			Bytes    []byte            `secret:"A"`
			Blob     blob              `secret:"B"`
			Empty    string            `secret:"EMPTY"`
			JSON     account           `secret:"ACCOUNT,json"`
			Pointer  *account          `secret:"ACCOUNT,json"`
			Map      map[string]any    `secret:"ACCOUNT,json"`
			Number   int               `secret:"NUMBER,json"`
			Optional string            `secret:"MISSING,optional"`
			Both     map[string]string `secret:"MISSING,json,optional"`
			Present  string            `secret:"A,optional"`
			Nested   nested
			Time     time.Time
			Plain    string
			Ptr      *nested
			private  string
		}
		b := mustNew(t, secret("A", "a\x7f"), secret("B", "b"), secret("EMPTY", ""), secret("NUMBER", "42"), secret("ACCOUNT", `{"User":"u","Roles":["r"]}`))
		start := config{Empty: "was", Optional: "was", Both: map[string]string{"k": "was"}, Plain: "was", private: "was", Time: time.Unix(1, 0)}
		got := start
		require.NoError(t, bundle.Decode(b, &got))

		require.Equal(t, "a\x7f", got.Value.Reveal())
		require.Equal(t, "a\x7f", got.Nested.Inner.Reveal(), "nested structs are filled")
		got.Value, got.Nested.Inner = bundle.Value{}, bundle.Value{}
		want := start
		want.Up, want.String, want.Present, want.Bytes = "a\x7f", "a\x7f", "a\x7f", []byte("a\x7f")
		want.Under = "b"
		want.Named, want.Blob, want.Nested.Deep.Leaf = "b", blob("b"), "b"
		want.Empty = ""
		want.JSON = account{"u", []string{"r"}}
		want.Pointer = &account{"u", []string{"r"}}
		want.Map = map[string]any{"User": "u", "Roles": []any{"r"}}
		want.Number = 42
		require.Equal(t, want, got, "an empty value is stored; a missing optional secret and a missing tag leave the field unchanged")
	})

	t.Run("names every missing secret and stores nothing", func(t *testing.T) {
		type config struct {
			Here   string         `secret:"HERE"`
			First  bundle.Value   `secret:"FIRST"`
			Map    map[string]int `secret:"JSON,json"`
			Nested struct {
				Second []byte `secret:"SECOND"`
			}
			Maybe string `secret:"MAYBE,optional"`
		}
		got := config{Here: "was", Map: map[string]int{"was": 1}}
		err := bundle.Decode(mustNew(t, secret("HERE", canary), secret("JSON", `{"now":2}`)), &got)
		require.EqualError(t, err, "decoding secrets: missing FIRST, SECOND", "one error names all missing secrets")
		require.Equal(t, config{Here: "was", Map: map[string]int{"was": 1}}, got, "all or nothing, even inside an existing map")

		require.ErrorContains(t, bundle.Decode(nil, &got), "missing HERE, FIRST, JSON, SECOND", "a nil bundle has no secrets")
	})

	t.Run("never quotes a value in an error", func(t *testing.T) {
		for name, value := range map[string]string{
			"truncated":     `{"User":"` + canary,
			"not JSON":      canary,
			"another type":  `{"User":["` + canary + `"]}`,
			"two documents": `{} "` + canary + `"`,
			"empty":         "",
		} {
			t.Run(name, func(t *testing.T) {
				var got struct {
					Account account `secret:"ACCOUNT,json"`
				}
				err := bundle.Decode(mustNew(t, secret("ACCOUNT", value)), &got)
				require.EqualError(t, err, "decoding secrets: secret ACCOUNT (test ACCOUNT) is not valid JSON for field Account of type bundle_test.account")
			})
		}
		var got struct {
			Nested struct {
				Q quoter `secret:"Q,json"`
			}
		}
		err := bundle.Decode(mustNew(t, secret("Q", `"`+canary+`"`)), &got)
		require.EqualError(t, err, "decoding secrets: secret Q (test Q) is not valid JSON for field Nested.Q of type bundle_test.quoter",
			"the error of UnmarshalJSON is not included")
		for e := err; e != nil; e = errors.Unwrap(e) {
			require.Empty(t, leak(fmt.Sprintf("%v %+v %#v", e, e, e)), "the error of UnmarshalJSON is not wrapped")
		}
	})

	t.Run("names the field that it cannot fill, and the fix", func(t *testing.T) {
		b := mustNew(t, secret("A", canary), secret("OBJECT", `{"a":1}`))
		for _, row := range []struct {
			about, want string
			dst         any
		}{
			{"nil", "the destination is a <nil>; want a pointer to a struct", nil},
			{"not a pointer", "the destination is a bundle_test.account; want a pointer to a struct", account{}},
			{"a nil pointer", "the destination is a *bundle_test.account; want a pointer to a struct", (*account)(nil)},
			{"a pointer to something else", "the destination is a *int; want a pointer to a struct", new(int)},
			{"a type without json", "field N is a int; want bundle.Value, string, []byte, or the json option", &struct {
				N int `secret:"A"`
			}{}},
			{"a slice of something else", "field N is a []int; want", &struct {
				N []int `secret:"A"`
			}{}},
			{"an array", "field N is a [3]uint8; want", &struct {
				N [3]byte `secret:"A"`
			}{}},
			{"an unknown option", `field N: unknown option " optional" in its secret tag; want optional or json`, &struct {
				N string `secret:"A, optional"`
			}{}},
			{"no name", "field N: the name is empty", &struct {
				N string `secret:",optional"`
			}{}},
			{"a bad name", `field N: the name "A-B" has '-' at byte 1`, &struct {
				N string `secret:"A-B"`
			}{}},
			{"a type without json, of a missing secret", "field N is a int; want", &struct {
				N int `secret:"MISSING,optional"`
			}{}},
			{"an embedded pointer", "field Base is an embedded pointer to a struct with secret tags; embed the struct", &struct{ *Base }{}},
			{"JSON that is not a string, in a Value", "is not valid JSON for field N of type bundle.Value", &struct {
				N bundle.Value `secret:"OBJECT,json"`
			}{}},
			{"an unexported field", "field n has a secret tag but is not exported; export it", &struct {
				n string `secret:"A"`
			}{}},
		} {
			t.Run(row.about, func(t *testing.T) {
				err := bundle.Decode(b, row.dst)
				require.ErrorContains(t, err, "decoding secrets: ")
				require.ErrorContains(t, err, row.want, "the error names the field and the fix")
				require.Empty(t, leak(err.Error()))
			})
		}
	})

	t.Run("reports all problems in one error", func(t *testing.T) {
		var got struct {
			N int     `secret:"A"`
			M string  `secret:"MISSING"`
			J account `secret:"A,json"`
		}
		err := bundle.Decode(mustNew(t, secret("A", canary)), &got)
		require.ErrorContains(t, err, "field N is a int")
		require.ErrorContains(t, err, "field J of type bundle_test.account")
		require.ErrorContains(t, err, "missing MISSING")
	})

	t.Run("copies bytes", func(t *testing.T) {
		b := mustNew(t, secret("A", "abc"))
		var x, y struct {
			B []byte `secret:"A"`
		}
		require.NoError(t, bundle.Decode(b, &x))
		x.B[0] = 'X'
		require.NoError(t, bundle.Decode(b, &y))
		require.Equal(t, "abc", string(y.B), "changing the bytes does not change the bundle")
	})
}

// quoter rejects JSON with an error that quotes it.
type quoter struct{}

func (quoter) UnmarshalJSON(b []byte) error { return fmt.Errorf("cannot use %s", b) }

type (
	Base struct{ Nested leaf }
	leaf struct {
		N string `secret:"A"`
	}
)
