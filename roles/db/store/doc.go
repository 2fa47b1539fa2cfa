// Package store owns the db role's durable state: the Pebble store of one node,
// its key and row formats, and the catalog of databases, tables and named objects.
//
// It turns typed SQL values into order-preserving keys and compact rows and back,
// guards the data directory (owner, format version, free space) and says what is
// stored where; docs/db-storage.md has the byte tables.
//
// It never decides what a transaction may see or write, and never commits: that is
// package txn, the only writer of rows. It knows neither SQL text nor the protocol.
package store
