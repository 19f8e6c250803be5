package satchel_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// oldWords matches words that this project does not use.
var oldWords = regexp.MustCompile(`(?i)\b(mend(s|ed|ing)?|anew|somebody|nobody|whoever|whosoever|lest|therein|whereupon|hitherto)\b`)

// oldPhrases matches those of several words, which can be on two lines.
var oldPhrases = regexp.MustCompile(`(?i)\b(that is none|for ever)\b`)

// oldSubject matches a sentence, or the part after a semicolon, whose subject
// is a clause: "What …", "Who …". Questions are exempt.
var oldSubject = regexp.MustCompile(`^(?i:(what|who)(['’]s)?|whatever|that which)\s`)

// sentenceEnd matches the end of a sentence, or of a part of one, with the space after
// it.
var sentenceEnd = regexp.MustCompile(`[.!?;]["'”’)\]]*\s+`)

// allowedWords are the exceptions: lines that contain text may use an old word or
// subject. An exception that matches no line fails the test.
var allowedWords = []struct{ file, text, why string }{
	{"words_test.go", "", "the lists and their tests"},
	{"internal/postgrestest/process_linux.go", `range []string{"postgres", `, "the name of a user"},
}

// TestWords checks that Go files, documentation and configuration use plain English.
func TestWords(t *testing.T) {
	fset, list := folders(t)
	used := make([]bool, len(allowedWords))
	for _, f := range list {
		t.Run(f.path, func(t *testing.T) {
			var found []string
			report := func(file string, line int, text string) {
				path := strings.TrimPrefix(f.path+"/"+file, "./")
				i := slices.IndexFunc(allowedWords, func(a struct{ file, text, why string }) bool {
					return a.file == path && strings.Contains(text, a.text)
				})
				if i >= 0 {
					used[i] = true
					return
				}
				found = append(found, fmt.Sprintf("%s:%d: %s", path, line, text))
			}
			for _, name := range f.names {
				text := f.text(t, name)
				for i, line := range strings.Split(text, "\n") {
					if oldWords.MatchString(line) {
						report(name, i+1, strings.TrimSpace(line))
					}
				}
				check := func(list []paragraph, first int) {
					for _, p := range list {
						for _, s := range append(oldSubjects(p.text), oldPhrases.FindAllString(p.text, -1)...) {
							report(name, first+p.line-1, s)
						}
					}
				}
				switch file := f.files[name]; {
				case filepath.Ext(name) == ".md":
					check(paragraphs(text), 1)
				case file == nil:
					check(configParagraphs(text), 1)
				default:
					for _, group := range file.Comments {
						check(paragraphs(group.Text()), fset.Position(group.Pos()).Line)
					}
					ast.Inspect(file, func(n ast.Node) bool {
						if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
							text, err := strconv.Unquote(literal.Value)
							require.NoError(t, err)
							check(paragraphs(text), fset.Position(literal.Pos()).Line)
						}
						return true
					})
				}
			}
			require.Empty(t, strings.Join(found, "\n"), "these lines use banned words, or sentences whose subject is a clause; see Words in CONTRIBUTING.md")
		})
	}
	t.Run("each exception occurs", func(t *testing.T) {
		for i, a := range allowedWords {
			require.True(t, used[i], "no line of %s contains %q: remove the exception", a.file, a.text)
		}
	})
}

// oldSubjects returns the sentences of text, and the parts after a semicolon, that
// match oldSubject.
func oldSubjects(text string) (found []string) {
	text = strings.Join(strings.Fields(text), " ")
	for text != "" {
		part := text
		if end := sentenceEnd.FindStringIndex(text); end != nil {
			part = text[:end[1]]
		}
		text = text[len(part):]
		part = strings.TrimSpace(part)
		if oldSubject.MatchString(strings.TrimLeft(part, "\"'“‘([*_")) && !strings.Contains(part, "?") {
			found = append(found, part)
		}
	}
	return found
}

type paragraph struct {
	line int
	text string
}

// listItem matches the mark of a list item.
var listItem = regexp.MustCompile(`^([-*+]|\d+[.)])\s+`)

// paragraphs returns the paragraphs, list items and table cells of a page, a comment or
// a string. It leaves out code blocks and headings.
func paragraphs(page string) (list []paragraph) {
	code, open := false, false
	for i, line := range strings.Split(page, "\n") {
		trimmed := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "<!--"))
		item := listItem.FindString(trimmed)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			code, open = !code, false
		case code, trimmed == "", strings.HasPrefix(trimmed, "#"):
			open = false
		case strings.HasPrefix(trimmed, "|"):
			for cell := range strings.SplitSeq(trimmed, "|") {
				if cell = strings.TrimSpace(cell); cell != "" {
					list = append(list, paragraph{i + 1, cell})
				}
			}
			open = false
		case item != "" || !open:
			list = append(list, paragraph{i + 1, trimmed[len(item):]})
			open = true
		default:
			list[len(list)-1].text += " " + trimmed
		}
	}
	return list
}

var (
	// configKey matches the start of a line of YAML up to its value.
	configKey = regexp.MustCompile(`^\s*(- )?[\w.-]+:(\s+[|>][+-]?$|\s+|$)`)
	// configText matches a string in quotes, and a text between two tags.
	configText = regexp.MustCompile(`"([^"]+)"|'([^']+)'|>([^<>]+)<`)
)

// configParagraphs returns the comments, values and strings of a file of YAML, shell,
// make or SVG. A string is returned a second time by itself.
func configParagraphs(text string) (list []paragraph) {
	open, wasComment := false, false
	for i, line := range strings.Split(text, "\n") {
		if strings.HasPrefix(line, "#!") {
			continue
		}
		for _, m := range configText.FindAllStringSubmatch(line, -1) {
			list = append(list, paragraph{i + 1, m[1] + m[2] + m[3]})
			open = false
		}
		code, comment, isComment := strings.Cut(" "+line, " #")
		isComment = isComment && strings.TrimSpace(code) == ""
		if comment != "" && !isComment {
			list = append(list, paragraph{i + 1, strings.TrimLeft(comment, "# ")})
			open = false
		}
		value := strings.TrimSpace(strings.TrimLeft(comment, "# "))
		if !isComment {
			key := configKey.FindString(code)
			value = strings.TrimSpace(code[len(key):])
			open = open && key == ""
		}
		open = open && isComment == wasComment && !listItem.MatchString(value)
		wasComment = isComment
		switch value = listItem.ReplaceAllString(value, ""); {
		case value == "":
			open = false
		case open:
			list[len(list)-1].text += " " + value
		default:
			list = append(list, paragraph{i + 1, value})
			open = true
		}
	}
	return list
}

func TestWords_OldSubjects(t *testing.T) {
	for text, want := range map[string][]string{
		"It works. What fails is logged. Done.":  {"What fails is logged."},
		"It is closed; what waits gets an error": {"what waits gets an error"},
		"what is left":                           {"what is left"},
		"Who asks\nis not known.":                {"Who asks is not known."},
		"Is it so? What fails is logged.":        {"What fails is logged."},
		"It works. (What fails is logged.)":      {"(What fails is logged.)"},
		"It is \"so.\" What's left is logged.":   {"What's left is logged."},
		"What is it?":                            nil,
		"It says what it needs and who asks.":    nil,
		"Whatsoever, a whole word counts.":       nil,
	} {
		require.Equal(t, want, oldSubjects(text), text)
	}
}

func TestWords_Paragraphs(t *testing.T) {
	require.Equal(t, []paragraph{{2, "one two"}, {4, "three four"}, {6, "five"}, {8, "six -->"}},
		paragraphs("# Heading\none\ntwo\n- three\n  four\n1. five\n\n<!-- six -->"))
	require.Equal(t, []paragraph{{1, "one"}, {5, "two"}, {6, "table"}, {6, "what fails"}}, paragraphs("one\n```\ncode\n```\ntwo\n| table | what fails |"))
	require.Equal(t, []paragraph{{1, "one two"}, {3, "three four"}, {6, "five six"}, {8, "seven"}},
		configParagraphs("# one\n# two\nkey: three\n  four\nkey: |\n  five\n  six\nx: # seven"))
}
