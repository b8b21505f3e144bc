// Package maildir delivers messages into Maildir folders so that neither a
// crash nor a power cut can lose, tear or double one.
//
// A delivery walks this line, and the caller makes the two ledger entries
// between its steps:
//
//	Folder.Create   a file in tmp/, written as the octets arrive
//	Batch.SyncFiles every file of the batch on disk
//	Batch.SyncTmp   their entries in tmp/ on disk
//	                (the caller records its intents)
//	Batch.Publish   tmp/ to new/ or cur/, never over another file
//	Batch.SyncNew   the new entries on disk
//	                (the caller records the deliveries)
//
// Nothing is published by closing: a message that is not on its way to Publish
// is removed by File.Abort. Reading folders (flags, keys, contents) is
// go-maildir's work; this package reads names only, for recovery.
package maildir
