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

// Files are as large as they are: the time for statements of clients, which here is over at once, does not end a seed.
func TestSeedTakesItsTime(t *testing.T) {
	c := newServer(t).test()
	c.must("SET max_statement_time = 0.000001")
	c.fails(1969, "DO SLEEP(1)")
	c.fails(1235, "SEED BEGIN") // there is no donor
}
