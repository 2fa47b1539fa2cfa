package sql

import "testing"

func TestSeedSyntax(t *testing.T) {
	for text, ok := range map[string]bool{
		"BEGIN": true, "BEGIN 'ab'": true, "begin": true, "FILE 'ab' 'store/1.sst'": true, "FILE 'ab' 'FORMAT' RATE 100": true, "END 'ab'": true,
		"": false, "BEGIN ab": false, "BEGIN 'a' 'b'": false, "FILE 'ab'": false, "FILE 'ab' 'x' RATE": false, "FILE 'ab' 'x' RATE 0": false,
		"FILE 'ab' 'x' RATE -1": false, "FILE 'ab' 'x' RATE 9999999999999999999": false, "END": false, "END 'a''b'": false, `END 'a\'b'`: false, "END '": false,
		"BEGIN `ab`": false, "FILE 'a' 'b' 'c'": false, "DROP 'a'": false,
	} {
		st, err := parseSeed(nil, &scanner{text: text})
		if (err == nil && st != nil) != ok {
			t.Errorf("SEED %s: %v, %v", text, st, err)
		}
	}
}
