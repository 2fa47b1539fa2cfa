package lb

import "encoding/binary"

// erServerShutdown is ER_SERVER_SHUTDOWN, which a server of MySQL says before it closes. Clients take it
// for a connection that may be tried again; it accuses no account, as 1045 would.
const erServerShutdown = 1053

// mysqlRefusal is an error packet in place of a server's greeting. It has no SQL state: the client has not
// told yet that it knows any.
//
//	3 bytes  length of what follows the head     1 byte   0xff
//	1 byte   0, the first packet                 2 bytes  code
//	                                             string   text
func mysqlRefusal(pool string) []byte {
	text := "No server of " + pool + " can be used at the moment: try again"
	n := 1 + 2 + len(text)
	b := []byte{byte(n), byte(n >> 8), byte(n >> 16), 0, 0xff}
	b = binary.LittleEndian.AppendUint16(b, erServerShutdown)
	return append(b, text...)
}
