package event

import "testing"

// Rows follow behind a CREATE TABLE … SELECT as servers write it, and behind nothing else that ends in its words.
func TestRowsFollow(t *testing.T) {
	for text, plain := range map[string]string{
		"CREATE TABLE `d`.`t` (\n  `a` int\n) ENGINE=InnoDB START TRANSACTION": "CREATE TABLE `d`.`t` (\n  `a` int\n) ENGINE=InnoDB",
		"create or replace temporary table t (a int) start\ttransaction ; ":    "create or replace temporary table t (a int)",
		"CREATE TABLE t (a INT) -- start transaction START TRANSACTION":        "CREATE TABLE t (a INT) --",

		"CREATE TABLE t (a INT)":                                      "",
		"CREATE TABLE t (a INT) COMMENT 'start transaction'":          "",
		"CREATE TABLE t (a INT) -- start transaction/**/":             "",
		"CREATE PROCEDURE p() START TRANSACTION":                      "",
		"CREATE EVENT e ON SCHEDULE EVERY 1 DAY DO START TRANSACTION": "",
		"ALTER TABLE t ADD c INT -- start transaction":                "",
		"CREATE TABLES START TRANSACTION":                             "",
		"START TRANSACTION":                                           "",
		"COMMIT":                                                      "",
	} {
		q := Query{Text: text}
		follow := plain != ""
		if !follow {
			plain = text
		}
		if q.RowsFollow() != follow || q.Plain() != plain {
			t.Errorf("%s: rows follow: %v; plain is %s", text, q.RowsFollow(), q.Plain())
		}
	}
	if q := (Query{Text: "BEGIN"}); !q.RowsFollow() || q.Plain() != "BEGIN" {
		t.Error("no rows follow behind BEGIN")
	}
}
