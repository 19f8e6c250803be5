// Package peers holds programs that run parts of Satchel side by side with
// what others use for the same. It is a module of its own, so that nobody who
// imports Satchel downloads the others.
//
//	go run ./keyring      // the table of docs/keyrings.md
//	go run ./redaction    // the tables of docs/redaction.md
//	go run ./client       // the table of docs/refresh.md
package peers
