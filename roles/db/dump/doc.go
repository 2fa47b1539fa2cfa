// Package dump sends the binary log to replicas and other readers: what a reader gets
// before, between and instead of the events of the files (the name of each file, format
// descriptions, heartbeats), with or without checksums, and in MariaDB's dialect where the
// reader is one.
//
// It knows which replicas are attached and how far each one is. It speaks no protocol
// (package wire) and checks no privilege (package sql). What it sends is durable here.
//
// It follows the manual of MySQL 8.0 and its COM_BINLOG_DUMP and COM_BINLOG_DUMP_GTID.
package dump
