package store

import "encoding/binary"

const (
	// LargeChunkSize is the length in bytes of each piece of a large value but the last.
	LargeChunkSize = 1 << 20
	maxLargeValue  = 4 << 30 // LONGTEXT and LONGBLOB end below this
)

// LargeKey is the key of a chunk of a large value: SpaceLarge, primary index id,
// primary-key columns, column id u16, chunk u32. The columns are prefix-free, so the
// chunks of a row stand together.
func LargeKey(primary []byte, column uint16, chunk uint32) []byte {
	key := LargeRowPrefix(primary)
	key = binary.BigEndian.AppendUint16(key, column)
	return binary.BigEndian.AppendUint32(key, chunk)
}

// LargeRowPrefix is what the keys of all large values of a row begin with.
func LargeRowPrefix(primary []byte) []byte {
	return append([]byte{byte(SpaceLarge)}, primary[1:]...)
}

// LargeChunks is how many chunks a value of this length has.
func LargeChunks(length uint64) uint32 {
	return uint32((length + LargeChunkSize - 1) / LargeChunkSize)
}
