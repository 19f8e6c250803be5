package redact

import (
	"encoding/json"
	"io"
	"net/url"
	"strings"
	"unicode"
)

// jsonLeaves returns the strings in the JSON text s that are masked by themselves.
// ok is false if s is not a JSON object, array or string.
func jsonLeaves(s string) (leaves []string, ok bool) {
	if s == "" || strings.IndexByte(`{["`, s[0]) < 0 {
		return nil, false
	}
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	// within are the open objects and arrays; key is the last key of an object
	// and, in an array, that of the object around it.
	type level struct {
		key           string
		object, value bool // value: the next token is a value, not a key
	}
	within := []level{{value: true}}
	for {
		token, err := decoder.Token()
		if err == io.EOF {
			return leaves, len(within) == 1
		}
		if err != nil {
			return nil, false
		}
		top := &within[len(within)-1]
		switch token := token.(type) {
		case json.Delim:
			switch token {
			case '{', '[':
				top.value = !top.object
				within = append(within, level{key: top.key, object: token == '{', value: token == '['})
			default:
				within = within[:len(within)-1]
			}
		case string:
			if !top.value {
				top.key, top.value = token, true
				continue
			}
			top.value = !top.object
			if len(token) >= minPart && !publicLeaf(top.key, token) {
				leaves = append(leaves, token)
			}
		default:
			top.value = !top.object
		}
	}
}

// publicLeaf reports whether a leaf under key is the same in the secrets of many
// people, and so occurs in ordinary output. A URL with user information or a query,
// or an invalid one, is not public.
func publicLeaf(key, leaf string) bool {
	switch {
	case key == "type", key == "universe_domain":
		return true
	case strings.HasSuffix(key, "_uri"), strings.HasSuffix(key, "_url"):
		u, err := url.Parse(leaf)
		return err == nil && u.User == nil && u.RawQuery == ""
	}
	return false
}

// lineEnds end lines. YAML indents the line after each of them.
const lineEnds = "\r\n\u0085\u2028\u2029"

// secretLines returns the lines of a multi-line value that are masked by
// themselves: those with at least minPart bytes without surrounding whitespace
// that are not boilerplate.
func secretLines(s string) []string {
	if !strings.ContainsAny(s, lineEnds) {
		return nil
	}
	var lines []string
	for line := range strings.FieldsFuncSeq(s, func(r rune) bool { return strings.ContainsRune(lineEnds, r) }) {
		line = strings.TrimSpace(line)
		if len(line) >= minPart && !boilerplate(line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// commonKeys are settings whose lines are the same in the files of many people.
var commonKeys = map[string]bool{
	"apiversion": true, "kind": true, "type": true, "version": true, "region": true, "output": true,
	"proc-type": true, "comment": true, "hash": true, "charset": true, "preferences": true,
}

// boilerplate reports whether a line of a value occurs in ordinary output too,
// such as the frame of a PEM block, a bracket or a key without its value.
func boilerplate(line string) bool {
	switch {
	case !strings.ContainsFunc(line, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }):
		return true // a rule, or brackets
	case isFrame(line, "-----"), isFrame(line, "----"):
		return true
	case strings.HasPrefix(line, "#!") && !strings.Contains(line, "="):
		return true
	case strings.HasPrefix(line, "<?xml ") && strings.Index(line, ">") == len(line)-1:
		return true
	case line[0] == '[' && line[len(line)-1] == ']' && isWord(line[1:len(line)-1]):
		return true // the heading of a section
	}
	key, value, ok := strings.Cut(strings.TrimLeft(line, "- "), ":")
	if ok && isLetters(key) && (strings.TrimSpace(value) == "" || strings.TrimSpace(value) == "{}") {
		return true // a key without its value
	}
	if !ok {
		// Base64 ends with = too, so a value must follow.
		key, value, ok = strings.Cut(line, "=")
	}
	return ok && commonKeys[strings.ToLower(strings.TrimSpace(key))] && len(strings.TrimSpace(value)) < 16
}

// isFrame reports whether line is the first or last line of a block such as PEM,
// with the given dashes on both sides and no other content.
func isFrame(line, dashes string) bool {
	label, ok := strings.CutPrefix(line, dashes)
	if !ok {
		return false
	}
	label, ok = strings.CutSuffix(label, dashes)
	label = strings.TrimSpace(label)
	return ok && (strings.HasPrefix(label, "BEGIN ") || strings.HasPrefix(label, "END ")) && !strings.Contains(label, "--")
}

// isWord reports whether s could be the name of a section.
func isWord(s string) bool {
	for i := range len(s) {
		if !isAlnum(s[i]) && strings.IndexByte("_-. ", s[i]) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 40
}

// isLetters reports whether s could be the name of a setting.
func isLetters(s string) bool {
	s = strings.Trim(s, `"'`)
	for i := range len(s) {
		if c := s[i] | 0x20; (c < 'a' || c > 'z') && strings.IndexByte("_-.", s[i]) < 0 {
			return false
		}
	}
	return s != "" && len(s) <= 40
}
