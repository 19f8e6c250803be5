package main

import (
	"io"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFlagSet_parse(t *testing.T) {
	for name, row := range map[string]struct {
		args, others []string
		secrets      []string
		json         bool
	}{
		"nothing":                  {nil, nil, nil, false},
		"flags after arguments":    {[]string{"a", "--json", "b", "--secret", "A"}, []string{"a", "b"}, []string{"A"}, true},
		"one dash":                 {[]string{"-json", "-secret=A", "-secret", "B"}, nil, []string{"A", "B"}, true},
		"a switch set to false":    {[]string{"--json", "--json=false"}, nil, nil, false},
		"a switch and an argument": {[]string{"--json", "false"}, []string{"false"}, nil, true},
		"end of flags":             {[]string{"a", "--", "--json", "--"}, []string{"a", "--json", "--"}, nil, false},
		"-- as a value":            {[]string{"--secret", "--", "a", "--json"}, []string{"a"}, []string{"--"}, true},
		"empty value":              {[]string{"--secret=", "--secret", ""}, nil, []string{"", ""}, false},
		"a value with = in it":     {[]string{"--secret=A=B"}, nil, []string{"A=B"}, false},
		"a dash is an argument":    {[]string{"-", "--json"}, []string{"-"}, nil, true},
		"an argument that is ''":   {[]string{"", "--json"}, []string{""}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			flags := (&program{out: io.Discard}).flags("check")
			asJSON, secrets := flags.jsonFlag(), flags.list("secret", "")
			others, err := flags.parse(row.args)
			require.NoError(t, err)
			require.Equal(t, row.others, others)
			require.Equal(t, row.json, *asJSON)
			require.Equal(t, append([]string{}, row.secrets...), *secrets)
			require.Equal(t, row.secrets != nil, flags.given("secret"))
		})
	}
}

func TestFlagSet_parseLeading(t *testing.T) {
	flags := (&program{out: io.Discard}).flags("run")
	asJSON := flags.jsonFlag()
	rest, err := flags.parseLeading([]string{"--json", "echo", "--json=x"})
	require.NoError(t, err)
	require.Equal(t, []string{"echo", "--json=x"}, rest, "the flags of the other program are left to it")
	require.True(t, *asJSON)
	rest, err = flags.parseLeading([]string{"--", "--json=x"})
	require.NoError(t, err)
	require.Equal(t, []string{"--json=x"}, rest)
	for args, says := range map[string]string{
		"--jsn": "unknown flag --jsn (did you mean --json?); see", "---json": "unknown flag ---json", "--=x": "unknown flag --;",
		"--json=x": `invalid value "x" for flag --json: want true or false`,
	} {
		_, err = flags.parseLeading([]string{args})
		require.ErrorContains(t, err, says)
	}
	_, err = flags.parseLeading([]string{"--help"})
	require.Equal(t, exitCode(0), err)
}
