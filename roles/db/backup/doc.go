// Package backup makes physical backups of the database while it runs, restores them and
// checks stored data.
//
// A backup is a directory with a copy of the store, laid out as a data directory is, and
// BACKUP.json, which names every file with its SHA-256 and is written last: a directory
// without it is no backup. A restore fills a directory that is marked as unfinished until
// the last step, so that neither half a backup nor half a restore is ever taken for whole.
//
// It starts no server and keeps no schedule; binary logs are not part of a backup.
package backup
