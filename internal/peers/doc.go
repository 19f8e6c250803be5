// Package peers holds programs that compare parts of Satchel with other libraries for
// the same purpose. It is a separate module, so that users of Satchel do not download
// these libraries.
//
//	go run ./keyring      // the table of docs/keyrings.md
//	go run ./redaction    // the tables of docs/redaction.md
//	go run ./client       // the table of docs/refresh.md
package peers
