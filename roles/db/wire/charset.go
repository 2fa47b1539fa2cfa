package wire

import "github.com/dolthub/go-mysql-server/sql"

// decodeText brings text from character_set_client to UTF-8. The answer may share p.
func (c *conn) decodeText(p []byte) ([]byte, error) {
	switch set := c.state.ClientCharset; set {
	case sql.CharacterSet_Unspecified, sql.CharacterSet_utf8mb4, sql.CharacterSet_utf8mb3,
		sql.CharacterSet_binary, sql.CharacterSet_ascii:
		return p, nil
	default:
		encoder := set.Encoder()
		if encoder == nil {
			return nil, Errorf(erUnknownCharset, "Unknown character set: '%s': use utf8mb4", set.Name())
		}
		text, ok := encoder.Decode(p)
		if !ok {
			return nil, Errorf(1300, "Invalid %s character string", set.Name())
		}
		return text, nil
	}
}

// encodeText brings UTF-8 to character_set_client.
func (c *conn) encodeText(text string) ([]byte, error) {
	switch set := c.state.ClientCharset; set {
	case sql.CharacterSet_Unspecified, sql.CharacterSet_utf8mb4, sql.CharacterSet_utf8mb3,
		sql.CharacterSet_binary, sql.CharacterSet_ascii:
		return []byte(text), nil
	default:
		encoder := set.Encoder()
		if encoder == nil {
			return nil, Errorf(erUnknownCharset, "Unknown character set: '%s': use utf8mb4", set.Name())
		}
		out, ok := encoder.Encode([]byte(text))
		if !ok {
			return nil, Errorf(1300, "Invalid %s character string", set.Name())
		}
		return out, nil
	}
}
