package accesslog

import (
	"crypto/tls"
	"strconv"
	"unicode/utf8"

	"stack/roles/internal/exchange"
)

// maxField bounds each text field of a line, in bytes before escaping.
const maxField = 2048

const hexDigits = "0123456789abcdef"

// appendJSON appends r as one JSON object and a line feed. Timers are milliseconds
// with three decimals, -1 where that point was never reached.
func appendJSON(b []byte, r *exchange.Record) []byte {
	b = append(b, `{"time":"`...)
	b = r.Start.UTC().AppendFormat(b, "2006-01-02T15:04:05.000Z")
	b = append(b, `","client":"`...)
	b = appendClient(b, r, true)
	b = append(b, `","frontend":`...)
	b = appendString(b, r.Frontend)
	b = append(b, `,"backend":`...)
	b = appendString(b, r.Backend)
	b = append(b, `,"server":`...)
	b = appendString(b, r.Server)
	if r.TCP {
		b = append(b, `,"mode":"tcp"`...)
	} else {
		b = append(b, `,"method":`...)
		b = appendString(b, r.Method)
		b = append(b, `,"host":`...)
		b = appendString(b, r.Host)
		b = append(b, `,"target":`...)
		b = appendString(b, r.Target)
		b = append(b, `,"protocol":"HTTP/1.`...)
		b = strconv.AppendInt(b, int64(r.Minor), 10)
		b = append(b, `","status":`...)
		b = strconv.AppendInt(b, int64(r.Status), 10)
		b = append(b, `,"referer":`...)
		b = appendString(b, r.Referer)
		b = append(b, `,"user_agent":`...)
		b = appendString(b, r.UserAgent)
	}
	b = append(b, `,"bytes_in":`...)
	b = strconv.AppendInt(b, r.BytesIn, 10)
	b = append(b, `,"bytes_out":`...)
	b = strconv.AppendInt(b, r.BytesOut, 10)
	b = append(b, `,"tq":`...)
	b = appendMillis(b, r.RequestTime)
	b = append(b, `,"tw":`...)
	b = appendMillis(b, r.QueueTime)
	b = append(b, `,"tc":`...)
	b = appendMillis(b, r.ConnectTime)
	b = append(b, `,"tr":`...)
	b = appendMillis(b, r.ResponseTime)
	b = append(b, `,"ta":`...)
	b = appendMillis(b, r.TotalTime)
	b = append(b, `,"retries":`...)
	b = strconv.AppendInt(b, int64(r.Retries), 10)
	b = append(b, `,"reused":`...)
	b = strconv.AppendBool(b, r.Reused)
	b = append(b, `,"tls":"`...)
	b = append(b, tlsName(r.TLS)...)
	b = append(b, `","end":"`...)
	b = append(b, r.Cause.String()...)
	return append(b, '"', '}', '\n')
}

// appendCombined appends r in the combined log format of Apache and nginx. A TCP
// session has "TCP" for its request line and status 0.
func appendCombined(b []byte, r *exchange.Record) []byte {
	b = appendClient(b, r, false)
	b = append(b, " - - ["...)
	b = r.Start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	switch {
	case r.TCP:
		b = append(b, "TCP"...)
	case len(r.Method) == 0:
		b = append(b, '-')
	default:
		b = appendQuoted(b, r.Method)
		b = append(b, ' ')
		b = appendQuoted(b, r.Target)
		b = append(b, " HTTP/1."...)
		b = strconv.AppendInt(b, int64(r.Minor), 10)
	}
	b = append(b, `" `...)
	b = strconv.AppendInt(b, int64(r.Status), 10)
	b = append(b, ' ')
	b = strconv.AppendInt(b, r.BytesOut, 10)
	b = append(b, ` "`...)
	b = appendOrDash(b, r.Referer)
	b = append(b, `" "`...)
	b = appendOrDash(b, r.UserAgent)
	return append(b, '"', '\n')
}

func appendClient(b []byte, r *exchange.Record, port bool) []byte {
	switch {
	case !r.Client.IsValid():
		return append(b, "unix"...)
	case port:
		return r.Client.AppendTo(b)
	}
	return r.Client.Addr().AppendTo(b)
}

// appendMillis writes nanoseconds as milliseconds with three decimals.
func appendMillis(b []byte, ns int64) []byte {
	if ns < 0 {
		return append(b, "-1"...)
	}
	us := ns / 1000
	b = strconv.AppendInt(b, us/1000, 10)
	f := us % 1000
	return append(b, '.', byte('0'+f/100), byte('0'+f/10%10), byte('0'+f%10))
}

// appendString writes s as a JSON string: quotes, backslashes and control bytes
// escaped, bytes that are not UTF-8 as U+FFFD, at most maxField bytes of it.
func appendString[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	n := min(len(s), maxField)
	for i := 0; i < n; {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < ' ' || c == 0x7f:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		case c < utf8.RuneSelf:
			b = append(b, c)
			i++
		default:
			// At most four bytes as a slice of the same type decode without a copy.
			r, size := decodeRune(s[i:min(n, i+utf8.UTFMax)])
			if r == utf8.RuneError && size <= 1 || r >= 0x80 && r < 0xa0 || r == 0x2028 || r == 0x2029 {
				// C1 controls and the two line separators would break lines in some readers.
				b = append(b, `\ufffd`...)
			} else {
				b = append(b, s[i:i+size]...)
			}
			i += size
		}
	}
	return append(b, '"')
}

func decodeRune[S string | []byte](s S) (rune, int) {
	var a [utf8.UTFMax]byte
	n := copy(a[:], s)
	return utf8.DecodeRune(a[:n])
}

// appendQuoted writes s for use between quotes: quotes, backslashes, control bytes
// and everything beyond ASCII as \xHH.
func appendQuoted(b, s []byte) []byte {
	for _, c := range s[:min(len(s), maxField)] {
		if c < ' ' || c >= 0x7f || c == '"' || c == '\\' {
			b = append(b, '\\', 'x', hexDigits[c>>4], hexDigits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return b
}

func appendOrDash(b, s []byte) []byte {
	if len(s) == 0 {
		return append(b, '-')
	}
	return appendQuoted(b, s)
}

func tlsName(version uint16) string {
	switch version {
	case tls.VersionTLS12:
		return "1.2"
	case tls.VersionTLS13:
		return "1.3"
	}
	return ""
}
