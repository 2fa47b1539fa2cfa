package accesslog

import (
	"crypto/tls"
	"strconv"
	"time"
	"unicode/utf8"

	"stack/roles/internal/exchange"
)

// maxField bounds each text field of a line, in bytes before escaping.
const maxField = 2048

const hexDigits = "0123456789abcdef"

// stamp remembers the text of the last second: most lines begin with the same.
type stamp struct {
	unix int64
	mode int32
	text []byte
}

// second is t to the second in the way of mode: UTC in JSON, local time in combined.
func (s *stamp) second(t time.Time, mode int32) []byte {
	if u := t.Unix(); u != s.unix || mode != s.mode {
		s.unix, s.mode = u, mode
		if mode == asJSON {
			s.text = t.UTC().AppendFormat(s.text[:0], "2006-01-02T15:04:05")
		} else {
			s.text = t.AppendFormat(s.text[:0], "02/Jan/2006:15:04:05 -0700")
		}
	}
	return s.text
}

// appendJSON appends r as one JSON object and a line feed. Timers are milliseconds
// with three decimals, -1 where that point was never reached.
func (s *stamp) appendJSON(b []byte, r *exchange.Record) []byte {
	b = append(b, `{"time":"`...)
	b = append(b, s.second(r.Start, asJSON)...)
	ms := r.Start.Nanosecond() / 1e6
	b = append(b, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10), 'Z')
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
		b = append(b, `,"protocol":"`...)
		b = appendProtocol(b, r)
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
func (s *stamp) appendCombined(b []byte, r *exchange.Record) []byte {
	b = appendClient(b, r, false)
	b = append(b, " - - ["...)
	b = append(b, s.second(r.Start, asCombined)...)
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
		b = append(b, ' ')
		b = appendProtocol(b, r)
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

// plainByte marks the bytes that stand for themselves both in a JSON string and
// between quotes in the combined format.
var plainByte = func() (t [256]bool) {
	for c := ' '; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

// appendString writes s as a JSON string: quotes, backslashes and control bytes
// escaped, bytes that are not UTF-8 as U+FFFD, at most maxField bytes of it.
func appendString[S string | []byte](b []byte, s S) []byte {
	b = append(b, '"')
	n := min(len(s), maxField)
	for i := 0; i < n; {
		run := i
		for i < n && plainByte[s[i]] {
			i++
		}
		b = append(b, s[run:i]...)
		if i == n {
			break
		}
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
			i++
		case c < utf8.RuneSelf:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
			i++
		default:
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

// decodeRune decodes the first of at most four bytes, without a copy on the heap.
func decodeRune[S string | []byte](s S) (rune, int) {
	var a [utf8.UTFMax]byte
	n := copy(a[:], s)
	return utf8.DecodeRune(a[:n])
}

// appendQuoted writes s for use between quotes: quotes, backslashes, control bytes
// and everything beyond ASCII as \xHH.
func appendQuoted(b, s []byte) []byte {
	s = s[:min(len(s), maxField)]
	for i := 0; i < len(s); i++ {
		run := i
		for i < len(s) && plainByte[s[i]] {
			i++
		}
		b = append(b, s[run:i]...)
		if i < len(s) {
			b = append(b, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
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

func appendProtocol(b []byte, r *exchange.Record) []byte {
	if r.HTTP2 {
		return append(b, "HTTP/2.0"...)
	}
	b = append(b, "HTTP/1."...)
	return strconv.AppendInt(b, int64(r.Minor), 10)
}
