package mailtest

import "testing"

func TestIMAPCondstoreAndQresync(t *testing.T) {
	s := startIMAP(t, IMAPOptions{})
	inbox := s.Account("ada").Mailbox("INBOX")
	for range 5 {
		inbox.Add([]byte("x\r\n"), `\Seen`)
	}
	c := loginIMAP(t, s)
	c.play(`
		C: a SELECT INBOX (QRESYNC (1001 3))
		S~: a BAD .*
		C: b ENABLE QRESYNC
		S: * ENABLED QRESYNC
		S: b OK enabled
		C: c SELECT INBOX
		S~: [*] FLAGS .*
		S~: [*].*
		S: * 5 EXISTS
		S~: [*].*
		S: * OK [UIDVALIDITY 1001] UIDs are valid
		S: * OK [UIDNEXT 6] is the next UID
		S: * OK [HIGHESTMODSEQ 6] is the highest
		S~: c OK .*
		C: d UID STORE 2 (UNCHANGEDSINCE 2) +FLAGS.SILENT (\Deleted)
		S: d OK [MODIFIED 2] the others are stored
		C: e UID STORE 2 (UNCHANGEDSINCE 3) +FLAGS.SILENT (\Deleted)
		S: * 2 FETCH (UID 2 MODSEQ (7))
		S: e OK stored
		C: f UID EXPUNGE 2
		S: * VANISHED 2
		S: f OK [HIGHESTMODSEQ 8] expunged`)
	inbox.SetFlags(4, `\Flagged`)
	inbox.Remove(5)
	c.play(`
		C: g UID FETCH 1:* (FLAGS) (CHANGEDSINCE 8 VANISHED)
		S: * VANISHED (EARLIER) 5
		S: * 3 FETCH (UID 4 FLAGS (\Flagged) MODSEQ (9))
		S: * VANISHED 5
		S: g OK fetched
		C: h SELECT INBOX (QRESYNC (1001 7 1:4 (1,2 1,2)))
		S~: [*] OK \[CLOSED\] .*
		S~: [*] FLAGS .*
		S~: [*].*
		S: * 3 EXISTS
		S~: [*].*
		S~: [*] OK \[UNSEEN 3\].*
		S~: [*] OK \[UIDVALIDITY 1001\].*
		S~: [*].*
		S: * OK [HIGHESTMODSEQ 10] is the highest
		S: * VANISHED (EARLIER) 2
		S: * 3 FETCH (UID 4 FLAGS (\Flagged) MODSEQ (9))
		S~: h OK .*
		C: i SELECT INBOX (QRESYNC (7 1))
		S~: [*] OK \[CLOSED\] .*
		S~: [*] FLAGS .*
		S~: [*].*
		S: * 3 EXISTS
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: [*].*
		S~: i OK .*`)
}
