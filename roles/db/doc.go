// Package db is the database role: it opens the store (store, txn), the SQL engine
// (sql) and the MySQL protocol front (wire) in a child process, makes the databases and
// accounts that the configuration names, and reports health, status and metrics.
//
// It never parses SQL or packets itself, and binds no TCP socket: those come from the
// supervisor. The Unix socket of db.socket is its own, since no other process of the
// role ever runs beside it.
package db
