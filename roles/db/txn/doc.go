// Package txn owns transactions over package store: write sets, views, locks, the commit
// queue and the executed position. It is the only writer of rows, index entries and
// descriptors.
//
// A commit goes encode → queue → leader: one batch and one sync for up to 256
// transactions, a snapshot before the next group is applied; then, off the leader and
// in order: publish the view, release the locks, answer. Nobody sees what a crash
// could take back.
//
// It never parses SQL and knows no session; it maps no error to a protocol code (the
// comment of each error names the MySQL code that fits).
package txn
