// Package ledger remembers durably what was delivered, so that no message is
// delivered twice, and what was about to be, so that a crash loses none.
//
// A Root is a directory of Maildir folders with its lock, its identity and its
// Ledger, one bbolt file. In the ledger each remote mailbox has a Mailbox: the
// keys of the messages that were delivered from it. A delivery makes two
// entries, each in a durable commit: Intend before the message becomes
// visible, Deliver when it is in its folder for good. Commits of many
// goroutines that come at the same time share one write.
//
// A store that is damaged is refused, never taken for an empty one: its frame
// is inspected before it is opened, and all that is kept in it is sealed.
package ledger
