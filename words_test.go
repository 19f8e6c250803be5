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
var oldWords = regexp.MustCompile(`(?i)\b(mend(s|ed|ing)?|anew|somebody|nobody|whoever|whosoever|that is none|for ever|lest|therein|whereupon|hitherto)\b`)

// oldSubject matches a sentence, or the part after a semicolon, whose subject is a
// clause: "What …", "Who …". Questions are exempt.
var oldSubject = regexp.MustCompile(`^(?i:what|who|whatever|that which)\s`)

// allowedWords are the exceptions: lines that contain text may use an old word or
// subject. An exception that matches no line fails the test.
var allowedWords = []struct{ file, text, why string }{
	{"words_test.go", "mend(s|ed|ing)?", "the list"},
	{"internal/postgrestest/process_linux.go", `range []string{"postgres", `, "the name of a user"},
}

// TestWords holds the words of Go files, documentation and configuration to plain
// English.
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
				for i, line := range strings.Split(f.text(t, name), "\n") {
					if oldWords.MatchString(line) {
						report(name, i+1, strings.TrimSpace(line))
					}
				}
				switch filepath.Ext(name) {
				case ".go":
				case ".md":
					for _, p := range markdownParagraphs(f.text(t, name)) {
						for _, s := range oldSubjects(p.text) {
							report(name, p.line, s)
						}
					}
					continue
				default:
					continue
				}
				for _, group := range f.files[name].Comments {
					for paragraph := range strings.SplitSeq(group.Text(), "\n\n") {
						for _, s := range oldSubjects(paragraph) {
							report(name, fset.Position(group.Pos()).Line, s)
						}
					}
				}
				ast.Inspect(f.files[name], func(n ast.Node) bool {
					if literal, ok := n.(*ast.BasicLit); ok && literal.Kind == token.STRING {
						if text, err := strconv.Unquote(literal.Value); err == nil {
							for _, s := range oldSubjects(text) {
								report(name, fset.Position(literal.Pos()).Line, s)
							}
						}
					}
					return true
				})
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
	for sentence := range strings.SplitAfterSeq(text, ". ") {
		for part := range strings.SplitSeq(sentence, "; ") {
			part = strings.TrimSpace(part)
			if oldSubject.MatchString(part) && !strings.Contains(part, "?") {
				found = append(found, part)
			}
		}
	}
	return found
}

type paragraph struct {
	line int
	text string
}

// markdownParagraphs returns the paragraphs and list items of a page. It leaves out code
// blocks, headings and tables.
func markdownParagraphs(page string) (list []paragraph) {
	code, open := false, false
	for i, line := range strings.Split(page, "\n") {
		trimmed := strings.TrimSpace(line)
		switch {
		case strings.HasPrefix(trimmed, "```"):
			code, open = !code, false
		case code, trimmed == "", strings.HasPrefix(trimmed, "#"), strings.HasPrefix(trimmed, "|"):
			open = false
		case strings.HasPrefix(trimmed, "- ") || strings.HasPrefix(trimmed, "* ") || !open:
			list = append(list, paragraph{i + 1, strings.TrimLeft(trimmed, "-* ")})
			open = true
		default:
			list[len(list)-1].text += " " + trimmed
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
		"What is it?":                            nil,
		"It says what it needs and who asks.":    nil,
		"Whatsoever, a whole word counts.":       nil,
	} {
		require.Equal(t, want, oldSubjects(text), text)
	}
}
