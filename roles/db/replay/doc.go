// Package replay brings a restored database forward by a binary log: to the log's end,
// or to just before a moment or a transaction.
//
// It owns where to stop and what the log must be like: everything that is needed is read
// and checked once before anything is restored, so that a damaged, missing or too short
// log is refused while there is still nothing to take back. What transactions do is
// package apply's.
package replay
