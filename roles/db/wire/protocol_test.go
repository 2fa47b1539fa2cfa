package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"testing"
)

// TestGreeting checks what is offered, and what is not.
func TestGreeting(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := dial(t, addr)
	for name, want := range map[string]struct {
		flag uint32
		on   bool
	}{
		"compression": {capCompress, true}, "LOCAL INFILE": {capLocalFiles, true}, "zstd": {capZstd, true},
		"TLS without a certificate": {capSSL, false}, "query attributes": {1 << 27, false},
		"multi statements": {capMultiStatements, true}, "deprecate EOF": {capDeprecateEOF, true},
		"session track": {capSessionTrack, true}, "attributes": {capConnectAttrs, true},
	} {
		if got := r.caps&want.flag != 0; got != want.on {
			t.Errorf("%s offered: %v, want %v", name, got, want.on)
		}
	}
	if r.id == 0 || bytes.ContainsAny(r.scramble, "\x00$") {
		t.Errorf("id %d, scramble %q", r.id, r.scramble)
	}
}

// TestBadHandshakes sends what is not a handshake response.
func TestBadHandshakes(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	good := func(r *raw) []byte { return r.hello(basicCaps, "root", "", "") }
	for name, c := range map[string]struct {
		send func(r *raw) []byte // bytes with header
		want string
	}{
		"old protocol":   {func(r *raw) []byte { return packet(1, []byte{0x05, 0, 0, 0, 0, 'r', 0}) }, "1043 Bad handshake: the client speaks the protocol from before MySQL 4.1"},
		"empty":          {func(r *raw) []byte { return packet(1, nil) }, "1043 Bad handshake"},
		"sequence":       {func(r *raw) []byte { return packet(2, good(r)) }, "1156 Got packets out of order"},
		"user not ended": {func(r *raw) []byte { return packet(1, append(good(r)[:32], "root"...)) }, "1043 Bad handshake"},
		"response too long": {func(r *raw) []byte {
			return packet(1, append(append(good(r)[:32], "root\x00"...), 200, 1, 2))
		}, "1043 Bad handshake"},
		"TLS not offered": {func(r *raw) []byte {
			p := good(r)[:32]
			binary.LittleEndian.PutUint32(p, basicCaps|capSSL)
			return packet(1, p)
		}, "1043 Bad handshake: the client asks for TLS, which this server does not offer"},
		"half a response without TLS": {func(r *raw) []byte { return packet(1, good(r)[:32]) }, "1043 Bad handshake"},
		"too large":                   {func(r *raw) []byte { return packet(1, make([]byte, handshakePacket+1)) }, "1153 Got a packet bigger than 'max_allowed_packet' bytes"},
		"utf16":                       {func(r *raw) []byte { p := good(r); p[8] = 54; return packet(1, p) }, "1231 #42000Variable 'character_set_client' can't be set to the value of 'utf16'"},
		"engine fails":                {func(r *raw) []byte { return packet(1, r.hello(basicCaps, "broken", "", "")) }, "1105 #HY000the account table is on fire"},
		"PROXY from nobody":           {func(r *raw) []byte { return []byte("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n") }, "1043 Bad handshake: no PROXY header is accepted from this address"},
		"PROXY v2 from nobody":        {func(r *raw) []byte { return []byte(proxySignature2 + "\x20\x00\x00\x00") }, "1043 Bad handshake: no PROXY header is accepted from this address"},
	} {
		t.Run(name, func(t *testing.T) {
			r := dial(t, addr)
			if _, err := r.nc.Write(c.send(r)); err != nil {
				t.Fatal(err)
			}
			var head [4]byte
			if _, err := io.ReadFull(r.nc, head[:]); err != nil {
				t.Fatal(err)
			}
			p := make([]byte, int(head[0])|int(head[1])<<8)
			if _, err := io.ReadFull(r.nc, p); err != nil {
				t.Fatal(err)
			}
			if got := errText(p); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			r.expectClosed()
		})
	}
}

func packet(seq byte, p []byte) []byte {
	return append([]byte{byte(len(p)), byte(len(p) >> 8), byte(len(p) >> 16), seq}, p...)
}

// TestMalformedCommands sends commands that are wrong; the connection survives those
// that have an answer.
func TestMalformedCommands(t *testing.T) {
	_, addr := serve(t, Config{MaxPreparedStatements: 3}, newStub())
	for name, c := range map[string]struct {
		send []byte
		want string
	}{
		"empty":               {nil, "1835 #HY000Malformed communication packet: the command is missing"},
		"unknown":             {[]byte{200}, "1047 #08S01Unknown command"},
		"sleep":               {[]byte{0}, "1047 #08S01Unknown command"},
		"binlog dump":         {[]byte{0x12, 0, 0, 0, 0}, "1047 #08S01Unknown command"},
		"register replica":    {[]byte{0x15}, "1047 #08S01Unknown command"},
		"clone":               {[]byte{0x20}, "1047 #08S01Unknown command"},
		"refresh of nothing":  {[]byte{comRefresh}, "1835 #HY000Malformed communication packet: COM_REFRESH"},
		"kill without id":     {[]byte{comProcessKill, 1}, "1835 #HY000Malformed communication packet: KILL"},
		"field list":          {[]byte{comFieldList, 't'}, "1835 #HY000Malformed communication packet: the table name of COM_FIELD_LIST does not end"},
		"set option":          {[]byte{comSetOption}, "1835 #HY000Malformed communication packet: COM_SET_OPTION without an option"},
		"set option 9":        {[]byte{comSetOption, 9, 0}, "1047 #08S01Unknown command"},
		"execute":             {[]byte{comStmtExecute, 1}, "1835 #HY000Malformed communication packet: mysqld_stmt_execute"},
		"execute nothing":     {[]byte{comStmtExecute, 9, 0, 0, 0, 0, 1, 0, 0, 0}, "1243 #HY000Unknown prepared statement handler (9) given to mysqld_stmt_execute"},
		"execute cut":         {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1}, "1835 #HY000Malformed communication packet: COM_STMT_EXECUTE"},
		"execute unbound":     {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}, "1835 #HY000Malformed communication packet: the parameters do not fit the statement"},
		"execute no values":   {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 3, 0}, "1835 #HY000Malformed communication packet: the parameters do not fit the statement"},
		"execute half value":  {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 0, 253, 0, 1, 0, 0, 0, 9, 'x'}, "1835 #HY000Malformed communication packet: the parameters do not fit the statement"},
		"execute odd type":    {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 99, 0, 3, 0, 1, 0, 0, 0, 1}, "1835 #HY000Malformed communication packet: there is no parameter type 99"},
		"execute NaN":         {[]byte{comStmtExecute, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 4, 0, 3, 0, 0, 0, 0xc0, 0x7f, 1, 0, 0, 0}, "1210 #HY000Incorrect arguments to mysqld_stmt_execute: a parameter is NaN or infinite"},
		"fetch":               {[]byte{comStmtFetch, 1, 0, 0, 0, 9, 0, 0, 0}, "1421 #HY000The statement (1) has no open cursor."},
		"fetch cut":           {[]byte{comStmtFetch, 1, 0, 0, 0}, "1835 #HY000Malformed communication packet: COM_STMT_FETCH"},
		"reset nothing":       {[]byte{comStmtReset, 7, 0, 0, 0}, "1243 #HY000Unknown prepared statement handler (7) given to mysqld_stmt_reset"},
		"prepare wrong":       {append([]byte{comStmtPrepare}, "fail"...), "1064 #42000You have an error in your SQL syntax"},
		"error of the engine": {append([]byte{comQuery}, "fail 1205"...), "1205 #HY000as asked"},
		"state of its own":    {append([]byte{comQuery}, "fail 1213"...), "1213 #40001as asked"},
		"unknown database":    {append([]byte{comInitDB}, "missing"...), "1049 #42000Unknown database 'missing'"},
		"empty query":         {[]byte{comQuery}, "1065 #42000Query was empty"},
		"change user cut":     {[]byte{comChangeUser, 'r'}, "1835 #HY000Malformed communication packet: COM_CHANGE_USER"},
	} {
		t.Run(name, func(t *testing.T) {
			r := login1(t, addr, basicCaps)
			r.command(comStmtPrepare, []byte("insert ?,?")...)
			r.read() // OK, and two parameters and EOF
			r.read()
			r.read()
			r.read()
			r.seq = 0
			r.write(c.send)
			if got := errText(r.read()); got != c.want {
				t.Errorf("got %s\nwant %s", got, c.want)
			}
			r.command(comPing)
			r.expectOK()
		})
	}
	t.Run("too many statements", func(t *testing.T) {
		r := login1(t, addr, basicCaps)
		for range 3 {
			r.command(comStmtPrepare, []byte("insert")...)
			r.expectOK()
		}
		r.command(comStmtPrepare, []byte("insert")...)
		r.expectErr(1461, "42000", "Can't create more than max_prepared_stmt_count statements (current value: 3)")
		r.command(comStmtClose, 2, 0, 0, 0)
		r.command(comStmtPrepare, []byte("insert")...)
		r.expectOK()
	})
}

// TestSequence checks that a command out of order ends the connection.
func TestSequence(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps)
	r.seq = 0
	if _, err := r.nc.Write(packet(5, []byte{comPing})); err != nil {
		t.Fatal(err)
	}
	r.expectErr(1156, "08S01", "Got packets out of order")
	r.expectClosed()
}

// TestPackets covers sizes around the cut of 16 MiB, both ways, and max_allowed_packet.
func TestPackets(t *testing.T) {
	_, addr := serve(t, Config{MaxAllowedPacket: 40 << 20}, newStub())
	for _, n := range []int{0, 1, 250, 251, 65535, 65536, maxChunk - 5, maxChunk - 4, maxChunk - 3, maxChunk - 2, maxChunk, 2*maxChunk - 5} {
		r := login1(t, addr, basicCaps|capDeprecateEOF)
		r.query(fmt.Sprint("wide ", n))
		values, _ := r.rows(true)
		if len(values) != 1 || len(values[0]) != n {
			t.Errorf("a value of %d bytes comes back otherwise", n)
		}
	}
	for _, n := range []int{maxChunk - 1, maxChunk, maxChunk + 1, 2 * maxChunk} {
		e := newStub()
		_, addr := serve(t, Config{MaxAllowedPacket: 40 << 20}, e)
		r := login1(t, addr, basicCaps)
		r.query(string(bytes.Repeat([]byte{'q'}, n-1)))
		r.expectOK()
		if s := e.last(); len(s.queries[0]) != n-1 {
			t.Errorf("a command of %d bytes arrives with %d", n, len(s.queries[0])+1)
		}
	}
	for _, n := range []int{40<<20 + 1, 48 << 20} {
		r := login1(t, addr, basicCaps)
		r.query(string(make([]byte, n)))
		r.expectErr(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
		r.expectClosed()
	}
}

// TestOwnLimit: a session's own max_allowed_packet counts.
func TestOwnLimit(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps)
	r.query("limit 2000")
	r.expectOK()
	r.query(string(make([]byte, 1999)))
	r.expectOK()
	r.query(string(make([]byte, 2000)))
	r.expectErr(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes")
	r.expectClosed()
}

// TestStatusAndInfo checks what OK carries.
func TestStatusAndInfo(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps|capSessionTrack|capMultiStatements|capMultiResults)
	r.query("insert")
	ok := r.expectOK()
	if ok.lenenc() != 2 || ok.lenenc() != 41 || ok.u16() != statusAutocommit || ok.u16() != 3 || string(ok.lenbytes()) != "Records: 2  Duplicates: 0  Warnings: 3" {
		t.Errorf("OK of insert is wrong")
	}
	r.query("begin;commit")
	ok = r.expectOK()
	ok.take(2)
	if got := ok.u16(); got != statusAutocommit|statusInTransaction|statusMoreResults {
		t.Errorf("status of begin: %#x", got)
	}
	ok = r.expectOK()
	ok.take(2)
	if got := ok.u16(); got != statusAutocommit {
		t.Errorf("status of commit: %#x", got)
	}
	r.query("use news")
	ok = r.expectOK()
	ok.take(2)
	status, _, info, state := ok.u16(), ok.u16(), ok.lenbytes(), ok.lenbytes()
	if status != statusAutocommit|statusSessionState || len(info) != 0 || !bytes.Equal(state, append([]byte{1, 5, 4}, "news"...)) {
		t.Errorf("status %#x, info %q, state %q", status, info, state)
	}
	r.query("use news")
	ok = r.expectOK()
	ok.take(2)
	if ok.u16() != statusAutocommit {
		t.Error("an unchanged database is reported as a change")
	}
	r.query("two")
	values, last := r.rows(false)
	if len(values) != 1 || !bytes.Equal(last, []byte{0xfe, 3, 0, statusAutocommit | statusMoreResults, 0}) {
		t.Errorf("the first of two results: %q %q", values, last)
	}
	r.expectOK()
	r.query("half")
	if values, last = r.rows(false); len(values) != 1 || errText(last) != "1317 #70100half way" {
		t.Errorf("a result that breaks off: %q %q", values, last)
	}
	r.query("one; fail 1048; one")
	if _, last = r.rows(false); last[3]&statusMoreResults == 0 {
		t.Errorf("the first of three statements ends in %q", last)
	}
	r.expectErr(1048, "23000", "as asked")
	r.command(comPing)
	r.expectOK()
	// Switched off, the list is one statement.
	r.command(comSetOption, 1, 0)
	if p := r.read(); p[0] != 0xfe {
		t.Errorf("set option says %q", p)
	}
	r.query("one; one")
	if p := r.read(); p[0] != 0 {
		t.Errorf("without multi statements: %q", p)
	}
}

// TestCollations asks for every number that fits the packet.
func TestCollations(t *testing.T) {
	for id := range 1 << 16 {
		c, err := handshakeCollation(uint16(id))
		if err == nil && c != 0 && uint16(c) != uint16(id) {
			t.Errorf("collation %d becomes %d", id, c)
		}
	}
	if c, _ := handshakeCollation(maxCollation); c != maxCollation {
		t.Errorf("the highest collation becomes %d", c)
	}
}

// TestSessionTracking checks what a client hears of its session: with the next OK, each
// change once, and none that has not asked for it.
func TestSessionTracking(t *testing.T) {
	_, addr := serve(t, Config{}, newStub())
	r := login1(t, addr, basicCaps|capSessionTrack)
	state := func(query string) string {
		t.Helper()
		r.query(query)
		ok := r.expectOK()
		ok.take(2)
		if status := ok.u16(); status&statusSessionState == 0 {
			return ""
		}
		ok.u16()
		ok.lenbytes()
		return string(ok.lenbytes())
	}
	if got := state("variable time_zone"); got != "\x00\x0e\x09time_zone\x03new\x03\x05\x00\x03u:1" {
		t.Errorf("a variable and a GTID: %q", got)
	}
	if got := state("ok"); got != "" {
		t.Errorf("told twice: %q", got)
	}
	r.query("variable broken")
	r.expectErr(1231, "42000", "as asked")
	if got := state("use a"); got != "\x00\x0b\x06broken\x03new\x03\x05\x00\x03u:1\x01\x02\x01a" {
		t.Errorf("changes of a statement that failed: %q", got)
	}
	if got := state("quiet b"); got != "" {
		t.Errorf("a database that is not tracked: %q", got)
	}
	for range keepChanges {
		r.query("variable broken")
		r.expectErr(1231, "42000", "as asked")
	}
	if got := strings.Count(state("ok"), "broken"); got != keepChanges/2 {
		t.Errorf("%d changes were kept", got)
	}
	r = login1(t, addr, basicCaps)
	r.query("variable x")
	ok := r.expectOK()
	ok.take(2)
	if ok.u16()&statusSessionState != 0 {
		t.Error("a client that does not track is told")
	}
}
