package replica

import (
	"encoding/binary"
	"fmt"
)

const (
	comQuery      = 0x03
	comDump       = 0x12
	comRegister   = 0x15
	comDumpGTID   = 0x1e
	maxResultRows = 1000
)

// query runs a statement and returns the rows of its answer as texts; nil for NULL.
func (c *conn) query(text string) ([][][]byte, error) {
	p, err := c.command(comQuery, []byte(text))
	if err != nil {
		return nil, err
	}
	if p[0] == packetOK {
		return nil, nil
	}
	s := scanner{b: p}
	n, _ := s.length()
	if s.short || n == 0 || n > 4096 {
		return nil, fmt.Errorf("%w: a result of %d columns", errProtocol, n)
	}
	for range n + 1 { // the columns and what ends them
		if _, err := c.answer(); err != nil {
			return nil, err
		}
	}
	var rows [][][]byte
	for {
		if p, err = c.answer(); err != nil {
			return nil, err
		}
		if p[0] == packetEOF && len(p) < 9 {
			return rows, nil
		}
		if len(rows) == maxResultRows {
			return nil, fmt.Errorf("%w: a result of more than %d rows", errProtocol, maxResultRows)
		}
		row, err := parseRow(p, int(n))
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}

// parseRow reads a row of texts, each behind its length.
func parseRow(p []byte, n int) ([][]byte, error) {
	s := scanner{b: p}
	row := make([][]byte, 0, min(n, len(p)))
	for range n {
		v, null := s.text()
		if s.short {
			return nil, fmt.Errorf("%w: a row of %d bytes", errProtocol, len(p))
		}
		if null {
			v = nil
		}
		row = append(row, v)
	}
	return row, nil
}

// value runs a query for one value; ok is false where there is none or the server does not
// know what is asked.
func (c *conn) value(text string) (v string, ok bool, err error) {
	rows, err := c.query(text)
	if _, refused := err.(*ServerError); refused {
		return "", false, nil
	}
	if err != nil || len(rows) != 1 || len(rows[0]) == 0 || rows[0][0] == nil {
		return "", false, err
	}
	return string(rows[0][0]), true, nil
}

// register tells the source who follows it:
//
//	server id u32; length and host; length and user; length and password; port u16;
//	rank u32; id of the source u32
func (c *conn) register(server uint32, host string) error {
	p := binary.LittleEndian.AppendUint32(nil, server)
	host = host[:min(len(host), 60)]
	p = append(append(p, byte(len(host))), host...)
	p = append(p, 0, 0)
	p = append(p, 0, 0)
	p = append(p, make([]byte, 8)...)
	_, err := c.command(comRegister, p)
	return err
}

// dumpFile asks for the log from a position: offset u32, flags u16, server id u32, file.
func (c *conn) dumpFile(server uint32, file string, offset uint64) error {
	if offset > 1<<32-1 {
		return fmt.Errorf("position %d is beyond what the protocol can ask for", offset)
	}
	p := binary.LittleEndian.AppendUint32([]byte{comDump}, uint32(offset))
	p = append(p, 0, 0)
	p = binary.LittleEndian.AppendUint32(p, server)
	c.seq = 0
	return c.write(append(p, file...))
}

// dumpThroughGTID is the flag that says that a set follows.
const dumpThroughGTID = 4

// dumpGTID asks for everything that is not in a set: flags u16, server id u32, length and name
// of the file u32, offset u64, length u32 and set.
func (c *conn) dumpGTID(server uint32, set []byte) error {
	p := []byte{comDumpGTID, dumpThroughGTID, 0}
	p = binary.LittleEndian.AppendUint32(p, server)
	p = binary.LittleEndian.AppendUint32(p, 0)
	p = binary.LittleEndian.AppendUint64(p, 4)
	p = binary.LittleEndian.AppendUint32(p, uint32(len(set)))
	c.seq = 0
	return c.write(append(p, set...))
}
