// Package direct answers the statements that applications send most without the
// planner: a closed list of shapes over one table, with operators and column types
// where no coercion changes a comparison. It owns what such a statement looks like
// (Text, Compile) and how it runs on a transaction (Plan). Whatever is not on the list
// is refused with a Reason before any data is touched, and goes to the planner, whose
// answers are the measure: names, types, rows, counts and errors are the same.
//
// It never parses SQL beyond telling literals from the rest, checks no privileges and
// begins no transactions: the SQL layer does, and hands over what the planner has made
// of the statement when it came first.
package direct
