// Package seed copies a running database to another node: a donor holds a checkpoint of its
// store and gives out the files, a recipient fetches them and fills its data directory.
//
// The copy travels over an ordinary connection of the protocol on TLS, as three statements of
// our own: SEED BEGIN, SEED FILE, SEED END. Nothing else listens. A cut connection resumes by
// file: the donor keeps a checkpoint for a while after its connection has ended, the recipient
// keeps every file that was whole. See docs/decisions/105-seeds-are-statements.md.
//
// It never reads SQL, never decides who may ask (roles/db/sql does), and opens no store but
// the copy.
package seed
