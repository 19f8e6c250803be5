package local

// What tests see of the inside.

// ParseFile returns the key in a key file's content.
var ParseFile = parseFile
