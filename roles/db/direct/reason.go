package direct

// Reason says why a statement is left to the planner.
type Reason uint8

// The reasons, in the order of their names in metrics.
const (
	None     Reason = iota // it is not
	Off                    // SET direct = 0
	Session                // a setting, lock or temporary table of the session
	Words                  // a text that Scan does not take apart: comments, hex literals, several statements …
	Shape                  // a statement, clause or expression outside the list
	Table                  // no stored table: a view, information_schema …
	Column                 // a type whose comparison or conversion is the planner's
	Index                  // the planner reads in a way that is not taken over
	Coerced                // a literal that would have to be coerced
	Guarded                // triggers, foreign keys, checks, generated columns
	Changed                // the definition of the table is not that of the plan
	Rejected               // the planner found an error
	reasons_
)

var reasonNames = [reasons_]string{"none", "off", "session", "text", "shape", "table", "column", "index", "coerced", "guarded", "changed", "rejected"}

// String is the reason's name in metrics.
func (r Reason) String() string { return reasonNames[r] }

// Reasons is the number of reasons: each is less.
const Reasons = int(reasons_)
