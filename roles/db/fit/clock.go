package fit

import "strings"

// clock is a date and a time of day as a text has them, each part as written.
type clock struct {
	year, month, day     int
	hour, minute, second int
	nano                 int
	offset               *int // seconds east of Greenwich, where the text says so
}

// reading is how far a text was a date.
type reading uint8

const (
	whole   reading = iota
	partly          // something follows
	nothing         // it is none
)

func (c clock) isZero() bool {
	c.offset = nil
	return c == clock{}
}

func isPunctuation(c byte) bool {
	return c > ' ' && c < 0x7f && !(c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z')
}

func digitsOf(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

func number(s string) int {
	n := 0
	for i := 0; i < len(s) && n < 1<<24; i++ {
		n = n*10 + int(s[i]-'0')
	}
	return n
}

// readDate reads the forms of a date that MySQL takes: parts between any punctuation, or
// digits alone, with a time of day behind a T or spaces.
func readDate(text string) (c clock, how reading) {
	s := strings.TrimLeft(text, space)
	n := digitsOf(s)
	rest := s[n:]
	if n >= 5 && (rest == "" || rest[0] == '.' || rest[0] == 'T' || strings.Trim(rest, space) == "" || !isPunctuation(rest[0])) {
		return readDigits(s[:n], rest)
	}
	year := n
	parts := [3]*int{&c.year, &c.month, &c.day}
	for i, part := range parts {
		n := digitsOf(s)
		if n == 0 || i == 0 && n > 4 || i > 0 && n > 2 {
			return c, nothing
		}
		*part = number(s[:n])
		s = s[n:]
		if i == 2 {
			break
		}
		if s == "" || !isPunctuation(s[0]) {
			return c, nothing
		}
		s = strings.TrimLeftFunc(s, func(r rune) bool { return r < 0x7f && isPunctuation(byte(r)) })
	}
	if year <= 2 {
		c.year = century(c.year, c.month, c.day)
	}
	return c, readClock(&c, s)
}

// century completes a year of two digits; 00-00-00 is the zero date.
func century(year, month, day int) int {
	switch {
	case year == 0 && month == 0 && day == 0:
		return 0
	case year < 70:
		return year + 2000
	}
	return year + 1900
}

// readClock reads what follows a date.
func readClock(c *clock, s string) reading {
	if strings.Trim(s, space) == "" {
		return whole
	}
	switch {
	case s[0] == 'T' || s[0] == 't':
		s = s[1:]
	case strings.IndexByte(space, s[0]) >= 0 || s[0] == ':':
		s = strings.TrimLeft(s[1:], space)
	default:
		return partly
	}
	for i, part := range [3]*int{&c.hour, &c.minute, &c.second} {
		n := digitsOf(s)
		if n == 0 {
			break
		}
		if n > 2 {
			return nothing
		}
		*part = number(s[:n])
		// Between them, too, stands any punctuation; a point begins a fraction.
		if s = s[n:]; i == 2 || s == "" || s[0] != ':' && (!isPunctuation(s[0]) || s[0] == '.' || digitsOf(s[1:]) == 0) {
			break
		}
		s = s[1:]
	}
	s = readFraction(c, s)
	s = readOffset(c, s)
	if strings.Trim(s, space) != "" {
		return partly
	}
	return whole
}

// readFraction reads .ffffff; what is finer than a nanosecond changes nothing.
func readFraction(c *clock, s string) string {
	if s == "" || s[0] != '.' {
		return s
	}
	n := digitsOf(s[1:])
	digits := s[1 : 1+n]
	c.nano = number((digits + "000000000")[:7])*100 + number((digits + "000000000")[7:9])
	return s[1+n:]
}

// readOffset reads +hh:mm, between -13:59 and +14:00.
func readOffset(c *clock, s string) string {
	if len(s) < 6 || s[0] != '+' && s[0] != '-' || digitsOf(s[1:]) != 2 || s[3] != ':' || digitsOf(s[4:]) != 2 {
		return s
	}
	h, m := number(s[1:3]), number(s[4:6])
	seconds := h*3600 + m*60
	if m > 59 || s[0] == '-' && (seconds > 13*3600+59*60 || seconds == 0) || seconds > 14*3600 {
		return s
	}
	if s[0] == '-' {
		seconds = -seconds
	}
	c.offset = &seconds
	return s[6:]
}

// readDigits reads [YY]YYMMDD[hhmmss] and what follows.
func readDigits(digits, rest string) (c clock, how reading) {
	width := 2
	if len(digits) == 8 || len(digits) >= 14 {
		width = 4
	}
	c.year = number(digits[:width])
	at := width
	for _, part := range [5]*int{&c.month, &c.day, &c.hour, &c.minute, &c.second} {
		if at >= len(digits) {
			break
		}
		end := min(at+2, len(digits))
		*part = number(digits[at:end])
		at = end
	}
	if width == 2 {
		c.year = century(c.year, c.month, c.day)
	}
	if at < len(digits) {
		return c, partly
	}
	if len(digits) <= 8 && rest != "" && (rest[0] == 'T' || strings.IndexByte(space, rest[0]) >= 0) {
		return c, readClock(&c, rest)
	}
	rest = readFraction(&c, rest)
	if strings.Trim(rest, space) != "" {
		return c, partly
	}
	return c, whole
}

// possible says whether each part is one that a date or time may have; the day may still
// be too late for its month.
func (c clock) possible() bool {
	return c.year <= 9999 && c.month <= 12 && c.day <= 31 && c.hour <= 23 && c.minute <= 59 && c.second <= 59
}
