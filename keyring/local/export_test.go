package local

// Internals for tests.

// ParseFile returns the key in the content of a key file.
var ParseFile = parseFile
