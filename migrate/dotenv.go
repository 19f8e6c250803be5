package migrate

import "github.com/satchelhq/satchel/bundle/dotenv"

// parseDotenv returns the entries of a .env file. They share no lines.
func parseDotenv(path, content string) ([]Entry, error) {
	read, err := dotenv.ParseRepeats(path, []byte(content))
	if err != nil {
		return nil, err
	}
	var entries []Entry
	for _, e := range read {
		entries = append(entries, Entry{Name: e.Name, Value: e.Value, Line: e.Line, EndLine: e.EndLine, literal: e.Literal})
	}
	return entries, nil
}

// cutDotenv returns the content of a .env file without some of its entries.
func cutDotenv(content string, gone []Entry) (string, error) {
	starts := map[int]bool{}
	for _, e := range gone {
		starts[e.Line] = true
	}
	out, err := dotenv.CutFunc([]byte(content), func(e dotenv.Entry) bool { return starts[e.Line] })
	return string(out), err
}
