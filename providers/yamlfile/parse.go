package yamlfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/satchelhq/satchel/bundle"
)

// parse returns the secrets in src, in the order of the file. Its errors start with
// the file's name and the line.
func parse(file, section string, src []byte) ([]bundle.Secret, error) {
	r := reader{file: file}
	if err := r.checkText(src); err != nil {
		return nil, err
	}
	root, err := r.document(src)
	if err != nil {
		return nil, err
	}
	if section != "" {
		if root, err = r.section(root, section); err != nil {
			return nil, err
		}
	}
	return r.secrets(root)
}

type reader struct{ file string }

// fail returns an error for a line, or for the file if line is 0.
func (r reader) fail(line int, format string, args ...any) error {
	msg := fmt.Sprintf(format, args...)
	if line == 0 {
		return fmt.Errorf("%s: %s", r.file, msg)
	}
	return fmt.Errorf("%s:%d: %s", r.file, line, msg)
}

// checkText rejects invalid UTF-8 and the characters that YAML does not preserve.
// For control characters, the library reports no position; it converts unusual
// line ends to spaces or line feeds.
func (r reader) checkText(src []byte) error {
	line := 1
	for i := 0; i < len(src); {
		c, size := utf8.DecodeRune(src[i:])
		i += size
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError && size == 1:
			return r.fail(line, "invalid UTF-8; save the file as UTF-8, and encode binary data, for example as base64")
		case c == '\t', c == '\r' && i < len(src) && src[i] == '\n':
		case c < ' ', c == '\u0085', c == '\u2028', c == '\u2029', c == '\ufffe', c == '\uffff':
			return r.fail(line, `invalid character %U, which YAML does not preserve; write \u%04x in double quotes`, c, c)
		}
	}
	return nil
}

// document returns the top node of the only document in src, or nil if it is
// empty.
func (r reader) document(src []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader(src))
	if err != nil {
		return nil, err
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, r.malformed(err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, r.fail(second.Line, "a second document starts here; use one document per file")
	} else if err != io.EOF {
		return nil, r.malformed(err)
	}
	top := first.Content[0]
	if isEmpty(top) {
		return nil, nil
	}
	return top, nil
}

// malformed uses only the lines of an error of the YAML library, whose text may
// quote the file.
func (r reader) malformed(err error) error {
	const msg = "malformed YAML; check the indentation, and quote values with special characters"
	e, ok := errors.AsType[*yaml.LoadError](err)
	if !ok {
		return r.fail(0, msg)
	}
	if start := e.ContextMark.Line; start != 0 && start != e.Mark.Line {
		return r.fail(e.Mark.Line, "%s; it belongs to the value that starts on line %d", msg, start)
	}
	return r.fail(e.Mark.Line, msg)
}

// section returns the value of a top-level key, or nil if it is empty.
func (r reader) section(root *yaml.Node, name string) (*yaml.Node, error) {
	var found, at *yaml.Node
	if root != nil && root.Kind == yaml.MappingNode {
		for i := 0; i < len(root.Content); i += 2 {
			key, value := root.Content[i], root.Content[i+1]
			if key.Kind != yaml.ScalarNode || key.Value != name {
				continue
			}
			if at != nil {
				return nil, r.fail(key.Line, "repeated section %q, after line %d; merge the sections", name, at.Line)
			}
			found, at = value, key
		}
	}
	if at == nil {
		return nil, r.fail(0, "no section %q at the top level of the file", name)
	}
	if isEmpty(found) {
		return nil, nil
	}
	return found, nil
}

// isEmpty reports whether the node stands for missing text.
func isEmpty(n *yaml.Node) bool {
	return n.Kind == yaml.ScalarNode && n.Style == 0 && n.Value == "" && n.Tag == "!!null" && n.Anchor == ""
}

// secrets reads a flat mapping. A nil node is an empty mapping.
func (r reader) secrets(root *yaml.Node) ([]bundle.Secret, error) {
	if root == nil {
		return nil, nil
	}
	if err := r.checkPlain(root); err != nil {
		return nil, err
	}
	if root.Kind != yaml.MappingNode {
		return nil, r.fail(root.Line, "not a mapping; write one NAME: value per line")
	}
	var secrets []bundle.Secret
	lines := map[string]int{}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name, err := r.name(key)
		if err != nil {
			return nil, err
		}
		if first, again := lines[name]; again {
			return nil, r.fail(key.Line, "%s is set a second time, after line %d; remove one of the two", name, first)
		}
		lines[name] = key.Line
		v, err := r.value(name, value)
		if err != nil {
			return nil, err
		}
		secrets = append(secrets, bundle.Secret{
			Name:   name,
			Value:  v,
			Origin: bundle.Origin{Provider: "yaml", Location: fmt.Sprintf("%s:%d", r.file, key.Line)},
		})
	}
	return secrets, nil
}

// name reads a key. An invalid name is not quoted, because in a broken file it may
// be a part of a value.
func (r reader) name(key *yaml.Node) (string, error) {
	if err := r.checkPlain(key); err != nil {
		return "", err
	}
	if key.Tag == "!!merge" {
		return "", r.fail(key.Line, "merge keys are not supported; write out every name")
	}
	if key.Kind != yaml.ScalarNode || bundle.CheckName(key.Value) != nil {
		return "", r.fail(key.Line, "invalid name; want at most %d letters, digits and _, not starting with a digit", bundle.MaxName)
	}
	return key.Value, nil
}

func (r reader) value(name string, n *yaml.Node) (bundle.Value, error) {
	var none bundle.Value
	if err := r.checkPlain(n); err != nil {
		return none, err
	}
	switch {
	case n.Kind != yaml.ScalarNode:
		return none, r.fail(n.Line, "%s has a mapping or a list; write one value, in quotes if it contains braces or brackets", name)
	case n.Tag == "!!null":
		return none, r.fail(n.Line, `%s has no value; write "" for an empty value, and quotes around a word such as null`, name)
	}
	v := bundle.NewValue(n.Value)
	if bundle.CheckValue(v) != nil {
		return none, r.fail(n.Line, "%s has a NUL in its value; encode binary data, for example as base64", name)
	}
	return v, nil
}

// checkPlain rejects aliases, anchors and tags.
func (r reader) checkPlain(n *yaml.Node) error {
	switch {
	case n.Kind == yaml.AliasNode:
		return r.fail(n.Line, "aliases are not supported; write out the value, in quotes if it starts with *")
	case n.Anchor != "":
		return r.fail(n.Line, "anchors are not supported; remove the anchor, or put quotes around a value that starts with &")
	case n.Style&yaml.TaggedStyle != 0 || strings.HasPrefix(n.Tag, "!") && !strings.HasPrefix(n.Tag, "!!"):
		return r.fail(n.Line, "tags are not supported; remove the tag, or put quotes around a value that starts with !")
	}
	return nil
}
