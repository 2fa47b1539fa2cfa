package fit

import "fmt"

// Numbers of MySQL's errors and warnings.
const (
	outOfRange = 1264
	truncated  = 1265
	wrongTime  = 1292
	wrongValue = 1366
	tooLong    = 1406
)

// Problem is what was lost of a value.
type Problem struct {
	// Warning is the number of the warning, Error that of the error of strict mode.
	// Error is 0 where even strict mode has only a note.
	Warning, Error uint16
	kind, given    string
	number         bool // the text stood for a number
}

// longestGiven is how many bytes of a value MySQL's messages show.
const longestGiven = 128

func outside() *Problem   { return &Problem{Warning: outOfRange, Error: outOfRange} }
func cut() *Problem       { return &Problem{Warning: truncated, Error: truncated} }
func cutText() *Problem   { return &Problem{Warning: truncated, Error: tooLong} }
func cutBits() *Problem   { return &Problem{Warning: outOfRange, Error: tooLong} }
func noteOfCut() *Problem { return &Problem{Warning: truncated} }
func noNumber(kind, given string) *Problem {
	return &Problem{Warning: wrongValue, Error: wrongValue, kind: kind, given: given, number: true}
}

// badTime is for a text that is no date or time: warning is what it is without strict mode.
func badTime(warning uint16, kind, given string) *Problem {
	return &Problem{Warning: warning, Error: wrongTime, kind: kind, given: given}
}

// WrongText is for a text with bytes or characters that are none of its character set; given
// is how the message shows it.
func WrongText(given string) *Problem {
	return &Problem{Warning: wrongValue, Error: wrongValue, kind: "string", given: given}
}

// IsNumber says whether a number was expected and something else given.
func (p *Problem) IsNumber() bool { return p.number }

// Text is MySQL's message of this number (Warning or Error) for a column and a row,
// counted from 1.
func (p *Problem) Text(code uint16, column string, row int64) string {
	given := p.given
	if len(given) > longestGiven {
		given = given[:longestGiven]
	}
	switch code {
	case outOfRange:
		return fmt.Sprintf("Out of range value for column '%s' at row %d", column, row)
	case invalidTimestamp:
		return fmt.Sprintf("Invalid TIMESTAMP value in column '%s' at row %d", column, row)
	case tooLong:
		return fmt.Sprintf("Data too long for column '%s' at row %d", column, row)
	case wrongTime, wrongValue:
		return fmt.Sprintf("Incorrect %s value: '%s' for column '%s' at row %d", p.kind, given, column, row)
	}
	return fmt.Sprintf("Data truncated for column '%s' at row %d", column, row)
}
