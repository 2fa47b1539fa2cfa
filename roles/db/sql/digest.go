package sql

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"stack/roles/db/txn"
)

// Bounds of the statements that are told apart.
const (
	digestsKept = 5000
	digestRead  = 64 << 10 // bytes of a text that are looked at
	digestText  = 1024     // bytes that are kept of it
)

// digests sum up what statements of the same form have cost. Beyond digestsKept forms the rest
// counts as one.
type digests struct {
	mu    sync.RWMutex
	known map[string]*digest // by database, a zero byte and the form
	rest  digest
}

// digest is the sum over the statements of one form in one database.
type digest struct {
	database, text string
	hash           [32]byte
	first          time.Time

	count, errors, warnings                 atomic.Uint64
	nanos, lockNanos, least, most           atomic.Uint64
	affected, sent, examined, scans, sorted atomic.Uint64
	last                                    atomic.Int64 // Unix nanoseconds
}

// of finds the digest of a text, and makes it if it is new.
func (d *digests) of(database, text string) *digest {
	var space [512]byte
	key := append(append(space[:0], database...), 0)
	key = appendForm(key, text[:min(len(text), digestRead)])
	d.mu.RLock()
	found := d.known[string(key)]
	d.mu.RUnlock()
	if found != nil {
		return found
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if found := d.known[string(key)]; found != nil {
		return found
	}
	if len(d.known) >= digestsKept {
		return &d.rest
	}
	if d.known == nil {
		d.known = map[string]*digest{}
	}
	made := newDigest(database, string(key[len(database)+1:]))
	d.known[string(key)] = made
	return made
}

// add adds a statement that has just ended.
func (d *digest) add(end time.Time, took time.Duration, sent uint64, w *txn.Work, affected uint64, failed bool, warnings uint16) {
	n := uint64(max(took, 0))
	d.count.Add(1)
	d.nanos.Add(n)
	d.sent.Add(sent)
	d.examined.Add(w.Examined())
	d.last.Store(end.UnixNano())
	if wait := w.RowWait + w.TableWait; wait > 0 {
		d.lockNanos.Add(uint64(wait))
	}
	if affected > 0 {
		d.affected.Add(affected)
	}
	if w.Scans > 0 {
		d.scans.Add(1)
	}
	if w.Sorted > 0 {
		d.sorted.Add(w.Sorted)
	}
	if failed {
		d.errors.Add(1)
	}
	if warnings > 0 {
		d.warnings.Add(uint64(warnings))
	}
	for least := d.least.Load(); (least == 0 || n < least) && !d.least.CompareAndSwap(least, max(n, 1)); least = d.least.Load() {
	}
	for most := d.most.Load(); n > most && !d.most.CompareAndSwap(most, n); most = d.most.Load() {
	}
}

func newDigest(database, form string) *digest {
	return &digest{
		database: database, text: strings.Clone(clipText(form, digestText)),
		hash: sha256.Sum256([]byte(form)), first: time.Now(),
	}
}

// all are the digests that were seen so far.
func (d *digests) all() []*digest {
	d.mu.RLock()
	defer d.mu.RUnlock()
	list := make([]*digest, 0, len(d.known)+1)
	for _, x := range d.known {
		list = append(list, x)
	}
	if d.rest.count.Load() > 0 {
		list = append(list, &d.rest)
	}
	return list
}

// clipText cuts a text to n bytes, not within a character.
func clipText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}

// appendForm appends what is the same in all statements that differ in values, comments and white
// space only: tokens with a blank between them, ? for literals, one ? for a list of them, one row
// for rows of them.
func appendForm(dst []byte, text string) []byte {
	sc := scanner{text: text}
	begin := len(dst)
	for {
		token := sc.next()
		if token == "" {
			break
		}
		if token == ";" && sc.peek() == "" {
			break
		}
		if token[0] == '\'' || token[0] == '"' || isDigit(token[0]) {
			sc.restOfNumber(token)
			dst = bytes.TrimSuffix(dst, signOf(dst[begin:]))
			token = "?"
		}
		if len(dst) > begin {
			dst = append(dst, ' ')
		}
		dst = append(dst, token...)
		switch token {
		case "?":
			dst = foldList(dst, begin, "? , ?", "?")
		case ")":
			dst = foldList(dst, begin, "( ? ) , ( ? )", "( ? )")
		}
	}
	return dst
}

// foldList replaces what dst ends with.
func foldList(dst []byte, begin int, end, by string) []byte {
	if bytes.HasSuffix(dst[begin:], []byte(end)) {
		dst = append(dst[:len(dst)-len(end)], by...)
	}
	return dst
}

// signOf is the minus at the end that belongs to the number that follows: there is nothing to
// subtract from.
func signOf(form []byte) []byte {
	for _, before := range []string{"=", "<", ">", "(", ","} {
		if bytes.HasSuffix(form, []byte(before+" -")) {
			return []byte(" -")
		}
	}
	return nil
}

// restOfNumber moves over what belongs to a number behind its first digits: 1.5e-3.
func (s *scanner) restOfNumber(token string) {
	if !isDigit(token[0]) {
		return
	}
	for s.pos < len(s.text) {
		c := s.text[s.pos]
		exponent := (c == '+' || c == '-') && (s.text[s.pos-1] == 'e' || s.text[s.pos-1] == 'E') && !strings.HasPrefix(token, "0x")
		if c != '.' && !exponent && !isDigit(c) && c != 'e' && c != 'E' {
			return
		}
		s.pos++
	}
}
