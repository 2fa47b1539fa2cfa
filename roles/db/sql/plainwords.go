package sql

import (
	"regexp"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// plainWords are words that MySQL takes for names of tables, columns, indexes and aliases, and the parser does
// not everywhere.
var plainWords = wordSet(`account attribute avg cast comment copy count escape event execute extract failed_login_attempts file first format
	full get_format identified inplace max min next none now off password password_lock_time position process reload returning shutdown sql_cache
	sql_no_cache std substring sum super timestampadd timestampdiff trim variance view`)

// functionWords are those of them that are functions before a parenthesis.
var functionWords = wordSet("cast count extract max min now position std substring sum trim variance")

func wordSet(words string) map[string]bool {
	set := map[string]bool{}
	for _, word := range strings.Fields(words) {
		set[word] = true
	}
	return set
}

// unexpectedWord is how the parser says where it stopped: the position is behind the word.
var unexpectedWord = regexp.MustCompile(`syntax error at position (\d+) near '([^']*)'`)

// mostPlain bounds how much is parsed again for them, bytes: such a statement as often as it fits in.
const mostPlain = 256 << 10

// quotedWords is a statement that the parser did not read, for err, with quotes around the plain words that it
// stopped at; not ok if it does not read that either.
func (s *Session) quotedWords(ctx *gms.Context, query string, multi bool, err error) (string, bool) {
	for range mostPlain / (len(query) + 1) {
		if ctx.Err() != nil {
			return "", false
		}
		var ok bool
		if query, ok = quotedWord(query, err); !ok {
			return "", false
		}
		if _, _, _, err = s.engine.gms.Parser.Parse(ctx, query, multi); err == nil {
			return query, true
		}
	}
	return "", false
}

// quotedWord is a statement with the plain word quoted at which the parser stopped with err, or that is
// before it; not ok if there is none.
func quotedWord(query string, err error) (text string, ok bool) {
	said := unexpectedWord.FindStringSubmatch(err.Error())
	if said == nil {
		return "", false
	}
	end, _ := strconv.Atoi(said[1])
	at := min(end, len(query)) - len(said[2])
	for least := at - 2; at >= 0 && !strings.EqualFold(query[at:at+len(said[2])], said[2]); at-- {
		if at == least {
			return "", false
		}
	}
	if at < 0 {
		return "", false
	}
	if text, ok := quoteWord(query, at); ok {
		return text, true
	}
	before := strings.TrimRight(query[:at], " \t\r\n")
	for at = len(before); at > 0 && nameByte(before[at-1]); at-- {
	}
	return quoteWord(query, at)
}

// quoteWord quotes the plain word at a place.
func quoteWord(query string, at int) (string, bool) {
	end := at
	for end < len(query) && nameByte(query[end]) {
		end++
	}
	word := strings.ToLower(query[at:end])
	called := end < len(query) && query[end] == '('
	if !plainWords[word] || called && functionWords[word] || at > 0 && strings.ContainsRune("`'\"@", rune(query[at-1])) {
		return "", false
	}
	return query[:at] + "`" + query[at:end] + "`" + query[end:], true
}

func nameByte(b byte) bool {
	return b == '_' || b == '$' || b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b >= 0x80
}
