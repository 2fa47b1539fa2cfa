package http2

// Urgencies of RFC 9218 section 4.1: 0 is the most urgent.
const (
	DefaultUrgency = 3
	maxUrgency     = 7
)

// ParsePriority reads a Priority field or the value of a PRIORITY_UPDATE: a structured
// dictionary with u (0..7) and i. What it does not understand leaves the defaults.
func ParsePriority(v []byte) (urgency uint8, incremental bool) {
	urgency = DefaultUrgency
	for len(v) > 0 {
		var member []byte
		member, v = cutMember(v)
		key, value := member, []byte(nil)
		for i, c := range member {
			if c == '=' {
				key, value = member[:i], member[i+1:]
				break
			}
		}
		switch string(key) {
		case "u":
			if len(value) == 1 && '0' <= value[0] && value[0] <= '0'+maxUrgency {
				urgency = value[0] - '0'
			}
		case "i":
			incremental = value == nil || string(value) == "?1"
		}
	}
	return urgency, incremental
}

// cutMember cuts the first member off a dictionary, without parameters and white space.
func cutMember(v []byte) (member, rest []byte) {
	end := len(v)
	for i, c := range v {
		if c == ',' {
			end = i
			break
		}
	}
	member = v[:end]
	if end < len(v) {
		rest = v[end+1:]
	}
	for i, c := range member {
		if c == ';' {
			member = member[:i]
			break
		}
	}
	for len(member) > 0 && (member[0] == ' ' || member[0] == '\t') {
		member = member[1:]
	}
	for len(member) > 0 && (member[len(member)-1] == ' ' || member[len(member)-1] == '\t') {
		member = member[:len(member)-1]
	}
	return member, rest
}
