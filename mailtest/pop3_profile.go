package mailtest

import (
	"fmt"
	"hash/crc32"
)

// The profiles are servers that are known to exist, as options to which the
// caller adds users and TLS.

// ProfileGmailPOP shows at most 250 messages, the oldest that were not popped;
// a message is popped when a session retrieved it and ended with QUIT. The
// user "recent:NAME" sees them all and pops none. No pipelining.
func ProfileGmailPOP() POP3Options {
	return POP3Options{
		Mechanisms: []string{"PLAIN", "XOAUTH2", "OAUTHBEARER"},
		CAPA: []string{"USER", "RESP-CODES", "EXPIRE 0", "LOGIN-DELAY 300", "TOP", "UIDL",
			"SASL PLAIN XOAUTH2 OAUTHBEARER"},
		NoPipelining: true,
		Quirks:       POP3Quirks{Window: 250, Popped: true, Recent: "recent:"},
	}
}

// ProfileM365POP takes XOAUTH2 alone, and that on two lines: the client waits
// for the "+" before it sends its response.
func ProfileM365POP() POP3Options {
	return POP3Options{
		Mechanisms:   []string{"XOAUTH2"},
		CAPA:         []string{"TOP", "UIDL", "SASL XOAUTH2"},
		NoUSER:       true,
		NoPipelining: true,
		Quirks:       POP3Quirks{TwoLines: true},
	}
}

// ProfilePOPNoUIDL knows no UIDL.
func ProfilePOPNoUIDL() POP3Options { return POP3Options{NoUIDL: true} }

// ProfilePOPDupUIDL has eight unique-ids for all its messages; a message keeps
// its own.
func ProfilePOPDupUIDL() POP3Options {
	return POP3Options{Quirks: POP3Quirks{UID: func(_, _ int, uid string) string {
		return fmt.Sprintf("same-%d", crc32.ChecksumIEEE([]byte(uid))%8)
	}}}
}

// ProfilePOPNewUIDs gives each message another unique-id at each login.
func ProfilePOPNewUIDs() POP3Options {
	return POP3Options{Quirks: POP3Quirks{UID: func(session, _ int, uid string) string {
		return fmt.Sprintf("s%d-%s", session, uid)
	}}}
}

// ProfilePOPNoDot sends the final dot right behind the last line's text, so
// that the end of a message cannot be seen (an Exchange of the year 2000).
func ProfilePOPNoDot() POP3Options { return POP3Options{Quirks: POP3Quirks{LateDot: true}} }

// ProfilePOPLF ends every line with a bare LF, the final dot's as well.
func ProfilePOPLF() POP3Options { return POP3Options{Quirks: POP3Quirks{BareLF: true}} }
