// Package apply repeats transactions of a binary log on a store: for a restore to a
// point in time, and for whoever follows another server.
//
// Rows are written by primary key, or by the best that leads to them, after the image
// before the change was compared with the stored row. Statements are run again with what
// the log says of their session. A transaction keeps its GTID, which goes into the
// executed set and into this server's own log in the batch of its data; one that has been
// executed is skipped, so a log may be read again from anywhere before its end.
//
// It runs no trigger: what these did is in the log. Actions of foreign keys it runs where the
// log says that it does not tell what they did, as that of InnoDB.
// It repairs nothing: what does not fit stops it and is named. It reads no file and no
// network: that is the Source.
package apply
