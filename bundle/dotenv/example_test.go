package dotenv_test

import (
	"fmt"

	"github.com/satchelhq/satchel/bundle"
	"github.com/satchelhq/satchel/bundle/dotenv"
)

func Example() {
	entries, err := dotenv.Parse(".env", []byte("# for the tests\nexport TOKEN='abc $5'\nEMPTY=\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, e := range entries {
		fmt.Println(e.Line, e.Name, e.Value, len(e.Value.Reveal()))
	}
	// Output:
	// 2 TOKEN [REDACTED] 6
	// 3 EMPTY [REDACTED] 0
}

func ExampleParse_syntaxError() {
	_, err := dotenv.Parse(".env", []byte("A=1\nTOKEN = abc\n"))
	fmt.Println(err)
	// Output: .env:2: whitespace before "="; remove it
}

func ExampleAppend() {
	file, err := dotenv.Append([]byte("A=1\n"), dotenv.Entry{Name: "TITLE", Value: bundle.NewValue("two words")})
	fmt.Printf("%s%v\n", file, err)
	// Output:
	// A=1
	// TITLE='two words'
	// <nil>
}

func ExampleSet() {
	file := []byte("# for the tests\nTITLE=old # a comment\nexport MODE='dev'\n")
	file, err := dotenv.Set(file, "TITLE", bundle.NewValue("two words"))
	fmt.Printf("%s%v\n", file, err)
	// Output:
	// # for the tests
	// TITLE='two words'
	// export MODE='dev'
	// <nil>
}

func ExampleCut() {
	file, err := dotenv.Cut([]byte("# for the tests\nTITLE='two\nlines'\nMODE=dev\n"), "TITLE")
	fmt.Printf("%s%v\n", file, err)
	// Output:
	// # for the tests
	// MODE=dev
	// <nil>
}
