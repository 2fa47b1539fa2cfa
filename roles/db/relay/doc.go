// Package relay keeps what a replica has received of its source and not applied yet, on disk: the relay log.
//
// What is in it after Sync survives a crash, so the replica acknowledges it then, however long it takes to apply it. It
// holds the events of transactions in the order of the source. One goroutine writes, another reads; a transaction is
// read once it is whole and durable. Segments whose transactions are all applied are used again.
//
// A segment, NUMBER.frames, is a row of frames:
//
//	checksum u32 (CRC-32C of what follows) | length u32 of the payload | number u64 of the segment | synced u64 | payload
//
// all little endian. The number is in every frame because a segment may be written over an older one: frames of that are
// its end. synced is how many bytes of the segment were durable when the frame was made: where frames end before what a later
// one says, no crash has cut them off, the disk has lost them. The first frame names the segment before and how far that counts. So what a crash has left of a transaction, or
// was cut off, is void from the moment at which the next segment is begun, and nothing is ever written behind it.
package relay
