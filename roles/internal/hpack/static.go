package hpack

// staticLen is the number of entries of the static table; the dynamic table's
// indices follow.
const staticLen = 61

// staticTable is RFC 7541 appendix A. Index 0 is no field. Entries of one name
// stand together.
var staticTable = [staticLen + 1]struct{ name, value string }{
	1:  {":authority", ""},
	2:  {":method", "GET"},
	3:  {":method", "POST"},
	4:  {":path", "/"},
	5:  {":path", "/index.html"},
	6:  {":scheme", "http"},
	7:  {":scheme", "https"},
	8:  {":status", "200"},
	9:  {":status", "204"},
	10: {":status", "206"},
	11: {":status", "304"},
	12: {":status", "400"},
	13: {":status", "404"},
	14: {":status", "500"},
	15: {"accept-charset", ""},
	16: {"accept-encoding", "gzip, deflate"},
	17: {"accept-language", ""},
	18: {"accept-ranges", ""},
	19: {"accept", ""},
	20: {"access-control-allow-origin", ""},
	21: {"age", ""},
	22: {"allow", ""},
	23: {"authorization", ""},
	24: {"cache-control", ""},
	25: {"content-disposition", ""},
	26: {"content-encoding", ""},
	27: {"content-language", ""},
	28: {"content-length", ""},
	29: {"content-location", ""},
	30: {"content-range", ""},
	31: {"content-type", ""},
	32: {"cookie", ""},
	33: {"date", ""},
	34: {"etag", ""},
	35: {"expect", ""},
	36: {"expires", ""},
	37: {"from", ""},
	38: {"host", ""},
	39: {"if-match", ""},
	40: {"if-modified-since", ""},
	41: {"if-none-match", ""},
	42: {"if-range", ""},
	43: {"if-unmodified-since", ""},
	44: {"last-modified", ""},
	45: {"link", ""},
	46: {"location", ""},
	47: {"max-forwards", ""},
	48: {"proxy-authenticate", ""},
	49: {"proxy-authorization", ""},
	50: {"range", ""},
	51: {"referer", ""},
	52: {"refresh", ""},
	53: {"retry-after", ""},
	54: {"server", ""},
	55: {"set-cookie", ""},
	56: {"strict-transport-security", ""},
	57: {"transfer-encoding", ""},
	58: {"user-agent", ""},
	59: {"vary", ""},
	60: {"via", ""},
	61: {"www-authenticate", ""},
}

// Entries of the static table that the encoder names.
const (
	indexStatus             = 8
	indexAuthorization      = 23
	indexCookie             = 32
	indexProxyAuthorization = 49
	indexSetCookie          = 55
)

// staticFields is the static table as the decoder hands it out.
var staticFields = newStaticFields()

type staticField struct{ name, value []byte }

func newStaticFields() (fields [staticLen + 1]staticField) {
	for i, f := range staticTable {
		fields[i] = staticField{[]byte(f.name), []byte(f.value)}
	}
	return fields
}

// staticSlots leads from a name's hash to its first index: no two names of the
// static table share a hash (TestStaticSlots).
var staticSlots = newStaticSlots()

const slots = 128

func newStaticSlots() (s [slots]uint8) {
	for i := staticLen; i > 0; i-- {
		s[staticSlot(staticTable[i].name)] = uint8(i)
	}
	return s
}

// staticSlot hashes length, first and last letter in either case. The factors were
// searched for until no two names met.
func staticSlot(name string) uint {
	return (3*uint(len(name)) + 54*uint(name[0]|0x20) + 59*uint(name[len(name)-1]|0x20)) % slots
}

// staticIndex returns the first index of a name in any case, or 0.
func staticIndex(name string) int {
	if name == "" {
		return 0
	}
	i := int(staticSlots[staticSlot(name)])
	if !equalLower(name, staticTable[i].name) {
		return 0
	}
	return i
}

// staticMatch returns the index of a field whose name has the given first index,
// or 0.
func staticMatch(i int, value string) int {
	for name := staticTable[i].name; i <= staticLen && staticTable[i].name == name; i++ {
		if staticTable[i].value == value {
			return i
		}
	}
	return 0
}

// equalLower says whether name is lower, apart from the case of its letters.
func equalLower(name, lower string) bool {
	if len(name) != len(lower) {
		return false
	}
	for i := range len(name) {
		if toLower[name[i]] != lower[i] {
			return false
		}
	}
	return true
}

var toLower = newToLower()

func newToLower() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}
