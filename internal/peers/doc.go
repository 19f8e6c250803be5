// Package peers holds programs that run parts of Satchel side by side with other
// libraries for the same purpose. It is a separate module, so that users of Satchel do
// not download those.
//
//	go run ./keyring      // the table of docs/keyrings.md
//	go run ./redaction    // the tables of docs/redaction.md
//	go run ./client       // the table of docs/refresh.md
package peers
