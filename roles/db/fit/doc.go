// Package fit makes of any value what a column of some type stores, as MySQL's fields do
// (sql/field.cc; manual: "Server SQL Modes", "Out-of-Range and Overflow Handling", "Date
// and Time Literals"): numbers are rounded and clipped, texts read as far as they are
// numbers or dates, texts that are too long cut. Each loss is a Problem; whether that is
// a warning or the statement's error is for the caller, who knows sql_mode and IGNORE.
//
// It touches no session, catalog or store, and may be used from many goroutines.
package fit
