package txn

import (
	"bytes"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"stack/roles/db/store"
)

// mostBehind is how many rows a transaction may change that others have changed since its view was taken: some 100 bytes of
// memory each.
const mostBehind = 1 << 18

// ErrManyBehind refuses to change more of them (MySQL error 1206).
var ErrManyBehind = fmt.Errorf("the transaction changes more than %d rows that others have changed since its first read: commit before, or use READ COMMITTED", mostBehind)

// behind is what a transaction knows of rows that it has written and that others had changed after its
// view was taken. The write set says how such a row differs from the newest one, and a consistent
// read lays it over the view, whose index entries of the row are of an older one.
// What is kept of them is not moved out of memory, and bounded (mostBehind).
type behind struct {
	rows   map[string]struct{} // keys in the primary index. All index entries of these rows stand in the write set
	taken  bool                // an entry of a unique index that was put is another row's in the view
	reader pebble.Reader       // the view these are of
}

// none reports whether the write set can be laid over what reader gives as it is.
func (b *behind) none(reader pebble.Reader) bool {
	return reader != b.reader || len(b.rows) == 0 && !b.taken
}

// reading is where the transaction's consistent reads come from, nil where that is the newest state.
func (t *Txn) reading() pebble.Reader {
	if t.view == nil || !t.pinned || t.e.current.Load() == t.view {
		return nil
	}
	return t.view.snap
}

// noteBehind is told of a row before the transaction changes it: of its key in the primary index and of
// its stored form, nil where it is new. all says that all index entries of the new form are to be written,
// those that stay the same too.
func (t *Txn) noteBehind(key, stored []byte) (all bool, err error) {
	reader := t.reading()
	if reader == nil {
		return false, nil
	}
	if !t.set.empty() {
		// A row of its own was locked when it was written first, and nobody has changed it since.
		if _, _, own, err := t.set.get(key, t.set.seq); own || err != nil {
			return false, err
		}
	}
	seen, err := store.Get(reader, key)
	if err != nil || bytes.Equal(seen, stored) {
		return false, err
	}
	b := t.behindOf(reader)
	if len(b.rows) >= mostBehind {
		return false, ErrManyBehind
	}
	b.add(key)
	return true, nil
}

// noteTaken is told of an entry of a unique index before it is written.
func (t *Txn) noteTaken(e *entry) error {
	reader := t.reading()
	if reader == nil || !e.enforced || !t.behind.none(reader) && t.behind.taken {
		return nil
	}
	seen, err := store.Get(reader, e.key)
	if err != nil || seen == nil || bytes.Equal(seen, e.value) {
		return err
	}
	t.behindOf(reader).taken = true
	return nil
}

func (t *Txn) behindOf(reader pebble.Reader) *behind {
	if t.behind.reader != reader {
		t.behind = behind{reader: reader}
	}
	return &t.behind
}

func (b *behind) add(key []byte) {
	if b.rows == nil {
		b.rows = map[string]struct{}{}
	}
	b.rows[string(key)] = struct{}{}
}

// mixing says whether an entry is seen beside the write set, which has the same key (hidden) or not.
type mixing func(key, value []byte, hidden bool) (bool, error)

// mix says which entries of a secondary index in reader a consistent read sees beside the write set up to
// number seq, nil where the write set hides what has its key and nothing else.
func (t *Txn) mix(reader pebble.Reader, ix *store.Index, seq uint64) mixing {
	if ix.IsPrimary() || t.behind.none(reader) {
		return nil
	}
	rows := t.behind.rows
	return func(key, value []byte, hidden bool) (bool, error) {
		primary, err := ix.PrimaryKeyOf(key, value)
		if err != nil {
			return false, err
		}
		// What has the key of another row's entry in a unique index hides nothing.
		if _, _, own, err := t.set.get(primary, seq); !own || err != nil {
			return true, err
		}
		if _, older := rows[string(primary)]; older {
			return false, nil
		}
		return !hidden, nil
	}
}
