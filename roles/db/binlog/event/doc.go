// Package event writes and reads the events of MySQL's binary log, version 4, as
// MySQL 8 writes them: format description, previous GTIDs, GTID, query, table map with
// full metadata, rows (version 2), XID, rotate, each with a CRC-32.
//
// While a transaction is collected, its events have neither position nor checksum:
// the size in their header counts the four bytes of the checksum, which Finish appends
// when the event leaves for a file or a replica.
//
// It is format only: it opens no file, knows no transaction, and takes types and values
// as package store defines them. The layouts follow the MySQL 8.0 source documentation
// (mysql::binlog::event: "Binary log event format").
package event
