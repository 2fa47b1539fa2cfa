// Package incarnation tells transactions apart that have one GTID and are not the same.
//
// A server numbers its transactions one after another. If its disk is taken back to an earlier state, as by the restore of a
// snapshot of a virtual machine, it gives numbers a second time. So each start of a server is an incarnation,
// with a random name and the number of the first transaction that it can make; whoever follows the server keeps the list
// of its incarnations before it applies what they have made. Where two lists differ, the transactions from there on are
// different ones: decision 114.
//
// It decides nothing. Servers of other kinds keep no such list, and nothing is said of their transactions.
package incarnation
