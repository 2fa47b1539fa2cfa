// Package slowlog writes statements that took long in the text format of MySQL's slow query log,
// which mysqldumpslow reads. A statement never waits for the disk: entries go
// through a queue of bounded size, and what does not fit is counted and dropped. The package never
// rotates the file; it opens it anew at each reload.
//
// Format: MySQL 8.0 Reference Manual, 5.4.5 "The Slow Query Log".
package slowlog
