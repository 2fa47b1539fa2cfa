// Package accesslog writes one line per ended request or TCP session.
//
// A loop formats the line and copies it into a ring of its own: no lock, no
// allocation, no system call. One goroutine empties the rings into the file, at most
// half a second after a line was written or as soon as a ring holds 64 KiB. A disk that
// is too slow costs lines, never requests: a ring that is full drops the new line,
// counts it, and the loss is logged once until it has passed.
//
// The package never rotates files; it opens its file anew at each reload.
package accesslog
