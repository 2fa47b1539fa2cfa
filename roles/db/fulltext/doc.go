// Package fulltext is what FULLTEXT indexes and MATCH … AGAINST know of words: how a text
// falls into them, which of them are indexed, how a search reads, and what a document is
// worth to it. It follows InnoDB (MySQL 8 manual, "Full-Text Search Functions"), knows no
// store, and compares words by whatever order of a collation it is given.
package fulltext
