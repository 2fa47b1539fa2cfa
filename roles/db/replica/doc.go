// Package replica follows another server: it connects to the source, asks for its binary log
// from where this server stands, and has package apply repeat what comes.
//
// It owns the settings of CHANGE REPLICATION SOURCE, which are kept in the store, the
// connection, and when to connect again. Sources are servers of this kind and MySQL, by GTID
// or by file and position, and MariaDB, by its own GTIDs or by file and position. How far the
// source was followed is stored in the batch of what was followed: after a crash there is
// nothing to compare.
//
// It repairs nothing. Data that is not what it was on the source stops it, and it says so
// until it is told to follow anew.
//
// Of a server of its site it keeps what it receives in the relay log (package relay), acknowledges it there, and applies it behind
// that, also while the source is away. Of others what is received and not applied yet is in memory, and bounded: a slow disk
// here makes the source wait, through TCP.
//
// Protocol: MySQL's client protocol (dev.mysql.com, "Client/Server Protocol"), its replication
// protocol, and MariaDB's (mariadb.com/kb, "Replication Protocol").
package replica
