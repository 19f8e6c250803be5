// Package yamlfile reads secrets from a YAML file: a flat mapping from names to
// scalars, at the top of the file or in one section of a larger one.
//
//	layers := []bundle.Provider{
//		platform,
//		&yamlfile.File{Path: "config.yaml", Section: "secrets", Optional: true},
//	}
//
// A value is the text that stands in the file, whatever type YAML would give
// it:
//
//	PIN: 0123            # 0123, not 83
//	FACTOR: 1e3          # 1e3
//	ENABLED: yes         # yes
//	SINCE: 2026-01-02    # 2026-01-02
//	EMPTY: ""            # an empty value; null, ~ and nothing are refused
//	KEY: |-              # lines; without the dash the last one ends in LF too
//	  -----BEGIN KEY-----
//	  -----END KEY-----
//
// The reader is strict. It refuses nested values, names that occur twice or
// cannot be a secret's, anchors, aliases, merge keys and tags, several
// documents, and characters that YAML would drop or turn into blanks. Each
// refusal says on which line and what to write instead. Its errors hold no
// part of a value, and none of the YAML library's, which quote the file.
//
// It uses go.yaml.in/yaml/v4 rather than v3: the YAML organization keeps both,
// but gives v3 security fixes only, and v4 tells the position of an error in a
// field where v3 tells it in the text.
package yamlfile
