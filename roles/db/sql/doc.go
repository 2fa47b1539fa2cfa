// Package sql runs SQL for the db role: it joins go-mysql-server (parser, planner,
// executor) to the store and its transactions (roles/db/store, roles/db/txn) and is
// the Engine of the protocol front (roles/db/wire).
//
// It owns what a statement may see and when it locks, the translation of tables,
// indexes, constraints, views and accounts to the catalog and back, the limits of
// this version (each refused by name) and MySQL's error numbers.
//
// It never touches keys, files or sockets, and never commits beside a transaction of
// package txn.
//
// In this package gms is go-mysql-server's package sql.
package sql
