// Package yamlfile reads secrets from a YAML file: a flat mapping from names to
// scalars, at the top of the file or in one section of a larger one.
//
//	layers := []bundle.Provider{
//		platform,
//		&yamlfile.File{Path: "config.yaml", Section: "secrets", Optional: true},
//	}
//
// A value is its text in the file, regardless of its type in YAML:
//
//	PIN: 0123            # 0123, not 83
//	FACTOR: 1e3          # 1e3
//	ENABLED: yes         # yes
//	SINCE: 2026-01-02    # 2026-01-02
//	EMPTY: ""            # an empty value; null, ~ and no value are rejected
//	KEY: |-              # lines; without the dash, the last one ends in a line feed
//	  -----BEGIN KEY-----
//	  -----END KEY-----
//
// The parser is strict. It rejects nested values, duplicate names, names that are
// invalid for a secret, anchors, aliases, merge keys, tags, several documents, and
// characters that YAML would drop or convert to spaces. Each error names the line
// and the fix. It contains no part of a value, and no text of the YAML library's
// errors, which quote the file.
//
// The package uses go.yaml.in/yaml/v4 because v3 receives only security fixes, and
// because v4 reports the position of an error in a field.
package yamlfile
