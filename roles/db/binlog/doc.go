// Package binlog owns the binary log of one node: its tail in the store, written in
// the same batch as the rows that it tells of, the plain MySQL-format files that the
// tail is sealed into, and the index of the files.
//
// The tail is SpaceBinlog of the store: file and offset → events. Offsets are those that
// the events have in the file, so a position never changes its meaning when the events
// move. Every 16 MiB, and when a file ends, the sealer appends the tail to the file,
// makes it durable, and deletes it from the store together with setting the file's
// sealed mark. What a file holds beyond the mark after a crash is cut off: the tail has it.
//
// Readers see what is durable only, never what a crash could take back.
//
// It makes no events (package event does) and decides no order: the commit leader of
// package txn calls Begin, Add, End and Committed, one group after another.
package binlog
