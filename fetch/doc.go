// Package fetch carries mail from one remote mailbox into one Maildir folder,
// exactly once. A Line walks these steps, each a function of that name:
//
//	recover          finish what a crash interrupted, before any network
//	choose           1. list what the server has; want what the ledger does not know
//	retrieve         2. stream the wanted messages into tmp/, many in flight
//	syncFiles        3. put every file of a batch, and tmp/, on disk
//	recordIntents    4. one durable commit: these names, sizes and hashes
//	publish          5. rename into new/ without replacing, put new/ on disk
//	recordDelivered  6. one durable commit: delivered
//	dispose          7. only now may the server be told to remove a message
//
// While one batch walks from 3 to 6, the next is being retrieved; a batch is
// what arrived while the one before was on its way, and a tenth of a second
// more while more is arriving. Whatever fails before step
// 6 is durable, the server still has the message.
package fetch
