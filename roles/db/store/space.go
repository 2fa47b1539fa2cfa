package store

import "encoding/binary"

// Space is the first byte of every key: what kind of thing the key names.
type Space byte

// The spaces, in key order. A space never changes its meaning; new kinds of state
// take new numbers.
const (
	SpaceMeta       Space = 0x01 // counters, executed set, pending work
	SpaceCatalog    Space = 0x02 // descriptors of databases, tables, objects
	SpaceRows       Space = 0x03 // rows and index entries, by index id
	SpaceLarge      Space = 0x04 // values over LargeValueSize, in chunks
	SpaceBinlog     Space = 0x05 // binlog tail: file + offset → events
	SpaceStatistics Space = 0x06 // row counts and histograms
)

// Keys of SpaceMeta. Each is one byte after the space, then an id where one is named.
const (
	metaNothing     = 0   // never written
	metaFormat      = 'f' // format version, u32
	metaServer      = 'u' // server UUID, text
	metaExecuted    = 'x' // executed GTID set, text
	metaHistory     = 'h' // GTID set of what was executed and other servers committed first, text
	metaLogLast     = 'g' // GTID of the last transaction in the binary log where another server committed it first
	metaNextID      = 'i' // next table or index id, u32
	metaCatalog     = 'c' // catalog version, u64
	metaAutoInc     = 'a' // + primary index id: next AUTO_INCREMENT value, u64
	metaRowID       = 'r' // + primary index id: next hidden row id, u64
	metaPendingDrop = 'd' // + index id: ranges of this id are to be deleted
	metaBuilding    = 'b' // + index id: being filled by a rebuild, not in the catalog yet
	metaLogFile     = 'l' // + binlog file number, u32: what the file begins with
	metaLogSealed   = 's' // + binlog file number, u32: how much of it is in a plain file
	metaEpoch       = 'e' // accepted epoch, u64
	metaTerm        = 't' // the epoch and its primary as the server knows them, JSON
	metaUnacked     = 'k' // number of the first own transaction that was answered unacknowledged, u64
	metaSource      = 'p' // which server this one follows, JSON with the password
	metaSourceAt    = 'q' // how far it has followed it, JSON
	metaDiverged    = 'v' // why it cannot follow it any more, text
	metaFormer      = 'o' // server UUID before Rename, text
	metaRelayLost   = 'z' // why the relay log was put aside, text
	metaRestored    = 'y' // the data came from a backup or a copy, and nothing follows from that yet
	metaRejoin      = 'j' // what the next start takes back, JSON
	metaCopies      = 'w' // how often the data was replaced by a copy of a primary's of late, and when last, JSON
	metaIncarnation = 'n' // the incarnations of servers whose transactions are here, JSON
)

// MetaSourceKey holds which server this one follows.
func MetaSourceKey() []byte { return []byte{byte(SpaceMeta), metaSource} }

// MetaSourcePositionKey holds how far it has followed that server; it is written in the batch
// of what was followed.
func MetaSourcePositionKey() []byte { return []byte{byte(SpaceMeta), metaSourceAt} }

// MetaDivergedKey holds why the data is not what it was on that server.
func MetaDivergedKey() []byte { return []byte{byte(SpaceMeta), metaDiverged} }

// MetaRejoinKey holds what the next start of the server takes back before it serves.
func MetaRejoinKey() []byte { return []byte{byte(SpaceMeta), metaRejoin} }

// MetaRelayLostKey holds why the relay log was put aside, until the term says what follows from that.
func MetaRelayLostKey() []byte { return []byte{byte(SpaceMeta), metaRelayLost} }

// MetaRestoredKey is there where the data was restored from a backup, or is a copy of another server's, until the term says
// what follows from that.
func MetaRestoredKey() []byte { return []byte{byte(SpaceMeta), metaRestored} }

// MetaCopiesKey holds how often the server has replaced its data by a copy.
func MetaCopiesKey() []byte { return []byte{byte(SpaceMeta), metaCopies} }

// MetaIncarnationsKey holds what package incarnation knows.
func MetaIncarnationsKey() []byte { return []byte{byte(SpaceMeta), metaIncarnation} }

// MetaExecutedKey holds the executed GTID set as text.
func MetaExecutedKey() []byte { return []byte{byte(SpaceMeta), metaExecuted} }

// MetaLogLastKey holds the GTID of the last transaction in the binary log, as text, where
// another server committed it first.
func MetaLogLastKey() []byte { return []byte{byte(SpaceMeta), metaLogLast} }

// MetaHistoryKey holds Store.History.
func MetaHistoryKey() []byte { return []byte{byte(SpaceMeta), metaHistory} }

// MetaEpochKey holds the highest epoch that the server has accepted, u64 big endian.
func MetaEpochKey() []byte { return []byte{byte(SpaceMeta), metaEpoch} }

// MetaTermKey holds which server is the primary of an epoch.
func MetaTermKey() []byte { return []byte{byte(SpaceMeta), metaTerm} }

// MetaUnackedKey holds the number of the first transaction of this server that was answered
// without the acknowledgements that it should have had, u64 big endian.
func MetaUnackedKey() []byte { return []byte{byte(SpaceMeta), metaUnacked} }

// MetaNextIDKey holds the next unused table or index id, u32 big endian.
func MetaNextIDKey() []byte { return []byte{byte(SpaceMeta), metaNextID} }

// MetaCatalogKey holds the catalog version, u64 big endian; it grows with every
// batch that changes a descriptor.
func MetaCatalogKey() []byte { return []byte{byte(SpaceMeta), metaCatalog} }

// MetaAutoIncrementKey holds the logged next AUTO_INCREMENT value of a table.
func MetaAutoIncrementKey(primary uint32) []byte { return metaID(metaAutoInc, primary) }

// MetaRowIDKey holds the logged next hidden row id of a table without primary key.
func MetaRowIDKey(primary uint32) []byte { return metaID(metaRowID, primary) }

// MetaPendingDropKey marks an index id whose rows and large values are to be deleted.
func MetaPendingDropKey(index uint32) []byte { return metaID(metaPendingDrop, index) }

// MetaBuildingKey marks an index id that a rebuild fills and no descriptor names yet.
func MetaBuildingKey(index uint32) []byte { return metaID(metaBuilding, index) }

// MetaLogFileKey holds what package binlog knows of a file of the binary log.
func MetaLogFileKey(file uint32) []byte { return metaID(metaLogFile, file) }

// MetaLogSealedKey holds how much of a file of the binary log has left the store.
func MetaLogSealedKey(file uint32) []byte { return metaID(metaLogSealed, file) }

// StatisticsKey holds the IndexStatistics of an index.
func StatisticsKey(index uint32) []byte { return AppendIndexPrefix(nil, SpaceStatistics, index) }

// LogKey is the key of the events of the binary log that begin at this offset of a file:
// SpaceBinlog, file number u32, offset u64.
func LogKey(file uint32, offset uint64) []byte {
	key := binary.BigEndian.AppendUint32([]byte{byte(SpaceBinlog)}, file)
	return binary.BigEndian.AppendUint64(key, offset)
}

func metaID(kind byte, id uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{byte(SpaceMeta), kind}, id)
}

// U32 and U64 read a big-endian counter; ok is false where the length is wrong.
func U32(b []byte) (v uint32, ok bool) {
	if len(b) != 4 {
		return 0, false
	}
	return binary.BigEndian.Uint32(b), true
}

// U64 reads an 8-byte big-endian counter; ok is false where the length is wrong.
func U64(b []byte) (v uint64, ok bool) {
	if len(b) != 8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(b), true
}

// AppendU64 appends a counter as U64 reads it.
func AppendU64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

// IndexPrefixLen is how many bytes every key of an index begins with.
const IndexPrefixLen = 5

// AppendIndexPrefix appends the 5 bytes that every key of an index begins with.
func AppendIndexPrefix(dst []byte, space Space, index uint32) []byte {
	return binary.BigEndian.AppendUint32(append(dst, byte(space)), index)
}

// KeyRange is a half-open range of keys: Start ≤ key < End.
type KeyRange struct {
	Start, End []byte
}

// IndexSpan is every key of an index in the given space.
func IndexSpan(space Space, index uint32) KeyRange {
	start := AppendIndexPrefix(nil, space, index)
	return KeyRange{Start: start, End: PrefixEnd(start)}
}

// SpaceRange is every key of a space.
func SpaceRange(space Space) KeyRange {
	return KeyRange{Start: []byte{byte(space)}, End: []byte{byte(space) + 1}}
}

// PrefixEnd returns the smallest key that is greater than every key that begins
// with prefix; nil where there is none (prefix is empty or all 0xff).
func PrefixEnd(prefix []byte) []byte {
	for i := len(prefix) - 1; i >= 0; i-- {
		if prefix[i] != 0xff {
			end := append([]byte(nil), prefix[:i+1]...)
			end[i]++
			return end
		}
	}
	return nil
}
