package hashivault

// Internals for tests.

// VersionOf returns the N of a blob "vault:vN:" and base64. It reports false for any
// other blob.
var VersionOf = versionOf
