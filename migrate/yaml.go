package migrate

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

const byteOrderMark = "\ufeff"

// parseYAML returns the entries of a flat mapping, at the top level of a file or under
// a top-level key.
func parseYAML(path, section, content string) ([]Entry, error) {
	text := strings.TrimPrefix(content, byteOrderMark)
	if err := checkText(path, text); err != nil {
		return nil, err
	}
	root, err := yamlDocument(path, text)
	if err != nil {
		return nil, err
	}
	if section != "" {
		if root, err = yamlSection(path, section, root); err != nil {
			return nil, err
		}
	}
	if root == nil || isEmpty(root) {
		return nil, nil
	}
	if root.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("%s:%d: not a mapping; write one NAME: value per line", path, root.Line)
	}
	lines := strings.SplitAfter(text, "\n")
	var entries []Entry
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		e := yamlEntry(key, value)
		switch {
		case root.Style&yaml.FlowStyle != 0:
			e.ByHand = "it is between braces"
		case e.Fault == "":
			e.EndLine, e.ByHand = extent(lines, key, value)
		}
		if next := i + 2; next < len(root.Content) && e.ByHand == "" && e.EndLine >= root.Content[next].Line {
			e.ByHand = "it shares a line with the next entry"
		}
		if e.ByHand != "" {
			e.EndLine = max(key.Line, value.Line)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// checkText refuses characters that the YAML library would quote in errors or change
// silently.
func checkText(path, text string) error {
	line := 1
	for i, c := range text {
		size := utf8.RuneLen(c)
		switch {
		case c == '\n':
			line++
		case c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd"):
			return fmt.Errorf("%s:%d: invalid UTF-8; save the file as UTF-8, and encode binary data, for example as base64", path, line)
		case c == '\t', c == '\r' && strings.HasPrefix(text[i+size:], "\n"):
		case c < ' ', c == '\u0085', c == '\u2028', c == '\u2029', c == '\ufffe', c == '\uffff':
			return fmt.Errorf(`%s:%d: invalid character %U, which YAML does not preserve; write \u%04x in double quotes`, path, line, c, c)
		}
	}
	return nil
}

// yamlDocument returns the top node of the only document, or nil if the file is empty.
func yamlDocument(path, text string) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(bytes.NewReader([]byte(text)))
	if err != nil {
		return nil, err
	}
	var first, second yaml.Node
	if err := loader.Load(&first); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, malformed(path, err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, fmt.Errorf("%s:%d: a second document starts here; use one document per file", path, second.Line)
	} else if err != io.EOF {
		return nil, malformed(path, err)
	}
	return first.Content[0], nil
}

// malformed keeps only the line of an error of the YAML library, because its text may
// quote the file.
func malformed(path string, err error) error {
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		path = fmt.Sprintf("%s:%d", path, e.Mark.Line)
	}
	return fmt.Errorf("%s: malformed YAML; check the indentation, and quote values with special characters", path)
}

// yamlSection returns the node under a top-level key.
func yamlSection(path, section string, root *yaml.Node) (*yaml.Node, error) {
	var found, at *yaml.Node
	if root != nil && root.Kind == yaml.MappingNode {
		for i := 0; i < len(root.Content); i += 2 {
			key := root.Content[i]
			if key.Kind != yaml.ScalarNode || key.Value != section {
				continue
			}
			if found != nil {
				return nil, fmt.Errorf("%s:%d: repeated section %q, after line %d; merge the sections", path, key.Line, section, at.Line)
			}
			found, at = root.Content[i+1], key
		}
	}
	if found == nil {
		return nil, fmt.Errorf("%s: no section %q at the top level of the file", path, section)
	}
	return found, nil
}

// isEmpty reports whether the node is null.
func isEmpty(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// yamlEntry returns the entry of a key, without its last line.
func yamlEntry(key, value *yaml.Node) Entry {
	e := Entry{Line: key.Line, EndLine: key.Line}
	switch {
	case key.Tag == "!!merge":
		e.Fault = "a merge key; write out every name"
	case key.Kind != yaml.ScalarNode || !isPlain(key) || bundle.CheckName(key.Value) != nil:
		e.Fault = fmt.Sprintf("not the name of a secret; want at most %d letters, digits and _, not starting with a digit", bundle.MaxName)
	default:
		e.Name = key.Value
		e.Fault = yamlFault(value)
	}
	if e.Fault == "" {
		e.Value = bundle.NewValue(value.Value)
	}
	return e
}

// isPlain reports whether a node has no alias, anchor or tag.
func isPlain(n *yaml.Node) bool {
	return n.Kind != yaml.AliasNode && n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 && (!strings.HasPrefix(n.Tag, "!") || strings.HasPrefix(n.Tag, "!!"))
}

// yamlFault returns the reason why a node is not a plain value, or "".
func yamlFault(n *yaml.Node) string {
	switch {
	case !isPlain(n):
		return "an anchor, an alias or a tag; write the value out"
	case n.Kind != yaml.ScalarNode:
		return "a mapping or a list; only plain values can be moved"
	case n.Tag == "!!null":
		return `no value; write "" for an empty one`
	}
	return ""
}

// extent returns the last line of a value, or the reason why its entry cannot be
// removed by lines. A comment on its last line belongs to the entry; comments below
// do not.
func extent(lines []string, key, value *yaml.Node) (end int, byHand string) {
	indent := indentation(lines[key.Line-1])
	if key.Column != indent+1 {
		return 0, "it does not start at the beginning of its line"
	}
	switch {
	case value.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		return blockEnd(lines, value, indent), ""
	case value.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		if end = quotedEnd(lines, value); end == 0 {
			return 0, "more text follows on its line"
		}
		return end, ""
	}
	// A plain value continues with each line that is indented more, up to a comment.
	end = value.Line
	for n := end + 1; n <= len(lines); n++ {
		text := strings.TrimSpace(lines[n-1])
		if text == "" {
			continue
		}
		if indentation(lines[n-1]) <= indent || text[0] == '#' || hasComment(lines[end-1]) {
			break
		}
		end = n
	}
	return end, ""
}

func indentation(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }

// hasComment reports whether a line of a plain value ends in a comment, which also
// ends the value.
func hasComment(line string) bool {
	return strings.Contains(line, " #") || strings.Contains(line, "\t#")
}

// blockEnd returns the last line of a literal or folded value. Its header is on the
// line of the node.
func blockEnd(lines []string, n *yaml.Node, indent int) int {
	header := string([]rune(lines[n.Line-1])[n.Column-1:])
	header, _, _ = strings.Cut(header, " ")
	content := 0 // the indentation of the text; a digit in the header sets it
	if i := strings.IndexAny(header, "123456789"); i >= 0 {
		content = indent + int(header[i]-'0')
	}
	end := n.Line
	for line := n.Line + 1; line <= len(lines); line++ {
		text := lines[line-1]
		if strings.TrimSpace(text) == "" {
			if strings.Contains(header, "+") && text != "" {
				end = line // part of the value
			}
			continue
		}
		if content == 0 {
			content = max(indentation(text), indent+1)
		}
		if indentation(text) < content {
			break
		}
		end = line
	}
	return end
}

// quotedEnd returns the line of the closing quote of a value that starts at the node,
// or 0 if text other than a comment follows it.
func quotedEnd(lines []string, n *yaml.Node) int {
	first := []rune(lines[n.Line-1])
	if n.Column > len(first) {
		return 0
	}
	quote := first[n.Column-1]
	if quote != '\'' && quote != '"' {
		return 0
	}
	text := string(first[n.Column:])
	for line := n.Line; ; {
		i := strings.IndexAny(text, string(quote)+`\`)
		switch {
		case i < 0:
			if line++; line > len(lines) {
				return 0
			}
			text = lines[line-1]
		case text[i] == '\\' && quote == '"':
			text = text[min(i+2, len(text)):]
		case text[i] == '\\':
			text = text[i+1:]
		case quote == '\'' && strings.HasPrefix(text[i:], "''"):
			text = text[i+2:]
		default:
			rest := strings.TrimSpace(text[i+1:])
			if rest != "" && (rest[0] != '#' || strings.HasPrefix(text[i+1:], "#")) {
				return 0
			}
			return line
		}
	}
}

// cutYAML returns the content of a YAML file without the lines of some of its
// entries.
func cutYAML(content string, gone []Entry) (string, error) {
	lines := map[int]bool{}
	for _, e := range gone {
		for line := e.Line; line <= e.EndLine; line++ {
			lines[line] = true
		}
	}
	rest, mark := strings.CutPrefix(content, byteOrderMark)
	var out strings.Builder
	if mark {
		out.WriteString(byteOrderMark)
	}
	var line int
	for text := range strings.Lines(rest) {
		if line++; !lines[line] {
			out.WriteString(text)
		}
	}
	return out.String(), nil
}
