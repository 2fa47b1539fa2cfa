package http1

// What a byte may be part of (RFC 9110 section 5.6.2, 5.5; RFC 3986).
const (
	isToken  = 1 << iota // tchar
	isValue              // field value: HTAB, SP, visible ASCII and 0x80..0xff
	isTarget             // request target: visible ASCII but "#", which a client must not send
	isLower              // tchar but upper-case letters
	isHost               // host and port: letters, digits, "-._~:[]"
)

var class = func() (t [256]uint8) {
	for c := 0; c < 256; c++ {
		b := byte(c)
		letter := 'a' <= b|0x20 && b|0x20 <= 'z' && b < 0x80
		digit := '0' <= b && b <= '9'
		if letter || digit || contains("!#$%&'*+-.^_`|~", b) {
			t[c] |= isToken
			if !('A' <= b && b <= 'Z') {
				t[c] |= isLower
			}
		}
		if b == '\t' || b >= ' ' && b != 0x7f {
			t[c] |= isValue
		}
		if b > ' ' && b < 0x7f && b != '#' {
			t[c] |= isTarget
		}
		if letter || digit || contains("-._~:[]", b) {
			t[c] |= isHost
		}
	}
	return t
}()

func contains(s string, b byte) bool {
	for i := range len(s) {
		if s[i] == b {
			return true
		}
	}
	return false
}

// run returns the length of the longest prefix of b whose bytes are all of a class.
func run(b []byte, want uint8) int {
	for i, c := range b {
		if class[c]&want == 0 {
			return i
		}
	}
	return len(b)
}
