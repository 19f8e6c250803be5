package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/satchelhq/satchel/bundle"
)

const (
	alnum   = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
	symbols = alnum + `!@#$%^&*()-_=+[]{};:,.<>/?|~'"\`
)

// secrets returns n random secrets, the same ones for the same n.
func secrets(n int, value func(rng *rand.Rand, i int) string) []bundle.Secret {
	rng := rand.New(rand.NewPCG(uint64(n), 7))
	list := make([]bundle.Secret, n)
	for i := range list {
		list[i] = bundle.Secret{Name: fmt.Sprint("SECRET_", i), Value: bundle.NewValue(value(rng, i))}
	}
	return list
}

// tokens are values of 40 letters and digits.
func tokens(rng *rand.Rand, _ int) string { return draw(rng, alnum, 40) }

// mixed are values of many shapes, a tenth of them passwords of 8 characters.
func mixed(rng *rand.Rand, i int) string {
	switch i % 10 {
	case 0:
		return draw(rng, alnum, 8)
	case 1:
		return draw(rng, symbols, 24)
	case 2:
		return draw(rng, alnum, 12)
	case 3:
		return draw(rng, "0123456789abcdef", 64)
	case 4:
		return "sk-ant-api03-" + draw(rng, alnum, 90)
	}
	return draw(rng, alnum, 20+i%5*10)
}

func draw(rng *rand.Rand, alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[rng.IntN(len(alphabet))]
	}
	return string(b)
}

const inputSize = 1 << 20

// ordinary returns a log of builds: the files in dir, repeated.
func ordinary(dir string) ([]byte, error) {
	names, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s has no logs", dir)
	}
	var all []byte
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, text...)
	}
	return bytes.Repeat(all, inputSize/len(all)+1)[:inputSize], nil
}

// others returns other inputs by name.
func others(log []byte, list []bundle.Secret) map[string][]byte {
	rng := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, inputSize)
	for i := range noise {
		noise[i] = byte(rng.Uint32())
	}
	value := list[0].Value.Reveal()
	start := value[:len(value)-1]
	var full bytes.Buffer
	for i, line := range bytes.SplitAfter(log, []byte("\n")) {
		if i%10 == 9 {
			full.WriteString("with " + list[i%len(list)].Value.Reveal() + " in it\n")
		}
		full.Write(line)
	}
	return map[string][]byte{
		"base64, 76 columns":                  columns(base64.StdEncoding.EncodeToString(noise)),
		"hex, 76 columns":                     columns(hex.EncodeToString(noise)),
		"binary":                              noise,
		"a secret on every tenth line":        full.Bytes(),
		"the beginning of a secret, repeated": []byte(strings.Repeat(start, inputSize/len(start))),
	}
}

func columns(text string) []byte {
	var b bytes.Buffer
	for at := 0; b.Len() < inputSize; at += 76 {
		b.WriteString(text[at:at+76] + "\n")
	}
	return b.Bytes()[:inputSize]
}
