package hashivault

// What tests see of the inside.

// VersionOf returns the N of "vault:vN:" and base64, and whether blob is that.
var VersionOf = versionOf
