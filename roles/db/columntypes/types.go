package columntypes

import (
	"fmt"
	"slices"
	"strings"
)

var integers = Table{Name: "integers", Columns: []Column{
	{Name: "ti", Type: "TINYINT", Values: []string{"-128", "127", "0", "-1"}},
	{Name: "tu", Type: "TINYINT UNSIGNED", Values: []string{"0", "255", "128"}},
	{Name: "si", Type: "SMALLINT", Values: []string{"-32768", "32767", "-1"}},
	{Name: "su", Type: "SMALLINT UNSIGNED", Values: []string{"0", "65535", "32768"}},
	{Name: "mi", Type: "MEDIUMINT", Values: []string{"-8388608", "8388607", "-1"}},
	{Name: "mu", Type: "MEDIUMINT UNSIGNED", Values: []string{"0", "16777215", "8388608"}},
	{Name: "i", Type: "INT", Values: []string{"-2147483648", "2147483647", "-1"}},
	{Name: "iu", Type: "INT UNSIGNED", Values: []string{"0", "4294967295", "2147483648"}},
	{Name: "bi", Type: "BIGINT", Values: []string{"-9223372036854775808", "9223372036854775807", "-1"}},
	{Name: "bu", Type: "BIGINT UNSIGNED", Values: []string{"0", "18446744073709551615", "9223372036854775808"}},
	{Name: "iz", Type: "INT(5) ZEROFILL", Values: []string{"0", "4294967295", "42"}, Show: "% + 0"},
	{Name: "bz", Type: "BIGINT ZEROFILL", Values: []string{"18446744073709551615", "42"}, Show: "% + 0"},
	{Name: "bo", Type: "BOOL", Values: []string{"TRUE", "FALSE"}},
	{Name: "b1", Type: "BIT(1)", Values: []string{"b'0'", "b'1'"}, Show: "% + 0"},
	{Name: "b8", Type: "BIT(8)", Values: []string{"b'10000001'", "255"}, Show: "% + 0"},
	{Name: "b10", Type: "BIT(10)", Values: []string{"1023", "1", "512"}, Show: "% + 0"},
	{Name: "b63", Type: "BIT(63)", Values: []string{"9223372036854775807", "1"}, Show: "% + 0"},
	{Name: "b64", Type: "BIT(64)", Values: []string{"18446744073709551615", "0", "9223372036854775808"}, Show: "% + 0"},
	{Name: "y", Type: "YEAR", Values: []string{"1901", "2155", "2026", "0"}},
}}

var nines = strings.Repeat("9", 35) + "." + strings.Repeat("9", 30)

var decimals = Table{Name: "decimals", Columns: []Column{
	{Name: "d1", Type: "DECIMAL(1,0)", Values: []string{"-9", "9", "0"}},
	{Name: "d9", Type: "DECIMAL(9,0)", Values: []string{"-999999999", "999999999", "1"}},
	{Name: "d10", Type: "DECIMAL", Values: []string{"-9999999999", "9999999999"}},
	{Name: "d106", Type: "DECIMAL(20,6)", Values: []string{"-12345678901234.123456", "0.5", "0.000001", "-0.000001"}},
	{Name: "d3030", Type: "DECIMAL(30,30)", Values: []string{"0." + strings.Repeat("9", 30), "-0." + strings.Repeat("0", 29) + "1", "0"}},
	{Name: "d65", Type: "DECIMAL(65,0)", Values: []string{strings.Repeat("9", 65), "-" + strings.Repeat("9", 65), "-1"}},
	{Name: "d6530", Type: "DECIMAL(65,30)", Values: []string{nines, "-" + nines, "0." + strings.Repeat("0", 29) + "1"}},
	{Name: "du", Type: "DECIMAL(10,2) UNSIGNED", Values: []string{"0", "99999999.99", "0.01"}},
	{Name: "dz", Type: "DECIMAL(10,2) ZEROFILL", Values: []string{"0", "99999999.99", "0.01"}, Show: "% + 0"},
}}

// How servers show a value, or a driver.
const (
	wholeFloat = "% * 1e0"              // some show six digits
	asText     = "CAST(% AS CHAR)"      // dates are no text to some drivers
	document   = "JSON_EXTRACT(%, '$')" // with all digits, and the blanks without which a column is shown here
)

var floats = Table{Name: "floats", Columns: []Column{
	{Name: "f", Type: "FLOAT", Values: []string{"1.5", "-0.25", "0"}, Large: []string{"3.402823466e38", "-3.402823466e38", "1.175494351e-38", "16777217", "0.1"}, Show: wholeFloat},
	{Name: "fu", Type: "FLOAT UNSIGNED", Values: []string{"0", "16384"}, Large: []string{"3.402823466e38", "0.1"}, Show: wholeFloat},
	{Name: "fd", Type: "FLOAT(7,3)", Values: []string{"1.5", "-1234.125"}, Show: wholeFloat}, // values that need no rounding, which is not done here
	{Name: "d", Type: "DOUBLE", Values: []string{"2.5e10", "1.7976931348623157e308", "-1.7976931348623157e308", "2.2250738585072014e-308", "-0.1", "9007199254740993", "0"}},
	{Name: "du", Type: "DOUBLE UNSIGNED", Values: []string{"0", "1.7976931348623157e308", "0.1"}},
}}

var dates = Table{Name: "dates", Columns: append([]Column{
	{Name: "da", Type: "DATE", Values: []string{"'1000-01-01'", "'9999-12-31'", "'2024-02-29'", "'0001-01-01'"}, Loose: []string{"'0000-00-00'"}, Show: asText},
}, append(
	fractions("dt", "DATETIME", []string{"'1000-01-01 00:00:00'", "'9999-12-31 23:59:59@'", "'2026-01-02 03:04:05@'"}, []string{"'0000-00-00 00:00:00'"}),
	fractions("ts", "TIMESTAMP", []string{"'1970-01-01 00:00:01'", "'2038-01-19 03:14:07'", "'2030-06-07 08:09:10@'"}, []string{"'0000-00-00 00:00:00'"})...)...)}

var times = Table{Name: "times", Columns: fractions("t", "TIME", []string{"'-838:59:59'", "'838:59:59'", "'00:00:00'", "'12:34:56@'", "'-00:00:01'", "'-00:00:00@'", "'-838:59:58@'"}, nil)}

// fractions are the columns of a type with 0 to 6 digits behind the second; @ stands for them.
func fractions(name, typ string, values, loose []string) (list []Column) {
	for n := range 7 {
		c := Column{Name: fmt.Sprint(name, n), Type: fmt.Sprintf("%s(%d)", typ, n), Loose: loose}
		switch typ {
		case "TIMESTAMP":
			c.Type += " NULL"
			c.Show = asText
		case "DATETIME":
			c.Show = asText
		}
		for _, digits := range []string{"987654", "000001", "100000"} {
			fraction := ""
			if n > 0 {
				fraction = "." + digits[:n]
			}
			for _, v := range values {
				if v = strings.ReplaceAll(v, "@", fraction); !slices.Contains(c.Values, v) {
					c.Values = append(c.Values, v)
				}
			}
		}
		list = append(list, c)
	}
	return list
}

var texts = Table{Name: "texts", Columns: []Column{
	{Name: "c0", Type: "CHAR(0)", Values: []string{"''"}},
	{Name: "v0", Type: "VARCHAR(0)", Values: []string{"''"}},
	{Name: "c1", Type: "CHAR(1)", Values: []string{"'a'", "''", "'é'", "'🐘'"}},
	{Name: "c", Type: "CHAR(200)", Values: []string{"'char'", "'grüße 🐘'", "REPEAT('🐘', 200)", "'  two'", "''"}},
	{Name: "v1", Type: "VARCHAR(63)", Values: []string{"''", "REPEAT('🐘', 63)", "'trailing  '"}},
	{Name: "v", Type: "VARCHAR(300)", Values: []string{"''", "REPEAT('é', 300)", "'it''s \\\\ \\n \\0 \"x\" %_'", "'x'"}},
	{Name: "vb", Type: "VARCHAR(30) COLLATE utf8mb4_bin", Values: []string{"'A'", "'a'", "'Straße'"}},
	{Name: "vg", Type: "VARCHAR(30) COLLATE utf8mb4_general_ci", Values: []string{"'A'", "'ß'"}},
	{Name: "tt", Type: "TINYTEXT", Values: []string{"'tiny'", "REPEAT('t', 255)", "REPEAT('é', 127)", "''"}},
	{Name: "te", Type: "TEXT", Values: []string{"'text'", "''"}, Large: []string{"REPEAT('x', 65535)"}, Show: "LENGTH(%), MD5(%)"},
	{Name: "mt", Type: "MEDIUMTEXT", Values: []string{"'medium'", "REPEAT('m', 70000)", "''"}, Show: "LENGTH(%), MD5(%)"},
	{Name: "lt", Type: "LONGTEXT", Values: []string{"REPEAT('long', 5000)", "'long'", "''"}, Large: []string{"REPEAT('🐘', 20000)"}, Show: "LENGTH(%), MD5(%)"},
}}

var bytes = Table{Name: "bytes_", Columns: []Column{
	{Name: "b1", Type: "BINARY(1)", Values: []string{"x'00'", "x'ff'", "''"}, Show: "HEX(%)"},
	{Name: "b5", Type: "BINARY(5)", Values: []string{"x'0100020000'", "x'ffffffffff'", "x'20'", "''"}, Show: "HEX(%)"},
	{Name: "b255", Type: "BINARY(255)", Values: []string{allBytes, "'short'"}, Show: "HEX(%)"},
	{Name: "v255", Type: "VARBINARY(255)", Values: []string{allBytes, "''", "x'00'", "x'ff00'"}, Show: "HEX(%)"},
	{Name: "v300", Type: "VARBINARY(300)", Values: []string{"x'00ff'", "x'" + strings.Repeat("fe", 300) + "'", "''"}, Show: "HEX(%)"},
	{Name: "tb", Type: "TINYBLOB", Values: []string{allBytes, "''"}, Show: "HEX(%)"},
	{Name: "bl", Type: "BLOB", Values: []string{"x'000102'", "''"}, Large: []string{"REPEAT('c', 65535)"}, Show: "LENGTH(%), MD5(%)"},
	{Name: "mb", Type: "MEDIUMBLOB", Values: []string{"x'ff'", "''"}, Large: []string{"REPEAT('m', 70000)"}, Show: "LENGTH(%), MD5(%)"},
	{Name: "lb", Type: "LONGBLOB", Values: []string{"REPEAT('long', 5000)", "x''", "x'00'"}, Large: []string{"REPEAT('long', 20000)"}, Show: "LENGTH(%), MD5(%)"},
}}

// allBytes are 255 bytes, each once but 0.
var allBytes = func() string {
	var b strings.Builder
	for n := range 255 {
		fmt.Fprintf(&b, "%02x", n+1)
	}
	return "x'" + b.String() + "'"
}()

// list are n members of an ENUM or SET.
func list(n int) string {
	members := make([]string, n)
	for i := range members {
		members[i] = fmt.Sprintf("'m%d'", i)
	}
	return strings.Join(members, ",")
}

// first is a value of a SET of these members with n of them.
func first(n int) string { return "'" + strings.ReplaceAll(list(n), "'", "") + "'" }

var members = Table{Name: "members", Columns: []Column{
	{Name: "e", Type: "ENUM('a','é','it''s','')", Values: []string{"'a'", "'é'", "'it''s'", "''"}, Loose: []string{"'none of them'"}, Show: "%, % + 0"},
	{Name: "e255", Type: "ENUM(" + list(255) + ")", Values: []string{"'m0'", "'m254'"}, Loose: []string{"'x'"}, Show: "%, % + 0"},
	{Name: "e256", Type: "ENUM(" + list(256) + ")", Values: []string{"'m0'", "'m255'", "'m128'"}, Loose: []string{"'x'"}, Show: "%, % + 0"},
	{Name: "el", Type: "ENUM('ä','z') CHARACTER SET latin1 COLLATE latin1_swedish_ci", Values: []string{"'ä'", "'z'"}, Show: "%, % + 0"},
	{Name: "s", Type: "SET('x','y','é')", Values: []string{"''", "'x,é'", "'x,y,é'"}, Show: "%, % + 0"},
	{Name: "s8", Type: "SET(" + list(8) + ")", Values: []string{"'m7'", first(8), "''"}, Show: "%, % + 0"},
	{Name: "s9", Type: "SET(" + list(9) + ")", Values: []string{"'m8'", first(9), "''"}, Show: "%, % + 0"},
	{Name: "s17", Type: "SET(" + list(17) + ")", Values: []string{"'m16'", first(17), "'m0,m16'"}, Show: "%, % + 0"},
	{Name: "s25", Type: "SET(" + list(25) + ")", Values: []string{"'m24'", first(25)}},
	{Name: "s33", Type: "SET(" + list(33) + ")", Values: []string{"'m32'", first(33), "'m31'"}},
	{Name: "s64", Type: "SET(" + list(64) + ")", Values: []string{"'m63'", first(64), "'m0,m63'", "''"}},
	{Name: "sl", Type: "SET('ä','z') CHARACTER SET latin1 COLLATE latin1_swedish_ci", Values: []string{"'ä,z'", "''"}, Show: "%, % + 0"},
}}

// Charset is a character set with a collation and letters that it has.
type Charset struct{ Name, Collation, Letters string }

// Charsets are the character sets that the server knows beside binary.
var Charsets = []Charset{
	{"armscii8", "armscii8_general_ci", "Հայաստան (x)"},
	{"ascii", "ascii_general_ci", "plain ~!"},
	{"cp1256", "cp1256_general_ci", "عرب € ç"},
	{"cp1257", "cp1257_general_ci", "ąčęėįšųūž ß"},
	{"dec8", "dec8_swedish_ci", "é Ñ ÿ œ"},
	{"geostd8", "geostd8_general_ci", "ქართული"},
	{"latin1", "latin1_swedish_ci", "é€ÿ ß ©"},
	{"latin7", "latin7_general_ci", "ąčę žš ß"},
	{"swe7", "swe7_swedish_ci", "åäö ÅÄÖ é ü"},
	{"utf16", "utf16_general_ci", "grüße 🐘 ﷽"},
	{"utf32", "utf32_general_ci", "grüße 🐘 ﷽"},
	{"utf8mb3", "utf8mb3_general_ci", "grüße € ﷽"},
	{"utf8mb4", "utf8mb4_unicode_520_ci", "grüße 🐘 ﷽"},
}

// charsets has CHAR, VARCHAR, TEXT and ENUM in each. A column of a set with one byte per character takes as many bytes of
// UTF-8 here as it has characters.
func charsets() Table {
	t := Table{Name: "charsets"}
	for _, set := range Charsets {
		in := " CHARACTER SET " + set.Name + " COLLATE " + set.Collation
		letters, plain := "'"+set.Letters+"'", "'plain'"
		member := strings.ReplaceAll(letters, "🐘", "ß") // in dumps of MariaDB it is a question mark
		t.Columns = append(t.Columns,
			Column{Name: "c_" + set.Name, Type: "CHAR(40)" + in, Values: []string{letters, "''", plain}},
			Column{Name: "v_" + set.Name, Type: "VARCHAR(120)" + in, Values: []string{letters, "REPEAT(" + letters + ", 3)", "'x  '", "''"}},
			Column{Name: "t_" + set.Name, Type: "TEXT" + in, Values: []string{plain, letters, "REPEAT(" + letters + ", 300)", "''"}},
			Column{Name: "e_" + set.Name, Type: "ENUM('first'," + member + ")" + in, Values: []string{member, "'first'"}},
		)
	}
	return t
}

var documents = Table{Name: "documents", Columns: []Column{
	{Name: "j", Type: "JSON", Values: []string{
		`'{}'`, `'[]'`, `'null'`, `'true'`, `'"text"'`, `'9007199254740993'`, `'18446744073709551615'`, `'-9223372036854775808'`, `'2.5'`,
		`'{"a": [1, -2, 3.5, true, null], "é": "ü\\n\\"🐘"}'`, `'{"deep": [[[[[{}]]]]]}'`,
		`CONCAT('["', REPEAT('a', 300), '"]')`,
	}, Large: []string{`CONCAT('["', REPEAT('b', 70000), '"]')`, `CONCAT('[', REPEAT('70000, ', 20000), '1]')`}, Show: document},
	{Name: "k", Type: "JSON", Values: []string{`'{"a": 1}'`, `'[-1, 255, 65536]'`, `'""'`}, Show: document},
}}

// shown is what of a shape servers answer alike.
const shown = "HEX(ST_AsWKB(%)), ST_SRID(%)"

func shape(text ...string) (list []string) {
	for _, t := range text {
		list = append(list, "ST_GeomFromText('"+t+"')")
	}
	return list
}

var shapes = Table{Name: "shapes", Columns: []Column{
	{Name: "p", Type: "POINT", Values: shape("POINT(1 2)", "POINT(-1.7976931348623157e308 1.7976931348623157e308)", "POINT(0 0)"), Show: shown},
	{Name: "l", Type: "LINESTRING", Values: shape("LINESTRING(0 0,1 1)", "LINESTRING(0 0,1 1,2 0.5,-3 4e-20)"), Show: shown},
	{Name: "po", Type: "POLYGON", Values: shape("POLYGON((0 0,10 0,10 10,0 10,0 0))", "POLYGON((0 0,10 0,10 10,0 10,0 0),(1 1,2 1,2 2,1 2,1 1))"), Show: shown},
	{Name: "mp", Type: "MULTIPOINT", Values: shape("MULTIPOINT(1 1,2 2)", "MULTIPOINT(-1 -1)"), Show: shown},
	{Name: "ml", Type: "MULTILINESTRING", Values: shape("MULTILINESTRING((0 0,1 1),(2 2,3 3,4 4))"), Show: shown},
	{Name: "mo", Type: "MULTIPOLYGON", Values: shape("MULTIPOLYGON(((0 0,1 0,1 1,0 1,0 0)),((5 5,6 5,6 6,5 6,5 5)))"), Show: shown},
	{Name: "gc", Type: "GEOMETRYCOLLECTION", Values: shape("GEOMETRYCOLLECTION(POINT(1 1),LINESTRING(0 0,1 1))", "GEOMETRYCOLLECTION(POINT(1 1))"), Show: shown},
	{Name: "g", Type: "GEOMETRY", Values: append(shape("POINT(1 2)", "LINESTRING(0 0,1 1)", "POLYGON((0 0,10 0,10 10,0 10,0 0))", "MULTIPOINT(1 1,2 2)", "GEOMETRYCOLLECTION(POINT(1 1))"),
		"ST_GeomFromText('POINT(1 2)', 3857)"), Show: shown},
}}

var generated = Table{Name: "generated_", More: "KEY (sv), KEY (vn)", Columns: []Column{
	{Name: "a", Type: "INT", Values: []string{"1", "-5", "1000000"}},
	{Name: "t", Type: "VARCHAR(20)", Values: []string{"'x'", "'it''s é'", "''"}},
	{Name: "at", Type: "DATETIME(3)", Values: []string{"'2026-01-02 03:04:05.678'", "'1999-12-31 23:59:59'"}, Show: asText},
	{Name: "j", Type: "JSON", Values: []string{`'{"a": "in"}'`, `'{}'`}, Show: document},
	{Name: "sn", Type: "BIGINT AS (a * 2) STORED"},
	{Name: "vn", Type: "BIGINT AS (a + 1) VIRTUAL"},
	{Name: "sd", Type: "DECIMAL(20,3) AS (a / 8) STORED"},
	{Name: "sv", Type: "VARCHAR(40) AS (CONCAT('<', t, '>')) STORED"},
	{Name: "vv", Type: "VARCHAR(40) AS (UPPER(t)) VIRTUAL"},
	{Name: "sa", Type: "DATE AS (DATE(at)) STORED", Show: asText},
	{Name: "va", Type: "INT AS (YEAR(at)) VIRTUAL"},
	{Name: "sj", Type: "VARCHAR(40) AS (JSON_UNQUOTE(JSON_EXTRACT(j, '$.a'))) STORED"},
	{Name: "vj", Type: "VARCHAR(40) AS (JSON_UNQUOTE(JSON_EXTRACT(j, '$.a'))) VIRTUAL"},
}}

var onlyOurs = Table{Name: "ours", Columns: []Column{
	{Name: "ve", Type: "VECTOR(3)", Values: []string{"STRING_TO_VECTOR('[1,2,3]')", "STRING_TO_VECTOR('[-1.5,0,3.4e38]')"}, Show: "HEX(%)"},
	{Name: "vm", Type: "VECTOR(2000)", Values: []string{"STRING_TO_VECTOR(CONCAT('[', REPEAT('0.5,', 1999), '1]'))"}, Show: "MD5(%)"},
	{Name: "z", Type: "VARCHAR(30) COLLATE utf8mb4_0900_ai_ci", Values: []string{"'Straße'", "'trailing  '", "''"}},
	{Name: "zb", Type: "VARCHAR(30) COLLATE utf8mb4_0900_bin", Values: []string{"'A'", "'a'"}},
	{Name: "e", Type: "ENUM('🐘','x')", Values: []string{"'🐘'", "'x'"}},
	{Name: "el", Type: "ENUM('🐘') CHARACTER SET utf16 COLLATE utf16_general_ci", Values: []string{"'🐘'"}},
	{Name: "p", Type: "POINT SRID 4326", Values: []string{"ST_GeomFromText('POINT(1 2)', 4326)"}, Show: shown},
	{Name: "g", Type: "GEOMETRY SRID 0", Values: shape("POINT(1 2)", "LINESTRING(0 0,1 1)"), Show: shown},
	{Name: "gc", Type: "GEOMETRYCOLLECTION", Values: shape("GEOMETRYCOLLECTION(GEOMETRYCOLLECTION(POINT(1 1)),POINT(0 0))"), Show: shown},
	{Name: "ex", Type: "VARCHAR(36) DEFAULT (CONCAT('d', 'efault'))"},
}}
