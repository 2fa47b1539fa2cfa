// Package rewind takes the last transactions of a server back that the primary of a higher
// epoch does not have, so that the server can follow it.
//
// The transactions are copied into a file of the format of the binary log. Their rows are then undone, the
// newest first, each compared with what the log says it has become, in one batch with the log that is shorter by them,
// the executed set, and a new server UUID: their numbers are never given again. A crash leaves the server as it was before, or
// after, and the file at most.
//
// It undoes rows only. Where a statement that defines something is among the transactions, where they are not the end of
// the log, are larger than one batch, or do not fit the data, it refuses and nothing changes.
package rewind
