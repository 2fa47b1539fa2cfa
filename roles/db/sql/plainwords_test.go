package sql

import "testing"

// Words that MySQL does not reserve are names without quotes.
func TestPlainWords(t *testing.T) {
	c := newServer(t).test()
	c.must("CREATE TABLE copy (off INT, next INT, format INT, view INT, KEY first (view), KEY count (next, off), UNIQUE INDEX comment (format))",
		"INSERT INTO copy (off, next, format, view) VALUES (1, 2, 3, 4)", "UPDATE copy SET off = off + 1, next = 7 WHERE next = 2")
	c.want("SELECT file.off, next, view FROM copy AS file WHERE file.next = 7 ORDER BY file.off", "2|7|4")
	c.want("SELECT COUNT(*), MAX(off) FROM copy first GROUP BY next", "1|2")
	c.want("SELECT SUM(off) AS returning, 'off copy' FROM copy", "2|off copy")
	c.must("ALTER TABLE copy ADD COLUMN now INT, DROP INDEX first, ADD INDEX event (off)", "DROP TABLE copy")
	c.fails(1064, "SELECT 1 FROM off off off")
	c.fails(1064, "SELECT count FROM (SELECT 1 AS off) x WHERE off copy")
	// What stands before is no text in UTF-8, or grows in small letters.
	for _, text := range []string{"SELECT 'ȺȺȺȺȺȺȺȺ' x y", "SELECT _binary'\xff\xfe\xfd\xff\xfe\xfd' off off", "SELECT 'KKKKKKKK' x off", "off", "SELECT x off x"} {
		c.fails(1064, text)
	}
}
