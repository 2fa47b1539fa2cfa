// Package columntypes lists every type of column that the server takes, with values from one end of its range to the
// other. It is for tests that compare what two servers hold.
package columntypes
