package wire

import "unicode/utf8"

// Status flags of OK and EOF packets.
const (
	statusInTransaction = 1 << 0
	statusAutocommit    = 1 << 1
	statusMoreResults   = 1 << 3
	statusCursorExists  = 1 << 6
	statusLastRowSent   = 1 << 7
	statusNoBackslashes = 1 << 9 // SERVER_STATUS_NO_BACKSLASH_ESCAPES
	statusSessionState  = 1 << 14
)

// maxErrorText is what clients have room for (MYSQL_ERRMSG_SIZE).
const maxErrorText = 511

// status is the session's, with extra flags.
func (c *conn) status(extra uint16) uint16 {
	s := extra
	if c.state.InTransaction {
		s |= statusInTransaction
	}
	if c.state.Autocommit {
		s |= statusAutocommit
	}
	if c.state.PlainBackslashes {
		s |= statusNoBackslashes
	}
	return s
}

func more(is bool) uint16 {
	if is {
		return statusMoreResults
	}
	return 0
}

// writeOK sends "OK_Packet":
//
//	1 byte   0x00, or 0xfe where it stands for EOF
//	lenenc   affected rows
//	lenenc   last insert id
//	2 bytes  status
//	2 bytes  warnings
//	lenenc   info; may be left out when empty and no state changed
//	lenenc   session state (capSessionTrack and statusSessionState): see appendChanges
func (c *conn) writeOK(affected, insertID uint64, info string, moreResults bool) error {
	return c.writeOKHeader(0, affected, insertID, info, more(moreResults))
}

func (c *conn) writeOKHeader(header byte, affected, insertID uint64, info string, extra uint16) error {
	c.noteChanges()
	track := len(c.changes) > 0
	if track {
		extra |= statusSessionState
	}
	c.begin()
	b := append(c.wbuf, header)
	b = appendLenenc(b, affected)
	b = appendLenenc(b, insertID)
	b = appendU16(b, c.status(extra))
	b = appendU16(b, c.state.Warnings)
	if info != "" || track {
		b = appendLenString(b, info)
	}
	if track {
		b = appendLenString(b, appendChanges(nil, c.changes))
		c.changes = c.changes[:0]
	}
	c.wbuf = b
	return c.stream.end()
}

// writeEnd sends the packet that ends a result set.
func (c *conn) writeEnd(moreResults bool) error { return c.writeEOF(more(moreResults)) }

// writeEOF sends "EOF_Packet" (0xfe, warnings, status), or the OK packet that replaces
// it under capDeprecateEOF.
func (c *conn) writeEOF(extra uint16) error {
	if c.caps&capDeprecateEOF != 0 {
		return c.writeOKHeader(0xfe, 0, 0, "", extra)
	}
	c.begin()
	b := append(c.wbuf, 0xfe)
	b = appendU16(b, c.state.Warnings)
	c.wbuf = appendU16(b, c.status(extra))
	return c.stream.end()
}

// writeErr sends "ERR_Packet":
//
//	1 byte   0xff
//	2 bytes  error number
//	1 byte   '#', and 5 of SQLSTATE (capProtocol41)
//	string   text
func (c *conn) writeErr(e *Error) error {
	c.srv.stats.failed(e.Code)
	text := e.Message
	if len(text) > maxErrorText {
		n := maxErrorText
		for n > 0 && !utf8.RuneStart(text[n]) {
			n--
		}
		text = text[:n]
	}
	c.begin()
	b := appendU16(append(c.wbuf, 0xff), e.Code)
	if c.caps&capProtocol41 != 0 {
		b = append(append(b, '#'), e.state()...)
	}
	c.wbuf = append(b, text...)
	return c.stream.end()
}

// writeColumns sends the number of columns and their definitions.
func (c *conn) writeColumns(cols []column) error {
	c.begin()
	c.wbuf = appendLenenc(c.wbuf, uint64(len(cols)))
	if err := c.stream.end(); err != nil {
		return err
	}
	return c.writeDefinitions(cols, 0)
}

// writeDefinitions sends column definitions and, to clients that expect it, EOF.
func (c *conn) writeDefinitions(cols []column, extra uint16) error {
	for i := range cols {
		c.begin()
		c.wbuf = appendColumn(c.wbuf, &cols[i])
		if err := c.stream.end(); err != nil {
			return err
		}
	}
	if c.caps&capDeprecateEOF == 0 {
		return c.writeEOF(extra)
	}
	return nil
}

// columnCharset is the collation id under which UTF-8 text goes out: the one that the
// client named if it is of utf8mb4, so that it finds what it knows.
func (c *conn) columnCharset() uint16 {
	if id := c.client.Collation; id != 0 && id.CharacterSet().Name() == "utf8mb4" {
		return uint16(id)
	}
	return collationUTF8mb4
}
